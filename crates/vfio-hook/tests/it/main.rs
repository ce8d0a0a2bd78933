//! Calls of the hook on a machine of its own, whose kernel and systemd are played.
#![allow(clippy::disallowed_methods, reason = "a test makes trees")]

mod attend;
mod devices;
mod machine;
