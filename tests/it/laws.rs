//! The laws for commands that no case is about, on trees as people have them.

use vfio_testkit::{Description, Edits, Stage, laws::laws};

use super::{all, home, programs};

const MACHINES: &[&str] =
    &["two-gpus", "twin-cards", "igpu-and-card", "single-gpu", "no-iommu", "odd"];

const COMMANDS: &[&str] = &[
    "cpu",
    "cpu --host-cores 1",
    "cpu --guest 1",
    "cpu off",
    "hugepages 2M 64",
    "hugepages 1G 2",
    "hugepages 2M 64 --runtime",
    "hugepages off",
    "evdev",
    "evdev off",
    "--evdev --cpu --skip-vfio-setup",
    "--xml --parse all --multiboot last --skip-pre-setup",
    "--xml /root/drivers.xml --static file --hugepages 2M 64 --cpu",
    "--uninstall-pre-setup --uninstall-vfio-setup",
    "multiboot first",
    "multiboot last",
    "multiboot default",
    "multiboot last --parse all",
    "multiboot off",
    "static grub",
    "static grub --by-id --parse all",
    "static file",
    "static file --parse no-vga --blacklist",
    "static off",
    "zram-swap",
    "zram-swap force 1/2",
    "zram-swap off",
    "auto-xorg",
    "auto-xorg last amd",
    "auto-xorg off",
    "libvirt-hooks",
    "dynamic",
    "libvirt-hooks off",
    "audio-loopback off",
    "looking-glass off",
    "scream off",
    "dynamic off",
    "guest win10 --define",
    "guest win10 --define --without devices --vcpus 1",
    "guest win10 --patch /etc/libvirt/qemu/win10.xml --parse vga",
    "--libvirt-hooks --dynamic --skip-pre-setup --skip-vfio-setup",
    "--zram-swap 1/4 --hugepages 2M 64 --skip-vfio-setup",
    "--uninstall-post-setup --skip-pre-setup --skip-vfio-setup",
    "uninstall",
    "uninstall --undo",
];

#[test]
fn commands_keep_the_laws_whatever_people_did_to_the_files() {
    let edits = [Edits::None, Edits::User, Edits::Crlf];
    let trees: Vec<(&str, Edits)> =
        MACHINES.iter().flat_map(|machine| edits.map(|edits| (*machine, edits))).collect();
    all(&trees, |(machine, edits)| {
        let problem = |error: std::io::Error| error.to_string();
        let file = home("machines").join(format!("{machine}.json"));
        let described = Description::read(&file).map_err(problem)?;
        let stage = Stage::new(&described, *edits).map_err(problem)?;
        let mut broken = String::new();
        for command in COMMANDS {
            let words: Vec<&str> = command.split(' ').collect();
            if let Err(error) = laws(&programs(), stage.path(), &words) {
                broken += &format!("{machine} with {edits:?} edits: {error}\n");
            }
            stage.reset().map_err(problem)?;
        }
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    });
}
