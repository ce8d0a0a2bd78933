//! The options that every program takes, before or after the command's own words.
//!
//! The dispatcher passes them on in the environment, so that even a plugin that ignores them gets
//! a true dry run from the programs it calls.

use std::{ffi::OsString, path::PathBuf};

use anstream::ColorChoice;
use clap::{Args, builder::FalseyValueParser};

/// Options of every `deploy-vfio` program.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Show what would change, and change nothing
    #[arg(long, global = true, short = 'n', env = "DEPLOY_VFIO_DRY_RUN", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub dry_run: bool,

    /// Do not ask
    #[arg(long, global = true, short = 'y', env = "DEPLOY_VFIO_YES", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub yes: bool,

    /// Print one JSON document instead of text
    #[arg(long, global = true, env = "DEPLOY_VFIO_JSON", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub json: bool,

    /// Print results, warnings and errors only
    #[arg(long, global = true, short = 'q', env = "DEPLOY_VFIO_QUIET", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub quiet: bool,

    /// Say more about what is being done
    #[arg(long, global = true, env = "DEPLOY_VFIO_VERBOSE", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub verbose: bool,

    /// Work on the system below DIR instead of /
    #[arg(long, global = true, value_name = "DIR", env = "DEPLOY_VFIO_ROOT", hide_env = true)]
    pub root: Option<PathBuf>,

    /// Plan against a described machine (`deploy-vfio host --json`); changes nothing
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DEPLOY_VFIO_MACHINE",
        hide_env = true,
        conflicts_with = "root"
    )]
    pub machine: Option<PathBuf>,

    /// Leave initramfs and boot menu to be rebuilt by hand
    #[arg(long, global = true, env = "DEPLOY_VFIO_NO_REBUILD", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub no_rebuild: bool,

    /// Work on distributions that deploy-vfio does not know
    #[arg(long, global = true, env = "DEPLOY_VFIO_IGNORE_DISTRO", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub ignore_distro: bool,

    /// Exit with 1 when changes are pending; only with --dry-run
    #[arg(long, global = true, requires = "dry_run", env = "DEPLOY_VFIO_EXIT_CODE", hide_env = true,
          value_parser = FalseyValueParser::new())]
    pub exit_code: bool,

    #[command(flatten)]
    pub(crate) color: colorchoice_clap::Color,
}

impl Global {
    /// The same options as environment variables for a program that is started next.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let flags = [
            ("DEPLOY_VFIO_DRY_RUN", self.dry_run),
            ("DEPLOY_VFIO_YES", self.yes),
            ("DEPLOY_VFIO_JSON", self.json),
            ("DEPLOY_VFIO_QUIET", self.quiet),
            ("DEPLOY_VFIO_VERBOSE", self.verbose),
            ("DEPLOY_VFIO_NO_REBUILD", self.no_rebuild),
            ("DEPLOY_VFIO_IGNORE_DISTRO", self.ignore_distro),
            ("DEPLOY_VFIO_EXIT_CODE", self.exit_code),
        ];
        let mut all: Vec<(&str, OsString)> =
            flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "1".into())).collect();
        all.extend(self.root.as_ref().map(|dir| ("DEPLOY_VFIO_ROOT", dir.into())));
        all.extend(self.machine.as_ref().map(|file| ("DEPLOY_VFIO_MACHINE", file.into())));
        match self.color.as_choice() {
            ColorChoice::Never => all.push(("NO_COLOR", "1".into())),
            ColorChoice::Always | ColorChoice::AlwaysAnsi => {
                all.push(("CLICOLOR_FORCE", "1".into()))
            }
            ColorChoice::Auto => {}
        }
        all
    }
}
