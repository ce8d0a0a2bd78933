//! `deploy-vfio verify`: whether the boot menu and images in place boot what is deployed.

use std::process::ExitCode;

use vfio_cli::{Context, Failure, Usage};
use vfio_core::{Error, Exit, change::Programs};

const MORE: &str = "\
Each entry must stand in the menu, its kernel, initramfs and root must be there, and the initramfs
must hold vfio-pci and the script that binds. The exit status is 1 when something is missing.

Examples:
  deploy-vfio verify
      Say whether the next boot will do what was deployed.

See also:
  deploy-vfio multiboot
  deploy-vfio recover";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {}

fn main() -> ExitCode {
    vfio_cli::main("verify", "Check that the boot menu boots what is deployed", |cx, Args {}| {
        run(cx)
    })
}

/// Nothing was undertaken here, so nothing was rolled back: a check found something.
fn found(error: Error) -> Failure {
    match error {
        Error::Unverified { what, because } => {
            let help = ["`update-grub` and `update-initramfs -u -k all` make them anew"];
            Usage::new(what, &help).because(because).exiting(Exit::Failed).into()
        }
        error => error.into(),
    }
}

fn run(cx: &Context) -> Result<(), Failure> {
    let expected = vfio_grub::Expected::of(&cx.draft())?;
    let images = Programs::default().images(cx.root())?;
    vfio_grub::verify(cx.root(), &images, &expected).map_err(found)?;
    if cx.global().json {
        vfio_cli::json::print(serde_json::json!({ "ok": true }));
        return Ok(());
    }
    cx.print("The boot menu is complete.");
    Ok(())
}
