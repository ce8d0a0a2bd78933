//! T2: variables that somebody set for root.

use std::fs;

use super::*;

/// Variables that make some program load, run, read or write something; and whatever nobody knows.
const DANGEROUS: [&str; 44] = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "LD_DEBUG_OUTPUT",
    "GCONV_PATH",
    "GETCONF_DIR",
    "HOSTALIASES",
    "LOCALDOMAIN",
    "LOCPATH",
    "MALLOC_TRACE",
    "MALLOC_CHECK_",
    "NIS_PATH",
    "NLSPATH",
    "RESOLV_HOST_CONF",
    "RES_OPTIONS",
    "TMPDIR",
    "TZDIR",
    "BASH_ENV",
    "ENV",
    "IFS",
    "PS4",
    "SHELLOPTS",
    "BASHOPTS",
    "CDPATH",
    "GLOBIGNORE",
    "BASH_FUNC_x%%",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "RUBYLIB",
    "RUBYOPT",
    "GRUB_CMDLINE_LINUX",
    "GRUB_DISTRIBUTOR",
    "DPKG_ROOT",
    "DPKG_FORCE",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "SYSTEMD_PAGER",
    "MANPAGER",
    "LESSOPEN",
    "GLIBC_TUNABLES",
];

/// A plugin that says what it was given.
fn with_plugin(text: &str) -> tempfile::TempDir {
    let dir = private();
    script(&dir.path().join("deploy-vfio-plugin"), text);
    dir
}

#[test]
fn sec_t2_nothing_that_is_not_known_arrives() {
    if !is_root() {
        return;
    }
    let (stage, dir) = (stage(), with_plugin("#!/bin/sh\nexec /usr/bin/env -0\n"));
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let mut command = command(&path, stage.path(), &["plugin"]);
    // Not for ourselves: the loader would look for them.
    let harmless = DANGEROUS.iter().filter(|name| !name.starts_with("LD_"));
    command.envs(harmless.map(|name| (*name, "/tmp/hostile")));
    let output = said(&command.output().unwrap(), 0);
    for line in output.split('\0') {
        let name = line.split('=').next().unwrap();
        assert!(!DANGEROUS.contains(&name) && !line.contains("hostile"), "{line}");
    }
}

#[test]
fn sec_t2_what_the_loader_would_take_does_not_arrive_either() {
    if !is_root() {
        return;
    }
    let (stage, dir) = (stage(), with_plugin("#!/bin/sh\nexec /usr/bin/env\n"));
    let path = dir.path().to_str().unwrap().to_owned();
    for name in DANGEROUS.iter().filter(|name| name.starts_with("LD_")) {
        let mut command = command(&path, stage.path(), &["plugin"]);
        let output = command.env(name, "/nonexistent/x").output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stdout).contains(name), "{name}");
    }
}

#[test]
fn sec_t2_language_terminal_and_our_own_variables_arrive() {
    let (stage, dir) = (stage(), with_plugin("#!/bin/sh\nexec /usr/bin/env\n"));
    let path = dir.path().to_str().unwrap();
    let kept = [
        ("LANG", "de_DE.UTF-8"),
        ("TERM", "linux"),
        ("SUDO_UID", "1000"),
        ("DEPLOY_VFIO_OWN", "/a/b"),
        ("NO_COLOR", "1"),
    ];
    let mut command = command(path, stage.path(), &["--dry-run", "plugin"]);
    let output = said(&command.envs(kept).output().unwrap(), 0);
    for (name, value) in kept {
        assert!(output.contains(&format!("{name}={value}\n")), "{name}: {output}");
    }
    assert!(output.contains("DEPLOY_VFIO_DRY_RUN=1\n"), "{output}");
}

#[test]
fn sec_t2_a_language_is_not_a_path_and_no_value_is_endless() {
    if !is_root() {
        return;
    }
    let (stage, dir) = (stage(), with_plugin("#!/bin/sh\nexec /usr/bin/env\n"));
    let path = dir.path().to_str().unwrap();
    let mut command = command(path, stage.path(), &["plugin"]);
    command.env("LANG", "../../tmp/x").env("TERM", "x".repeat(5000));
    let output = said(&command.output().unwrap(), 0);
    assert!(!output.contains("LANG=") && !output.contains("TERM="), "{output}");
}

#[test]
fn sec_t2_a_pager_is_one_of_those_that_only_show() {
    if !is_root() {
        return;
    }
    let (stage, dir) = (stage(), with_plugin("#!/bin/sh\nexec /usr/bin/env\n"));
    let path = dir.path().to_str().unwrap();
    for (pager, kept) in [("less", true), ("sh -c id", false), ("/tmp/less", false), ("sh", false)]
    {
        let mut command = command(path, stage.path(), &["plugin"]);
        let told = said(&command.env("PAGER", pager).output().unwrap(), 0);
        assert_eq!(told.contains("\nPAGER="), kept, "{pager}: {told}");
    }
}

#[test]
fn sec_t2_directories_that_others_may_write_to_leave_path() {
    if !is_root() {
        return;
    }
    let (stage, dir, open) = (stage(), with_plugin("#!/bin/sh\necho \"$PATH\"\n"), private());
    mode(open.path(), 0o777);
    let path = format!("{}:.:{}:/usr/bin", open.path().display(), dir.path().display());
    let output = said(&command(&path, stage.path(), &["plugin"]).output().unwrap(), 0);
    assert_eq!(output.trim(), format!("{}:/usr/bin", dir.path().display()));
}

#[test]
fn sec_t2_settings_are_not_read_from_another_s_home() {
    if !is_root() {
        return;
    }
    let (stage, dir) = (stage(), with_plugin("#!/bin/sh\necho \"$HOME\"\n"));
    let home = |mode_of: u32| {
        let home = private();
        mode(home.path(), mode_of);
        let path = dir.path().to_str().unwrap();
        let mut command = command(path, stage.path(), &["plugin"]);
        let told = said(&command.env("HOME", home.path()).output().unwrap(), 0);
        (told.trim().to_owned(), home.path().to_str().unwrap().to_owned())
    };
    let (told, own) = home(0o755);
    assert_eq!(told, own);
    assert_eq!(home(0o777).0, "/root");
}

#[test]
fn sec_t2_the_shell_of_a_plugin_reads_no_file_of_another_s() {
    if !is_root() {
        return;
    }
    let (stage, dir) = (stage(), with_plugin("#!/bin/bash\necho done\n"));
    let evil = dir.path().join("evil");
    fs::write(&evil, "echo PLANTED\n").unwrap();
    let path = dir.path().to_str().unwrap();
    let mut command = command(path, stage.path(), &["plugin"]);
    let output = command.env("BASH_ENV", &evil).env("ENV", &evil).output().unwrap();
    assert_eq!(said(&output, 0).trim(), "done");
}

#[test]
fn sec_t2_closed_streams_are_no_file_of_ours() {
    let stage = stage();
    let line = format!(
        "exec {PROGRAM} --root {} hugepages 2M 64 --yes --no-rebuild <&- >&- 2>&-",
        stage.path().display()
    );
    let status = Command::new("/bin/sh").args(["-c", &line]).status().unwrap();
    // It cannot say that it is done, and what it did is whole.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    said(&run(stage.path(), &["undo", "--yes", "--no-rebuild"]), 0);
}

#[test]
fn sec_t2_no_core_file_is_left() {
    if !is_root() {
        return;
    }
    let (stage, dir) =
        (stage(), with_plugin("#!/bin/sh\n\"$DEPLOY_VFIO\" groups >/dev/null\nulimit -c\n"));
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let output = command(&path, stage.path(), &["plugin"]).output().unwrap();
    assert_eq!(said(&output, 0).trim(), "0");
}

#[test]
fn sec_t2_a_hostile_umask_opens_nothing() {
    let stage = stage();
    let line = format!(
        "umask 000; exec {PROGRAM} --root {} hugepages 2M 64 --yes --no-rebuild",
        stage.path().display()
    );
    let output = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
    said(&output, 0);
    let mut todo =
        vec![stage.path().join("var/lib/deploy-vfio"), stage.path().join("etc/deploy-vfio")];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        assert_eq!(meta.mode() & 0o022, 0, "{}", path.display());
        if meta.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}
