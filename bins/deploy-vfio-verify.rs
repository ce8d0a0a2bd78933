//! `deploy-vfio verify`: whether the boot menu and images in place boot what is deployed.

use std::process::ExitCode;

use vfio_cli::{Context, Failure};

#[derive(clap::Args)]
struct Args {}

fn main() -> ExitCode {
    vfio_cli::main("verify", "Check that the boot menu boots what is deployed", |cx, Args {}| {
        run(cx)
    })
}

fn run(cx: &Context) -> Result<(), Failure> {
    let expected = vfio_grub::Expected::of(&cx.draft())?;
    vfio_grub::verify(cx.root(), &[], &expected)?;
    if cx.global().json {
        vfio_cli::json::print(serde_json::json!({ "ok": true }));
        return Ok(());
    }
    cx.print("The boot menu is complete.");
    Ok(())
}
