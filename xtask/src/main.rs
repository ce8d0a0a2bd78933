//! Development tasks: `cargo xtask vm` tests the programs on a real machine in QEMU, `cargo xtask
//! libvirt` beside real daemons, `cargo xtask faults` kills and disturbs them at every step.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a development tool: it builds disks, starts QEMU and talks to a developer"
)]

mod bench;
mod demo;
mod faults;
mod fuzz;
mod libvirt;
mod live;
mod once;
mod package;
mod pages;
mod sound;
mod vm;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Development tasks of deploy-vfio")]
enum Task {
    /// Measure what `groups` costs.
    Bench(bench::Options),
    /// Show the main job on a sample machine, without root.
    Demo(demo::Options),
    /// Write the manual pages into a directory.
    Man(pages::Options),
    /// Write the completion scripts into a directory.
    Completions(pages::Options),
    /// Build the Debian package, and let lintian look at it.
    Package(package::Options),
    /// Take everything back with the statically linked programs, in a root with nothing else.
    Live,
    /// Run scenarios on a real Debian machine in QEMU.
    Vm(vm::Options),
    /// Let real libvirt daemons read what `evdev` makes of their qemu.conf.
    Libvirt(libvirt::Options),
    /// Let a real PipeWire play what `audio-loopback` sets up.
    Sound(sound::Options),
    /// Kill and disturb the release programs at every step.
    Faults(faults::Options),
    /// Boot what is on trial, on six file systems, whatever becomes of it.
    Once(once::Options),
    /// Try every parser on what no person would write.
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let result = match Task::parse() {
        Task::Bench(options) => bench::main(&options),
        Task::Demo(options) => demo::main(&options),
        Task::Man(options) => pages::man(&options),
        Task::Completions(options) => pages::completions(&options),
        Task::Package(options) => package::main(&options),
        Task::Live => live::main(),
        Task::Vm(options) => vm::main(&options),
        Task::Libvirt(options) => libvirt::main(&options),
        Task::Sound(options) => sound::main(&options),
        Task::Faults(options) => faults::main(&options),
        Task::Once(options) => once::main(&options),
        Task::Fuzz(options) => fuzz::main(&options),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
