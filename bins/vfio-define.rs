//! Has libvirt accept the guest that a file defines: `vfio-define FILE [URI]`.
//!
//! It is no command: what changes a definition runs it. A program of its own, so that a daemon that
//! does not answer can be given up on, and so that nothing else loads libvirt.

#![expect(clippy::print_stderr, reason = "who runs it keeps what it says")]
#![expect(clippy::disallowed_methods, reason = "it reads the one file that it is told")]

use std::process::ExitCode;

use vfio_core::Advice;
use vfio_libvirt::{LIBRARY, Libvirt};

/// The guests of the system.
const SYSTEM: &str = "qemu:///system";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (file, uri) = match &words[..] {
        [file] => (file, SYSTEM),
        [file, uri] => (file, uri.as_str()),
        _ => {
            eprintln!("usage: vfio-define FILE [URI]");
            return ExitCode::from(2);
        }
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{file}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match Libvirt::open(LIBRARY).and_then(|libvirt| libvirt.define(uri, &text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.help().iter().for_each(|line| eprintln!("help: {line}"));
            ExitCode::FAILURE
        }
    }
}
