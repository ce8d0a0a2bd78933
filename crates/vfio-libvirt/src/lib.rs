//! What a guest needs in its definition, put into it with everything else kept, and accepted by
//! libvirt.
//!
//! * [`Guest`]: what of a definition decides what it needs.
//! * [`hostdev`], [`hidden`], [`huge_pages`], [`pins`]: what it needs, as XML.
//! * [`merge`]: a definition with that in it, every other byte as it was.
//! * [`Libvirt`]: libvirt itself, opened when the program runs; nothing of it is linked.
//!
//! Invariants: [`merge`] of its own result changes nothing, and neither does what libvirt makes of
//! the result; `unsafe` is in `library.rs` alone.
//!
//! Source: <https://libvirt.org/formatdomain.html>.

mod error;
mod guest;
mod library;
mod markup;
mod merge;
mod needs;
mod same;

pub use error::Error;
pub use guest::Guest;
pub use library::{LIBRARY, Libvirt};
pub use merge::merge;
pub use needs::{hidden, hostdev, huge_pages, pins};
