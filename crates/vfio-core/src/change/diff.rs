//! Shows a plan as a unified diff.
//!
//! Invariants: what goes to a terminal has no control character but tabs and line breaks, and
//! the content of a file that not everyone may read is never shown; of a guest's definition, which
//! only root reads, the lines with passwords are not.

use std::fmt::Write;

use similar::TextDiff;

use crate::{
    change::{Change, Image, Meta, Plan},
    layout,
};

/// A plan as a unified diff: `a/` is the disk, `b/` the plan. No colour.
#[must_use]
pub fn diff(plan: &Plan) -> String {
    plan.changes.iter().map(of).collect()
}

fn of(change: &Change) -> String {
    let Change { path, before, after } = change;
    let path = escape(path);
    let mut out = format!("diff a/{path} b/{path}\n");
    header(&mut out, before, after);
    let guest = layout::guest(&change.path).is_some();
    if !guest && (before.is_secret() || after.is_secret()) {
        out.push_str("Content not shown: not everyone may read this file\n");
        return out;
    }
    let (Some(old), Some(new)) = (text(before), text(after)) else {
        let _ = match (before, after) {
            (Image::Absent, new) => writeln!(out, "Binary file: {} bytes", new.size()),
            (old, Image::Absent) => writeln!(out, "Binary file: {} bytes", old.size()),
            (old, new) => {
                writeln!(out, "Binary files differ: {} and {} bytes", old.size(), new.size())
            }
        };
        return out;
    };
    let (old, new) = if guest { (open(&old), open(&new)) } else { (old, new) };
    if old == new {
        return out;
    }
    let name = |image: &Image, side| match image {
        Image::Absent => "/dev/null".to_owned(),
        _ => format!("{side}/{path}"),
    };
    let (from, to) = (name(before, 'a'), name(after, 'b'));
    let diff = TextDiff::from_lines(old.as_str(), new.as_str());
    let _ = write!(out, "{}", diff.unified_diff().context_radius(3).header(&from, &to));
    out
}

/// A guest's definition without its passwords.
fn open(text: &str) -> String {
    let line = |line: &str| match line.contains("passwd") {
        true => "  (a line with a password is not shown)\n".to_owned(),
        false => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

fn header(out: &mut String, before: &Image, after: &Image) {
    match (mode(before), mode(after)) {
        (None, Some(mode)) => drop(writeln!(out, "new file mode {mode}")),
        (Some(mode), None) => drop(writeln!(out, "deleted file mode {mode}")),
        (Some(old), Some(new)) if old != new => {
            let _ = write!(out, "old mode {old}\nnew mode {new}\n");
        }
        _ => {}
    }
    if let (Some(old), Some(new)) = (before.meta(), after.meta()) {
        let owner = |meta: &Meta| format!("{}:{}", meta.uid, meta.gid);
        if owner(old) != owner(new) {
            let _ = write!(out, "old owner {}\nnew owner {}\n", owner(old), owner(new));
        }
        if old.xattrs != new.xattrs {
            out.push_str("extended attributes differ\n");
        }
    }
}

fn mode(image: &Image) -> Option<String> {
    match image {
        Image::Absent => None,
        Image::Link(_) => Some("120000".to_owned()),
        Image::File { meta, .. } | Image::Unkept { meta, .. } => {
            Some(format!("10{:04o}", meta.mode))
        }
    }
}

/// The content as text that is safe to show; `None` when it is binary.
fn text(image: &Image) -> Option<String> {
    match image {
        Image::Absent => Some(String::new()),
        Image::Link(to) => Some(escape(to)),
        Image::File { bytes, .. } if bytes.contains(&0) => None,
        Image::File { bytes, .. } => Some(escape(&String::from_utf8_lossy(bytes))),
        Image::Unkept { .. } => None,
    }
}

/// Control characters, and those that turn the direction of text around, as escapes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> Image {
        let meta =
            Meta { mode, uid: 0, gid: 0, mtime: None, xattrs: Default::default(), flags: None };
        Image::File { bytes: text.into(), meta }
    }

    fn shown(before: Image, after: Image) -> String {
        let changes = vec![Change { path: "etc/x".to_owned(), before, after }];
        diff(&Plan { changes, ..Plan::default() })
    }

    #[test]
    fn a_new_file_without_a_final_line_break() {
        assert_eq!(
            shown(Image::Absent, file("one\ntwo", 0o644)),
            "diff a/etc/x b/etc/x\nnew file mode 100644\n--- /dev/null\n+++ b/etc/x\n\
             @@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn modes_links_binaries_and_secrets() {
        let text = shown(file("a\n", 0o644), file("b\u{1b}[31m\n", 0o755));
        assert!(text.contains("old mode 100644\nnew mode 100755\n"), "{text}");
        assert!(text.contains("-a\n+b\\u{1b}[31m\n"), "{text}");
        let text = shown(Image::Link("there".to_owned()), Image::Absent);
        assert!(text.contains("deleted file mode 120000\n"), "{text}");
        assert!(text.contains("-there\n"), "{text}");
        let text = shown(file("a\0", 0o644), file("b", 0o644));
        assert!(text.contains("Binary files differ: 2 and 1 bytes"), "{text}");
        let text = shown(file("password\n", 0o600), file("other\n", 0o600));
        assert!(!text.contains("password") && text.contains("not shown"), "{text}");
        assert!(shown(file("hash\n", 0o640), file("other\n", 0o640)).contains("not shown"));
        assert_eq!(shown(file("a", 0o644), file("a", 0o755)).lines().count(), 3);
    }

    #[test]
    fn owners_attributes_and_turned_text_are_told() {
        let Image::File { bytes, mut meta } = file("a\u{202e}b\n", 0o644) else { unreachable!() };
        (meta.uid, meta.gid) = (1, 2);
        meta.xattrs.insert("user.x".to_owned(), b"1".to_vec());
        let text = shown(file("a\n", 0o644), Image::File { bytes, meta });
        assert!(text.contains("old owner 0:0\nnew owner 1:2\n"), "{text}");
        assert!(text.contains("extended attributes differ\n"), "{text}");
        assert!(text.contains("\n+a\\u{202e}b\n"), "{text}");
    }

    #[test]
    fn a_guest_is_shown_without_its_passwords() {
        let path = "etc/libvirt/qemu/guest.xml".to_owned();
        let before = file("<domain>\n<graphics passwd='x'/>\n</domain>\n", 0o600);
        let after = file("<domain>\n<graphics passwd='x'/>\n<input/>\n</domain>\n", 0o600);
        let changes = vec![Change { path, before, after }];
        let text = diff(&Plan { changes, ..Plan::default() });
        assert!(text.contains("\n+<input/>\n") && !text.contains("passwd='"), "{text}");
    }
}
