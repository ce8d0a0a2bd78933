//! Scream: a Windows guest's sound, through memory that both see or through the network.
//!
//! Source: <https://github.com/duncanthrax/scream> (the driver finds its memory by the size of 2 MiB;
//! the network is multicast to 239.255.77.77, port 4010). The receiver runs as a user's own service.

use vfio_core::change::{Draft, Image};

use crate::{
    shared_memory::{Error, Memory},
    user_unit::UserUnit,
};

const MEMORY: Memory = Memory { feature: "scream", name: "scream-ivshmem" };
/// The driver takes a device of this size for its own, so no other may have it.
const MIB: u64 = 2;
const UNIT: UserUnit = UserUnit {
    name: "deploy-vfio-scream.service",
    text: include_str!("../assets/deploy-vfio-scream.service"),
};
/// Where receivers are found.
const RECEIVERS: [&str; 2] = ["usr/local/bin/scream", "usr/bin/scream"];
/// The longest name that an interface can have.
const LONGEST: usize = 15;

/// How sound comes to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through memory.
    Memory,
    /// Through this network interface.
    Network(String),
}

/// Plans the receiver of `user`, with what it receives from; or takes it away (`None`).
///
/// # Errors
///
/// Nobody is known who hears it; a name that no interface has; a tree that cannot be read.
pub fn plan(draft: &mut Draft<'_>, wanted: Option<(&Way, Option<&str>)>) -> Result<(), Error> {
    MEMORY.unshare(draft);
    let Some((way, user)) = wanted else {
        UNIT.disable(draft);
        return Ok(());
    };
    let from = match way {
        Way::Memory => {
            MEMORY.share(draft, user)?;
            format!("-m /dev/shm/{}", MEMORY.name)
        }
        Way::Network(interface) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@".contains(c);
            let odd = interface.is_empty() || interface.len() > LONGEST;
            if odd || !interface.chars().all(plain) {
                return Err(Error::NotAnInterface(interface.chars().take(40).collect()));
            }
            draft.note("a firewall must let UDP to 239.255.77.77, port 4010, pass");
            format!("-i {interface}")
        }
    };
    UNIT.enable(draft, user, &[("@FROM@", &from)])?;
    let mut there = false;
    for path in RECEIVERS {
        there |= draft.image(path)? != Image::Absent;
    }
    if !there {
        draft.note("the receiver `scream` is not installed: the service begins once it is");
    }
    Ok(())
}

/// What a guest needs inside `<devices>`; nothing where the network does it.
#[must_use]
pub fn xml(way: &Way) -> Option<String> {
    (*way == Way::Memory).then(|| MEMORY.xml(MIB))
}

/// What somebody types in the guest, once; nothing where the network does it.
#[must_use]
pub fn in_the_guest(way: &Way) -> Option<&'static str> {
    const LINE: &str = r"REG ADD HKLM\SYSTEM\CurrentControlSet\Services\Scream\Options /v UseIVSHMEM /t REG_DWORD /d 2";
    (*way == Way::Memory).then_some(LINE)
}

#[cfg(test)]
mod tests {
    use vfio_core::Root;

    use super::*;

    #[test]
    fn each_way_has_its_receiver_and_goes_as_a_whole() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        plan(&mut draft, Some((&Way::Memory, Some("anna")))).unwrap();
        let path = "etc/systemd/user/deploy-vfio-scream.service";
        let unit = draft.text(path).unwrap().unwrap();
        assert!(unit.contains("ConditionUser=anna\n"), "{unit}");
        assert!(unit.contains("ExecStart=scream -m /dev/shm/scream-ivshmem\n"), "{unit}");
        assert_eq!(draft.clone().finish("x").unwrap().changes.len(), 3);
        let network = Way::Network("virbr0".to_owned());
        plan(&mut draft, Some((&network, Some("anna")))).unwrap();
        assert!(draft.text(path).unwrap().unwrap().contains("ExecStart=scream -i virbr0\n"));
        assert_eq!(draft.clone().finish("x").unwrap().changes.len(), 2);
        plan(&mut draft, None).unwrap();
        assert!(draft.finish("x").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_interface_is_refused() {
        let root = Root::empty();
        for bad in ["", "a b", "x;y", "0123456789abcdef", "$(x)"] {
            let way = Way::Network(bad.to_owned());
            let refused = plan(&mut Draft::new(&root), Some((&way, Some("anna"))));
            assert!(matches!(refused, Err(Error::NotAnInterface(_))), "{bad}");
        }
    }
}
