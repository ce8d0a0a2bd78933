//! The command line of the original deploy-VFIO: options without a command word, several features
//! in one run.
//!
//! An option's own words end where the next option begins. `-h` alone is help, with a page size it
//! is `--hugepages`. What a section does not name stays as it is.

use clap::Args;
use vfio_cli::{Failure, Usage};
use vfio_iommu::{Choice, Selection};

use crate::{Hugepages, Multiboot, Setup, Wanted};

/// Options as the original documents them.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(disable_help_flag = true)]
pub struct Original {
    /// Groups for guests: `all`, `vga`, `no-vga`, `14`, `14-16`, joined by commas
    #[arg(long, short, value_name = "GROUPS")]
    pub parse: Option<Selection>,
    /// Reserve huge pages: page size and number of pages
    #[arg(long, short = 'h', num_args = 0..=2, value_names = ["SIZE", "COUNT"],
          help_heading = PRE_SETUP)]
    pub hugepages: Option<Vec<String>>,
    /// Leave pre-setup as it is
    #[arg(long, help_heading = PRE_SETUP)]
    pub skip_pre_setup: bool,
    /// Take pre-setup away
    #[arg(long, help_heading = PRE_SETUP,
          conflicts_with_all = ["hugepages", "skip_pre_setup"])]
    pub uninstall_pre_setup: bool,
    /// Offer a boot entry for each GPU; which one boots by itself
    #[arg(long, short, num_args = 0..=1, value_name = "first|last|default|GROUP",
          default_missing_value = "default", help_heading = VFIO_SETUP)]
    pub multiboot: Option<Choice>,
    /// Leave the VFIO setup as it is
    #[arg(long, help_heading = VFIO_SETUP, conflicts_with = "multiboot")]
    pub skip_vfio_setup: bool,
    /// Take the VFIO setup away
    #[arg(long, help_heading = VFIO_SETUP, conflicts_with_all = ["multiboot", "skip_vfio_setup"])]
    pub uninstall_vfio_setup: bool,
    /// Leave post-setup as it is
    #[arg(long, help_heading = POST_SETUP)]
    pub skip_post_setup: bool,
    /// Take post-setup away
    #[arg(long, help_heading = POST_SETUP, conflicts_with = "skip_post_setup")]
    pub uninstall_post_setup: bool,
    /// Take back the newest operation
    #[arg(long, short)]
    pub undo: bool,
    /// Print help
    #[arg(long)]
    pub help: bool,
}

const PRE_SETUP: &str = "Pre-setup";
const VFIO_SETUP: &str = "VFIO setup";
const POST_SETUP: &str = "Post-setup";
