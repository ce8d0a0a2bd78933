//! What every `deploy-vfio-*` program shares: global options, the way from a draft to the disk,
//! output, exit codes, and how programs find each other.
//!
//! This crate is the terminal: it alone prints, prompts and reads the environment. A program of
//! our own, or a plugin in Rust, is one call of [`main`]:
//!
//! ```no_run
//! #[derive(clap::Args)]
//! struct Args {
//!     /// What to write
//!     text: String,
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     vfio_cli::main("greet", "Writes a greeting", |cx, args: Args| {
//!         let mut draft = cx.draft();
//!         draft.write("etc/deploy-vfio/greeting", args.text)?;
//!         cx.commit(draft, None)
//!     })
//! }
//! ```

mod commit;
mod context;
mod failure;
mod global;
pub mod json;
mod output;
mod program;
pub mod programs;
mod signals;
mod table;
mod users;

pub use context::Context;
pub use failure::{Failure, Usage};
pub use global::Global;
pub use program::main;
pub use table::table;
