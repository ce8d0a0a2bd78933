//! Finds `deploy-vfio-<name>` and becomes it.

fn main() {}
