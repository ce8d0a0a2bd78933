//! Whether `audio-loopback` is heard: a real PipeWire in a session of its own, a tone that goes in at a
//! source, and what comes out at a sink, also after PipeWire began anew.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

const SESSION: &str = include_str!("assets/session");
const RATE: u32 = 48_000;
const SECONDS: u32 = 12;
/// The tone's height, and how much of it must arrive.
const LOUD: i16 = 12_000;
const HEARD: i16 = 6_000;

/// Nothing to choose.
#[derive(Debug, clap::Args)]
pub struct Options {}

/// Runs `cargo xtask sound`; needs PipeWire, WirePlumber and dbus-run-session.
pub fn main(_: &Options) -> Result<ExitCode> {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    fs::write(at("tone.wav"), tone())?;
    fs::write(at("session"), SESSION)?;
    let loopback = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/vfio-post/assets/audio-loopback")
        .canonicalize()?;
    let mut session = Command::new("dbus-run-session");
    session.args(["--", "timeout", "120", "bash"]).arg(at("session")).arg(dir.path()).arg(loopback);
    let output = session.output().context("dbus-run-session is not installed")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains("line-in") && said.contains("speaker"), "not listed: {said} {output:?}");
    for name in ["first.wav", "second.wav"] {
        let peak = peak(&fs::read(at(name)).with_context(|| format!("{name}: {output:?}"))?);
        println!("sound: {name}: the peak is {peak} of {LOUD}");
        ensure!(peak >= HEARD, "{name}: too quiet; {output:?}");
    }
    println!("2 passed, 0 failed");
    Ok(ExitCode::SUCCESS)
}

/// A tone of 440 Hz in two channels, as a WAV file.
fn tone() -> Vec<u8> {
    let mut samples = Vec::new();
    for at in 0..RATE * SECONDS {
        let turn = f64::from(at) * 440.0 / f64::from(RATE) * std::f64::consts::TAU;
        #[expect(clippy::cast_possible_truncation, reason = "it is at most as high as LOUD")]
        let height = (turn.sin() * f64::from(LOUD)) as i16;
        samples.extend([height.to_le_bytes(); 2].concat());
    }
    let size = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let mut wav = b"RIFF".to_vec();
    wav.extend((size + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * 4).to_le_bytes());
    wav.extend(b"\x04\0\x10\0data");
    wav.extend(size.to_le_bytes());
    wav.extend(samples);
    wav
}

/// The highest sample of a recording.
fn peak(wav: &[u8]) -> i16 {
    let samples = wav.get(44..).unwrap_or_default().chunks_exact(2);
    samples.map(|pair| i16::from_le_bytes([pair[0], pair[1]]).saturating_abs()).max().unwrap_or(0)
}
