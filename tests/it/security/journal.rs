//! T13: a record that somebody else changed, by chance or by will.

use std::fs;

use super::*;

/// A machine with one operation, and the files of its record.
fn deployed() -> (Stage, Vec<PathBuf>) {
    let stage = stage();
    said(&run(stage.path(), &["hugepages", "2M", "64", "--yes", "--no-rebuild"]), 0);
    let mut files = Vec::new();
    let mut todo = vec![stage.path().join("var/lib/deploy-vfio/tx/000001")];
    while let Some(path) = todo.pop() {
        match path.is_dir() {
            true => todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path())),
            false => files.push(path),
        }
    }
    files.sort();
    (stage, files)
}

#[test]
fn sec_t13_a_bit_that_flips_is_noticed() {
    let (stage, files) = deployed();
    let etc = || vfio_testkit::Tree::read(&stage.path().join("etc")).unwrap();
    let before = etc();
    let mut tried = 0;
    for file in &files {
        let good = fs::read(file).unwrap();
        let step = (good.len() / 12).max(1);
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(file, &bad).unwrap();
            let output = run(stage.path(), &["undo", "--dry-run"]);
            let text = [&output.stdout[..], &output.stderr[..]].concat();
            let text = String::from_utf8_lossy(&text);
            assert!(
                matches!(output.status.code(), Some(3 | 4 | 6)),
                "{} at {at}: {text}",
                file.display()
            );
            assert!(!text.contains("panicked"), "{text}");
            assert_eq!(before.diff(&etc()), "");
            tried += 1;
        }
        fs::write(file, &good).unwrap();
    }
    assert!(tried > 20, "{tried}");
    said(&run(stage.path(), &["undo", "--yes", "--no-rebuild"]), 0);
}

/// A journal whose last line is not whole is one that a power cut left, and is recovered.
#[test]
fn sec_t13_a_record_that_names_other_files_is_no_way_to_write_them() {
    let (_, files) = deployed();
    for n in 0..files.len() {
        let (stage, files) = deployed();
        let good = fs::read(&files[n]).unwrap();
        let text =
            String::from_utf8_lossy(&good).replace("etc/deploy-vfio/cmdline.d", "etc/../../x");
        fs::write(&files[n], &text).unwrap();
        let output = run(stage.path(), &["undo", "--yes", "--no-rebuild"]);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
        let above = stage.path().parent().unwrap();
        assert!(!stage.path().join("x").exists() && !above.join("x").exists());
    }
}

#[test]
fn sec_t13_records_are_root_s_alone() {
    let (_stage, files) = deployed();
    for file in &files {
        let dir = fs::metadata(file.parent().unwrap()).unwrap();
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o077, 0, "{}", file.display());
        assert_eq!(dir.mode() & 0o077, 0, "{}", file.display());
    }
}
