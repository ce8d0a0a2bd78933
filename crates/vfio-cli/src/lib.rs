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

mod asked;
mod candidates;
mod commit;
mod complete;
pub mod completions;
mod context;
mod environment;
mod failure;
mod global;
pub mod json;
mod listing;
mod manual;
mod output;
mod program;
pub mod programs;
mod prompt;
mod signals;
mod table;
mod trust;
mod users;

pub use asked::is_asked;
pub use context::{Context, DEFINER};
pub use failure::{Failure, Usage};
pub use global::Global;
pub use program::{line, main};
pub use prompt::Answer;
pub use table::table;
