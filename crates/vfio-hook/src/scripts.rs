//! The user's own programs of a guest: `/etc/libvirt/hooks/qemu.d/GUEST/OPERATION/SUB-OPERATION/`.
//!
//! They get the arguments and the input that libvirt gives; they run in the order of their names.
//! One that fails is told of and keeps no guest from starting; one that others than root may change
//! is not run.

use std::time::Duration;

use vfio_core::Root;

use crate::{Call, Hands};

const DIRECTORY: &str = "etc/libvirt/hooks/qemu.d";
/// How long each may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the programs of this guest and moment.
pub fn run(root: &Root, hands: &dyn Hands, call: &Call, xml: &[u8]) {
    let plain = |part: &str| !part.is_empty() && !part.contains(['/', '.', '\0']);
    if !plain(&call.operation) || !plain(&call.part) {
        return;
    }
    let dir = format!("{DIRECTORY}/{}/{}/{}", call.guest, call.operation, call.part);
    for name in root.names(&dir).unwrap_or_default() {
        let path = format!("{dir}/{name}");
        match hands.is_program(&path) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(why) => {
                log::warn!("{}: /{path} is not run: {why}", call.guest);
                continue;
            }
        }
        let program = format!("/{path}");
        let line = [&program, &call.guest, &call.operation, &call.part, &call.extra];
        match hands.run(LIMIT, &line.map(String::as_str), xml) {
            Ok(_) => log::info!("{}: ran {program}", call.guest),
            Err(why) => log::warn!("{}: {why}", call.guest),
        }
    }
}
