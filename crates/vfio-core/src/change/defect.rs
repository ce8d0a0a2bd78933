//! Defects that the fault tests plant to prove that they would notice.
//!
//! Invariant: without the cargo feature `defects` every question is answered "no" at compile
//! time, and nothing reads the environment.

/// Whether the defect `name` was asked for with `DEPLOY_VFIO_DEFECT`.
#[cfg(feature = "defects")]
#[expect(clippy::disallowed_methods, reason = "never part of a release")]
pub(crate) fn defect(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("DEPLOY_VFIO_DEFECT").ok());
    chosen.as_deref() == Some(name)
}

/// There are none.
#[cfg(not(feature = "defects"))]
pub(crate) const fn defect(_: &str) -> bool {
    false
}
