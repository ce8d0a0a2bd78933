//! A keyboard and mouse switch in software: a guest is given the host's own devices through
//! evdev, and a key hands them over and back.
//!
//! * [`Request`]: what is asked for; [`plan`] writes it into a draft.
//! * [`Setup`]: what is deployed, kept in [`FRAGMENT`] for every later command.
//! * [`xml`]: what a guest's definition needs.
//!
//! libvirt since 7.4 does the rest by itself. Before, or when asked to, QEMU is told by its command
//! line, and three files of the system let it: [`Form::CommandLine`].
//!
//! Invariant: a device is named by what udev calls it, never by the number of its event node, which
//! changes from boot to boot.

mod acl;
mod choice;
mod error;
mod members;
mod plan;
mod setup;
mod toggle;
mod xml;

pub use choice::{Device, LeftOut, devices};
pub use error::Error;
pub use plan::{Request, Wish, plan};
pub use setup::{FRAGMENT, Form, Setup, deployed};
pub use toggle::Toggle;
pub use xml::xml;
