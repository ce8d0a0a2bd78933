//! Development tasks: `cargo xtask vm` tests the programs on a real machine in QEMU.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a development tool: it builds disks, starts QEMU and talks to a developer"
)]
#![allow(dead_code, reason = "scenarios take what they need from the rig")]

mod vm;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Development tasks of deploy-vfio")]
enum Task {
    /// Run scenarios on a real Debian machine in QEMU.
    Vm(vm::Options),
}

fn main() -> ExitCode {
    let Task::Vm(options) = Task::parse();
    match vm::main(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
