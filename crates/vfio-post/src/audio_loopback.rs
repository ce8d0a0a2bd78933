//! What comes in at one sound device is heard at another: a guest's own card, by a cable to line-in.
//!
//! A service of one user runs a program of ours, which asks PipeWire, PulseAudio or ALSA, whichever
//! runs there, see `assets/audio-loopback`. Devices are named, never numbered.

use vfio_core::change::Draft;

use crate::{shared_memory::Error, user_unit::UserUnit};

/// What is played where: `source=`, `sink=`, `latency=`.
const SETTINGS: &str = "etc/deploy-vfio/audio-loopback";
const PROGRAM: &str = "usr/local/lib/deploy-vfio/audio-loopback";
const PROGRAM_TEXT: &str = include_str!("../assets/audio-loopback");
const UNIT: UserUnit = UserUnit {
    name: "deploy-vfio-audio-loopback.service",
    text: include_str!("../assets/deploy-vfio-audio-loopback.service"),
};
/// The longest delay that is believed, in milliseconds.
const SLOWEST: u32 = 2000;

/// What is heard where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loop<'a> {
    /// The source's name; `None` for the session's own choice.
    pub source: Option<&'a str>,
    /// The sink's name; `None` for the session's own choice.
    pub sink: Option<&'a str>,
    /// The delay in milliseconds; `None` for 50.
    pub latency: Option<u32>,
}

/// Plans the service of `user`, or takes it away (`None`).
///
/// # Errors
///
/// Nobody is known who hears it; a name with a line's end in it; a delay of 0 or over two seconds; a
/// tree that cannot be read.
pub fn plan(draft: &mut Draft<'_>, wanted: Option<(Loop<'_>, Option<&str>)>) -> Result<(), Error> {
    let Some((Loop { source, sink, latency }, user)) = wanted else {
        draft.remove(SETTINGS);
        draft.remove(PROGRAM);
        UNIT.disable(draft);
        return Ok(());
    };
    for name in [source, sink].into_iter().flatten() {
        if name.is_empty() || name.contains(char::is_control) || name.starts_with('-') {
            return Err(Error::NotADevice(name.chars().take(60).collect()));
        }
    }
    if let Some(latency) = latency.filter(|latency| !(1..=SLOWEST).contains(latency)) {
        return Err(Error::NotADelay(latency));
    }
    let mut text = "# Written by `deploy-vfio audio-loopback`.\n".to_owned();
    let latency = latency.map(|latency| latency.to_string());
    for (key, value) in [("source", source), ("sink", sink), ("latency", latency.as_deref())] {
        text += &value.map_or(String::new(), |value| format!("{key}={value}\n"));
    }
    draft.write(SETTINGS, text)?;
    draft.write_executable(PROGRAM, PROGRAM_TEXT)?;
    UNIT.enable(draft, user, &[])?;
    draft.note(format!("`/{PROGRAM} list` names the sources and sinks of a session"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use vfio_core::Root;

    use super::*;

    #[test]
    fn it_comes_and_goes_as_a_whole() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        let line = Loop { source: Some("alsa_input.x"), sink: None, latency: Some(20) };
        plan(&mut draft, Some((line, Some("anna")))).unwrap();
        let text = draft.text(SETTINGS).unwrap().unwrap();
        assert!(text.ends_with("\nsource=alsa_input.x\nlatency=20\n"), "{text}");
        assert_eq!(draft.clone().finish("x").unwrap().changes.len(), 4);
        plan(&mut draft, None).unwrap();
        assert!(draft.finish("x").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let root = Root::empty();
        let refused = |line: Loop<'_>, user: Option<&str>| {
            plan(&mut Draft::new(&root), Some((line, user))).unwrap_err().to_string()
        };
        let named = |name| Loop { source: Some(name), ..Loop::default() };
        assert!(refused(named("a\nb"), Some("anna")).contains("is no sound device's name"));
        assert!(refused(named("-x"), Some("anna")).contains("is no sound device's name"));
        let slow = Loop { latency: Some(2001), ..Loop::default() };
        assert!(refused(slow, Some("anna")).contains("2001 ms"));
        assert!(refused(Loop::default(), None).starts_with("nobody is known"));
        assert!(refused(Loop::default(), Some("a b")).contains("cannot stand in"));
    }
}
