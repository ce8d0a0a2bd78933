//! Documents from elsewhere: XML, JSON, TOML.

use deploy_vfio::{Foreign, PLACES, Setup};
use vfio_core::{Root, change::Draft, host::Machine};
use vfio_database::Database;
use vfio_hook::Domain;
use vfio_libvirt::Guest;

/// A parameter of ours for a guest.
const WANTED: &str = "<domain><vcpu>4</vcpu><devices><shmem name='x'><size unit='M'>1</size></shmem></devices></domain>";

/// The file of drivers.
pub fn database(bytes: &[u8]) {
    if let Ok(database) = Database::parse(bytes) {
        let xml = database.to_xml();
        let again = Database::parse(xml.as_bytes());
        assert!(again.is_ok_and(|again| again.devices() == database.devices()), "{xml}");
    }
}

/// A definition that we edit.
pub fn domain(text: &str) {
    let _ = Guest::read(text);
}

/// The same, as libvirt hands it to the hook.
pub fn hook_domain(bytes: &[u8]) {
    let _ = Domain::read(bytes);
}

/// A definition with what a guest needs: nothing is lost, twice is once.
pub fn merge(text: &str) {
    let Ok(with) = vfio_libvirt::merge(text, WANTED) else { return };
    assert_eq!(vfio_libvirt::merge(&with, WANTED).ok().as_ref(), Some(&with), "twice is once");
    assert!(Guest::read(&with).is_ok(), "{with}");
    if let (Ok(before), Ok(now)) = (Guest::read(text), Guest::read(&with)) {
        assert_eq!(before.name, now.name);
        assert!(before.iothreads == now.iothreads && before.memory_kib == now.memory_kib);
    }
}

/// A plugin's draft: nothing but its places, whatever it says.
pub fn draft(text: &str) {
    let Ok(foreign) = Foreign::parse(text) else { return };
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    if foreign.put(&mut draft).is_err() {
        return;
    }
    if let Ok(plan) = draft.finish("fuzz") {
        for change in plan.changes {
            let is_in = |place: &&str| change.path == **place || change.path.starts_with(*place);
            assert!(PLACES.iter().any(|place| is_in(&place)), "{}", change.path);
        }
    }
}

/// A setup file.
pub fn setup(text: &str) {
    let _ = Setup::from_toml(text, "fuzz");
}

/// A described machine.
pub fn snapshot(text: &str) {
    if let Ok(machine) = Machine::from_snapshot(text) {
        let printed = machine.to_snapshot();
        assert!(Machine::from_snapshot(&printed).is_ok_and(|again| again == machine), "{printed}");
    }
}
