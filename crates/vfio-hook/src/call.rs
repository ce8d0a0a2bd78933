//! What libvirt calls a hook with: `GUEST OPERATION SUB-OPERATION EXTRA`.
//!
//! Source: <https://libvirt.org/hooks.html>. A guest that starts goes through `prepare` (before its
//! devices are detached from the host), `start` and `started`; one that stops through `stopped` and
//! `release` (all resources are free again; called also when a start failed). `reconnect` comes for
//! each running guest when the daemon starts anew.

use crate::Error;

/// A moment in a guest's life that something is done at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before anything is taken from the host.
    Prepare,
    /// QEMU runs.
    Started,
    /// Everything that the guest had is free.
    Release,
    /// The daemon found the guest running.
    Reconnect,
    /// Nothing of ours happens.
    Other,
}

/// One call of the hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The guest's name, as libvirt has it.
    pub guest: String,
    /// What happens: `prepare`, `started`, …
    pub operation: String,
    /// `begin`, `end` or `-`.
    pub part: String,
    /// What libvirt says besides, `-` for nothing.
    pub extra: String,
}

impl Call {
    /// Reads the hook's arguments.
    ///
    /// # Errors
    ///
    /// Fewer than a guest and an operation; a name that no guest of libvirt has: empty, `.`, `..`,
    /// longer than 255 bytes, with a slash or a NUL.
    pub fn read(arguments: &[String]) -> Result<Self, Error> {
        let [guest, operation, more @ ..] = arguments else { return Err(Error::NotACall) };
        let odd = guest.is_empty() || guest.len() > 255 || guest == "." || guest == "..";
        if odd || guest.contains(['/', '\0']) {
            return Err(Error::GuestName(guest.chars().take(40).collect()));
        }
        let word = |at: usize| more.get(at).map_or("-", String::as_str).to_owned();
        Ok(Self {
            guest: guest.clone(),
            operation: operation.clone(),
            part: word(0),
            extra: word(1),
        })
    }

    /// The moment that it is.
    #[must_use]
    pub fn moment(&self) -> Moment {
        match (self.operation.as_str(), self.part.as_str()) {
            ("prepare", "begin") => Moment::Prepare,
            ("started", "begin") => Moment::Started,
            ("release", "end") => Moment::Release,
            ("reconnect", "begin") => Moment::Reconnect,
            _ => Moment::Other,
        }
    }

    /// The guest's name as a part of a unit's or a file's name, as systemd escapes it.
    #[must_use]
    pub fn escaped(&self) -> String {
        escape(&self.guest)
    }
}

/// Escapes a name as systemd.unit(5) describes it: ASCII letters, digits, `:`, `_` and `.` stay (a
/// dot not at the beginning), a slash becomes a dash, every other byte `\xHH`.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if at == 0 => escaped.push_str(r"\x2e"),
            b':' | b'_' | b'.' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!(r"\x{byte:02x}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &[&str]) -> Result<Call, Error> {
        Call::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_moments_are_those_of_libvirt() {
        for (words, moment) in [
            (["win10", "prepare", "begin", "-"], Moment::Prepare),
            (["win10", "start", "begin", "-"], Moment::Other),
            (["win10", "started", "begin", "-"], Moment::Started),
            (["win10", "stopped", "end", "-"], Moment::Other),
            (["win10", "release", "end", "destroyed"], Moment::Release),
            (["win10", "reconnect", "begin", "-"], Moment::Reconnect),
            (["win10", "migrate", "begin", "-"], Moment::Other),
            (["win10", "prepare", "end", "-"], Moment::Other),
        ] {
            assert_eq!(call(&words).unwrap().moment(), moment, "{words:?}");
        }
        assert_eq!(call(&["a", "prepare"]).unwrap().part, "-");
    }

    #[test]
    fn a_name_that_is_no_guests_is_refused() {
        for bad in ["", ".", "..", "../x", "a/b", &"x".repeat(256)] {
            assert!(matches!(call(&[bad, "prepare"]), Err(Error::GuestName(_))), "{bad}");
        }
        assert!(matches!(call(&["a"]), Err(Error::NotACall)));
    }

    #[test]
    fn b66_names_are_escaped_as_systemd_does_it() {
        for (name, escaped) in [
            ("win10", "win10"),
            ("win 10", r"win\x2010"),
            ("win-10", r"win\x2d10"),
            (".hidden", r"\x2ehidden"),
            ("a.b_c:d", "a.b_c:d"),
            (r#"a"b\c$"#, r"a\x22b\x5cc\x24"),
            ("ü", r"\xc3\xbc"),
        ] {
            assert_eq!(escape(name), escaped);
        }
    }
}
