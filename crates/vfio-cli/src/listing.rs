//! The files of a plan that are named instead of shown.
//!
//! A diff of a program says nothing, and one of its manual page nothing new: what is no text, and
//! what comes with programs below a `share` directory, is a line with its size.

use vfio_core::change::{Change, Image, Plan};

use crate::table;

/// The changes of the plan without those that are only named, and a table of these.
pub(crate) fn split(plan: &Plan) -> (Plan, Option<String>) {
    let (named, shown): (Vec<&Change>, Vec<&Change>) =
        plan.changes.iter().partition(|change| is_named(change));
    let rows: Vec<[String; 4]> = named.into_iter().map(row).collect();
    let listed = (!rows.is_empty()).then(|| table(["size", "mode", "change", "file"], &rows));
    (Plan { changes: shown.into_iter().cloned().collect(), ..Plan::default() }, listed)
}

fn is_named(change: &Change) -> bool {
    let binary = |image: &Image| match image {
        Image::File { bytes, .. } => bytes.contains(&0),
        Image::Unkept { .. } => true,
        Image::Absent | Image::Link(_) => false,
    };
    let data = !change.path.starts_with("etc/") && change.path.contains("share/");
    data || binary(&change.before) || binary(&change.after)
}

fn row(change: &Change) -> [String; 4] {
    let Change { path, before, after } = change;
    let (how, now) = match (before, after) {
        (Image::Absent, now) => ("new", now),
        (before, Image::Absent) => ("removed", before),
        (_, now) => ("replaced", now),
    };
    let mode = now.meta().map_or("link".to_owned(), |meta| format!("{:04o}", meta.mode));
    [size(now.size()), mode, how.to_owned(), format!("/{path}")]
}

/// A size for a person, rounded up.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use vfio_core::{Root, change::Draft};

    use super::*;

    #[test]
    fn programs_and_what_comes_with_them_are_named() {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        draft.write("etc/share/x.conf", "x\n").unwrap();
        draft.write("usr/local/share/man/man1/x.1", [b'x'; 1025]).unwrap();
        draft.write_executable("usr/local/bin/script", "#!/bin/sh\n").unwrap();
        draft.write_executable("usr/local/bin/x", vec![0; 3 << 20]).unwrap();
        draft.symlink("usr/local/share/man/man1/y.1", "x.1");
        let (shown, listed) = split(&draft.finish("x").unwrap());
        let paths: Vec<&str> = shown.changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["etc/share/x.conf", "usr/local/bin/script"]);
        let lines = " size  mode  change  file\n3 MiB  0755  new     /usr/local/bin/x\n\
                     2 KiB  0644  new     /usr/local/share/man/man1/x.1\n  \
                     0 B  link  new     /usr/local/share/man/man1/y.1";
        assert_eq!(listed.unwrap(), lines);
        assert_eq!(split(&Plan::default()), (Plan::default(), None));
    }
}
