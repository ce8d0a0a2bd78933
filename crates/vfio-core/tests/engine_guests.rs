//! Guests' definitions: a daemon is given them, may refuse them, and writes them in its own words.
#![allow(clippy::disallowed_methods, reason = "a test makes its own tree")]

use std::{cell::RefCell, fs, os::unix::fs::PermissionsExt, time::Duration};

use tempfile::TempDir;
use vfio_core::{
    Error, Result, Root,
    change::{
        self, Artefact, Draft, Interrupt, Job, OnConflict, Plan, Rebuild, Rebuilder, Settings,
        Standing,
    },
};

const GUEST: &str = "etc/libvirt/qemu/win 10.xml";
const OTHER: &str = "etc/libvirt/qemu/other.xml";

/// A daemon that accepts what does not say "refuse me", and remembers what it was told to do.
#[derive(Default)]
struct Daemon {
    told: RefCell<Vec<String>>,
}

impl Rebuilder for Daemon {
    fn stage(&self, root: &Root, what: Rebuild, job: &Job<'_>) -> Result<Vec<Artefact>> {
        assert_eq!(what, Rebuild::Guests);
        let text = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        for path in job.given {
            if text(path).contains("refuse me") {
                let (program, status) = ("vfio-define".to_owned(), "exit status 1".to_owned());
                return Err(Error::Program { program, status, output: Vec::new() });
            }
            let own = format!("<!-- libvirt's -->\n{}", text(path));
            let new = root.path().join("new");
            fs::write(&new, own).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
            fs::rename(&new, root.path().join(path)).unwrap();
            self.told.borrow_mut().push(format!("accept /{path}"));
        }
        if job.given.is_empty() {
            self.told.borrow_mut().push("look again".to_owned());
        }
        Ok(Vec::new())
    }

    fn by_hand(&self, _: &Root, _: Rebuild) -> Vec<String> {
        Vec::new()
    }
}

impl Daemon {
    fn told(&self) -> Vec<String> {
        self.told.take()
    }

    fn settings(&self) -> Settings<'_> {
        static CALM: Interrupt = Interrupt::new();
        let wait = Duration::from_secs(1);
        Settings { rebuilder: self, verify: None, interrupt: &CALM, wait, progress: &|_| () }
    }
}

fn host() -> (TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("etc/libvirt/qemu")).unwrap();
    for path in [GUEST, OTHER] {
        fs::write(dir.path().join(path), "<domain/>\n").unwrap();
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    (dir, root)
}

fn plan(root: &Root, changes: &[(&str, &str)]) -> Plan {
    let mut draft = Draft::new(root);
    for (path, text) in changes {
        draft.write(path, *text).unwrap();
    }
    draft.finish("guest").unwrap()
}

fn text(root: &Root, path: &str) -> String {
    root.text(path).unwrap().unwrap()
}

#[test]
fn what_a_daemon_made_of_a_guest_is_ours_and_comes_back_as_it_was() {
    let ((_dir, root), daemon) = (host(), Daemon::default());
    let plan = plan(&root, &[(GUEST, "<domain>ours</domain>\n")]);
    assert_eq!(plan.rebuilds(), [Rebuild::Guests].into());
    for round in 0..2 {
        match round {
            0 => drop(change::apply(&root, &plan, &daemon.settings()).unwrap()),
            _ => drop(change::redo(&root, &daemon.settings()).unwrap().unwrap()),
        }
        assert_eq!(daemon.told(), ["accept /etc/libvirt/qemu/win 10.xml"], "round {round}");
        assert_eq!(text(&root, GUEST), "<!-- libvirt's -->\n<domain>ours</domain>\n");
        let operation = &change::history(&root).unwrap()[0];
        let standing = change::standing(&root, operation).unwrap();
        assert_eq!(standing, [(GUEST.to_owned(), Standing::InPlace)]);
        change::undo(&root, OnConflict::Stop, &daemon.settings()).unwrap().unwrap();
        assert_eq!(daemon.told(), ["look again"]);
        assert_eq!(text(&root, GUEST), "<domain/>\n");
    }
    assert_eq!(text(&root, OTHER), "<domain/>\n");
}

#[test]
fn a_guest_that_is_refused_takes_all_others_back_with_it() {
    let ((_dir, root), daemon) = (host(), Daemon::default());
    // In path order the daemon has accepted one when it refuses the other.
    let changes = [(OTHER, "<domain>ours</domain>\n"), (GUEST, "<domain>refuse me</domain>\n")];
    let error = change::apply(&root, &plan(&root, &changes), &daemon.settings()).unwrap_err();
    assert!(matches!(error, Error::Program { .. }), "{error}");
    assert_eq!(
        (text(&root, GUEST), text(&root, OTHER)),
        ("<domain/>\n".into(), "<domain/>\n".into())
    );
    assert_eq!(daemon.told(), ["accept /etc/libvirt/qemu/other.xml", "look again"]);
    assert_eq!(change::interrupted(&root).unwrap(), None);
}

#[test]
fn what_somebody_edited_since_is_told_and_not_lost() {
    let ((dir, root), daemon) = (host(), Daemon::default());
    let plan = plan(&root, &[(GUEST, "<domain>ours</domain>\n")]);
    change::apply(&root, &plan, &daemon.settings()).unwrap();
    let edited = "<domain>ours and theirs</domain>\n";
    fs::write(dir.path().join(GUEST), edited).unwrap();
    let stopped = change::undo(&root, OnConflict::Stop, &daemon.settings()).unwrap_err();
    assert!(matches!(stopped, Error::Conflict { .. }), "{stopped}");
    let kept = change::undo(&root, OnConflict::Keep, &daemon.settings()).unwrap().unwrap();
    assert_eq!((kept.kept, text(&root, GUEST)), (vec![GUEST.to_owned()], edited.to_owned()));
}

#[test]
fn a_second_operation_on_a_guest_goes_back_to_the_first() {
    let ((_dir, root), daemon) = (host(), Daemon::default());
    for ours in ["<domain>1</domain>\n", "<domain>2</domain>\n"] {
        change::apply(&root, &plan(&root, &[(GUEST, ours)]), &daemon.settings()).unwrap();
    }
    for left in ["<!-- libvirt's -->\n<domain>1</domain>\n", "<domain/>\n"] {
        change::undo(&root, OnConflict::Stop, &daemon.settings()).unwrap().unwrap();
        assert_eq!(text(&root, GUEST), left);
    }
}
