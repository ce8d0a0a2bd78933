//! The program of the loopback, where each of the sound systems runs.

use std::{fs, path::Path, process::Output};

use super::{program, script, write};

const SETTINGS: &str = "etc/deploy-vfio/audio-loopback";

/// A session in which these programs are there, each with a line of what it does.
fn session(programs: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, does) in programs {
        program(dir.path(), name, does);
    }
    dir
}

fn run(root: &Path, settings: &str) -> (Output, Vec<String>) {
    write(root, SETTINGS, settings);
    let output = script(root, "audio-loopback").arg(root.join(SETTINGS)).output().unwrap();
    let log = fs::read_to_string(root.join("log")).unwrap_or_default();
    (output, log.lines().map(str::to_owned).collect())
}

#[test]
fn b50_pipewire_comes_first_and_devices_are_named() {
    let dir = session(&[("pw-loopback", ""), ("pw-cli", ""), ("pactl", ""), ("alsaloop", "")]);
    let (output, log) = run(dir.path(), "# x\nsource=alsa_input.a b\nsink=out\nlatency=20\n");
    assert!(output.status.success(), "{output:?}");
    let line = "pw-loopback --latency 20 --capture alsa_input.a b --playback out";
    assert_eq!(log.last().unwrap(), line);
    let (_, log) = run(dir.path(), "# x\n");
    assert_eq!(log.last().unwrap(), "pw-loopback --latency 50");
}

#[test]
fn pulseaudio_keeps_the_module_as_long_as_it_lasts() {
    let answers = "case $1 in load-module) echo 7 ;; esac";
    let dir = session(&[("pw-loopback", ""), ("pw-cli", "exit 1"), ("pactl", answers)]);
    let (output, log) = run(dir.path(), "sink=out\n");
    assert_eq!(output.status.code(), Some(1), "the module is gone, the service begins anew");
    let loaded = "pactl load-module module-loopback latency_msec=50 sink=out";
    assert!(log.iter().any(|line| line == loaded), "{log:?}");
}

#[test]
fn alsa_does_it_by_itself_and_nobody_says_so() {
    let silent = [("pw-cli", "exit 1"), ("pactl", "exit 1")];
    let dir = session(&[&silent[..], &[("alsaloop", "")]].concat());
    let (output, log) = run(dir.path(), "source=hw:CARD=PCH\nlatency=40\n");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(log.last().unwrap(), "alsaloop -C hw:CARD=PCH -P default -t 40000");

    let (output, _) = run(session(&silent).path(), "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("neither PipeWire nor PulseAudio runs"), "{said}");
}

#[test]
fn sources_and_sinks_are_listed_by_name() {
    let lists =
        "case $3 in sources) printf '1\\tmic\\tx\\n' ;; sinks) printf '2\\tout\\tx\\n' ;; esac";
    let dir = session(&[("pactl", lists)]);
    let output = script(dir.path(), "audio-loopback").arg("list").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sources:\nmic\nsinks:\nout\n");
}
