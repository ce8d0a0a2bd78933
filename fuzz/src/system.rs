//! Files of a system that we read: each stands in a small tree in memory.

use std::{
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use vfio_core::{
    Address, Cmdline, Root,
    change::{self, Draft, Interrupt, NoRebuild, OnConflict, Settings},
    grubenv::variable,
    host::{Boot, Detail, Memory, Names, Network, Pci, Storage, trial},
};
use vfio_testkit::Description;

/// A machine of the project's, laid out once.
struct Place {
    dir: tempfile::TempDir,
    root: Root,
}

impl Place {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let dir = dir.expect("a directory for a tree");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../machines/two-gpus.json");
        let described = Description::read(&file).expect("the machine");
        described.lay_out(dir.path()).expect("a tree");
        let root = Root::open(dir.path()).expect("its root");
        Self { dir, root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.at(path);
        let _ = fs::create_dir_all(path.parent().unwrap_or(Path::new("/")));
        fs::write(path, bytes).expect("a file");
    }
}

thread_local! {
    static PLACE: OnceCell<Place> = const { OnceCell::new() };
}

fn on(act: impl FnOnce(&Place)) {
    PLACE.with(|place| act(place.get_or_init(Place::new)));
}

/// What sysfs says of a device, each file a line of the input.
pub fn uevent(bytes: &[u8]) {
    const DEVICE: &str = "sys/bus/pci/devices/0000:01:00.0";
    on(|place| {
        let mut lines = bytes.split(|byte| *byte == 0xff);
        for name in ["uevent", "class", "vendor", "device", "resource", "modalias", "boot_vga"] {
            place.put(&format!("{DEVICE}/{name}"), lines.next().unwrap_or_default());
        }
        let address: Address = "0000:01:00.0".parse().expect("an address");
        let _ = (Detail::read(&place.root, address), Pci::read(&place.root));
    });
}

/// The file of names.
pub fn pci_ids(bytes: &[u8]) {
    on(|place| {
        for path in ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"] {
            place.put(path, bytes);
        }
        let Ok(pci) = Pci::read(&place.root) else { return };
        let Ok(names) = Names::read(&place.root, &pci) else { return };
        for device in pci.devices() {
            let name = names.call(device);
            assert!(!name.chars().any(char::is_control), "{name:?}");
        }
    });
}

/// Mounts, swap, routes, memory, the command line.
pub fn proc_files(bytes: &[u8]) {
    on(|place| {
        let mut parts = bytes.split(|byte| *byte == 0xff);
        for path in [
            "proc/self/mountinfo",
            "proc/swaps",
            "proc/net/route",
            "proc/meminfo",
            "proc/cmdline",
            "etc/crypttab",
        ] {
            place.put(path, parts.next().unwrap_or_default());
        }
        let _ = (Storage::read(&place.root), Network::read(&place.root), Memory::read(&place.root));
        let _ = (Boot::read(&place.root), trial::notebook(&place.root));
    });
}

/// GRUB's variables.
pub fn grubenv(bytes: &[u8]) {
    on(|place| {
        place.put("boot/grub/grubenv", bytes);
        place.put("etc/deploy-vfio/trial.toml", bytes);
        let _ = (
            variable(&place.root, "dv_next"),
            trial::finding(&place.root, &Cmdline::from("quiet")),
        );
    });
}

/// The journal of an operation: told, or told to be damaged; what it says is never made up.
pub fn journal(bytes: &[u8]) {
    const JOURNAL: &str = "var/lib/deploy-vfio/tx/000001/journal";
    on(|place| {
        if !place.at(JOURNAL).exists() {
            let mut draft = Draft::new(&place.root);
            draft.write("etc/modprobe.d/fuzz.conf", "x\n").expect("a plan");
            let plan = draft.finish("fuzz").expect("a plan");
            let interrupt = Interrupt::new();
            let settings = Settings {
                rebuilder: &NoRebuild,
                verify: None,
                interrupt: &interrupt,
                wait: Duration::from_secs(1),
                progress: &|_| (),
            };
            change::apply(&place.root, &plan, &settings).expect("an operation");
            fs::copy(place.at(JOURNAL), place.at("good")).expect("a copy");
        }
        let good = fs::read(place.at("good")).expect("the journal");
        place.put(JOURNAL, bytes);
        let _ = (change::history(&place.root), change::ready(&place.root));
        let _ =
            (change::damage(&place.root, 1), change::preview_undo(&place.root, OnConflict::Stop));
        // The same with the beginning of a good one.
        let cut = bytes.len() % (good.len() + 1);
        place.put(JOURNAL, &[&good[..cut], bytes].concat());
        let _ = (change::history(&place.root), change::interrupted(&place.root));
    });
}
