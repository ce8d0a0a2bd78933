//! Looking Glass: a guest's screen in a window of the host, through memory that both see.
//!
//! Source: <https://looking-glass.io/docs> (two frames and 10 MiB besides, rounded up to a power of
//! two).

use std::{fmt, str::FromStr};

use vfio_core::{
    change::{Draft, Image},
    host::installed_package,
};

use crate::shared_memory::{Error, Memory};

const MEMORY: Memory = Memory { feature: "looking-glass", name: "looking-glass" };
/// The widest and highest screen that is believed.
const LARGEST: u64 = 16_384;
/// The client's program, and Debian's package of it.
const CLIENT: &str = "looking-glass-client";
const FRAMES: u64 = 2;
const BESIDES_MIB: u64 = 10;

/// A guest's screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    width: u64,
    height: u64,
}

impl Screen {
    /// The memory that its frames take, in MiB; `hdr` has eight bytes a pixel instead of four.
    #[must_use]
    pub fn mib(&self, hdr: bool) -> u64 {
        let pixel = if hdr { 8 } else { 4 };
        let frames = self.width * self.height * pixel * FRAMES;
        (frames.div_ceil(1 << 20) + BESIDES_MIB).next_power_of_two()
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self { width: 1920, height: 1080 }
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Screen {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let side = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let side = text.parse().ok().filter(|_| plain);
            side.filter(|side| (1..=LARGEST).contains(side))
        };
        let sides = text.split_once('x').and_then(|(one, other)| side(one).zip(side(other)));
        let wrong = || Error::NotAScreen(text.chars().take(40).collect());
        sides.map(|(width, height)| Self { width, height }).ok_or_else(wrong)
    }
}

/// Has every boot make the memory for `user`, who runs the client; or no longer (`None`).
///
/// # Errors
///
/// Nobody is known who runs it; a tree that cannot be read.
pub fn plan(draft: &mut Draft<'_>, wanted: Option<Option<&str>>) -> Result<(), Error> {
    match wanted {
        None => {
            MEMORY.unshare(draft);
            Ok(())
        }
        Some(user) => {
            MEMORY.share(draft, user)?;
            Ok(client(draft)?)
        }
    }
}

/// Says which client there is: it and the application in the guest understand each other only where
/// both are of one version.
fn client(draft: &mut Draft<'_>) -> Result<(), vfio_core::Error> {
    if let Some(version) = installed_package(draft.root(), CLIENT)? {
        draft.note(format!(
            "the client is the package {CLIENT} {version}: the application in the guest must be of \
             that version"
        ));
        return Ok(());
    }
    for dir in ["usr/local/bin", "usr/bin"] {
        if draft.image(&format!("{dir}/{CLIENT}"))? != Image::Absent {
            draft.note(format!(
                "/{dir}/{CLIENT} says its version when it starts: the application in the guest must \
                 be of that version"
            ));
            return Ok(());
        }
    }
    draft
        .note(format!("the client `{CLIENT}` is not installed: it is built from source as a rule"));
    Ok(())
}

/// What a guest with this screen needs inside `<devices>`.
#[must_use]
pub fn xml(screen: Screen, hdr: bool) -> String {
    MEMORY.xml(screen.mib(hdr)) + "<memballoon model='none'/>\n"
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test makes its own tree")]
mod tests {
    use std::fs;

    use vfio_core::Root;

    use super::*;

    #[test]
    fn the_memory_is_as_looking_glass_s_own_table_has_it() {
        for (screen, mib, hdr) in [
            ("1920x1080", 32, 64),
            ("1920x1200", 32, 64),
            ("2560x1440", 64, 128),
            ("3840x2160", 128, 256),
        ] {
            let screen: Screen = screen.parse().unwrap();
            assert_eq!((screen.mib(false), screen.mib(true)), (mib, hdr), "{screen}");
        }
        assert!(xml(Screen::default(), false).contains("<size unit='M'>32</size>"));
    }

    #[test]
    fn what_is_no_screen_is_told() {
        for bad in ["", "1920", "x", "1920x", "0x1080", "-1x1", "+1x1", "16385x1", "1920X1080"] {
            let error = bad.parse::<Screen>().unwrap_err();
            assert!(error.to_string().ends_with("is no screen's size"), "{bad}: {error}");
        }
    }

    #[test]
    fn somebody_has_to_run_the_client() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        assert!(matches!(plan(&mut draft, Some(None)), Err(Error::NoUser)));
        assert!(matches!(plan(&mut draft, Some(Some("a b"))), Err(Error::OddUser(_))));
        plan(&mut draft, Some(Some("anna"))).unwrap();
        let line = "f /dev/shm/looking-glass 0660 anna kvm -\n";
        let path = "etc/tmpfiles.d/50-deploy-vfio-looking-glass.conf";
        assert!(draft.text(path).unwrap().unwrap().ends_with(line));
        plan(&mut draft, None).unwrap();
        assert!(draft.finish("x").unwrap().is_empty());
    }

    #[test]
    fn the_client_s_version_is_told_where_it_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let told = || {
            let mut draft = Draft::new(&root);
            plan(&mut draft, Some(Some("anna"))).unwrap();
            draft.finish("x").unwrap().notes.pop().unwrap()
        };
        assert!(told().contains("is not installed"), "{}", told());
        fs::create_dir_all(dir.path().join("usr/local/bin")).unwrap();
        fs::write(dir.path().join("usr/local/bin/looking-glass-client"), "x").unwrap();
        assert!(told().starts_with("/usr/local/bin/looking-glass-client says"), "{}", told());
        fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        let status =
            "Package: looking-glass-client\nStatus: install ok installed\nVersion: 0+b1-5\n";
        fs::write(dir.path().join("var/lib/dpkg/status"), status).unwrap();
        assert!(told().contains("looking-glass-client 0+b1-5: the application"), "{}", told());
    }
}
