//! `deploy-vfio zram-swap [force] [1/4|default]` or `deploy-vfio zram-swap off`.

use std::process::ExitCode;

use deploy_vfio::{Setup, Wanted, ZramSwap};

fn main() -> ExitCode {
    let about = "Swap to compressed memory";
    vfio_cli::main("zram-swap", about, |cx, wanted: Wanted<ZramSwap>| {
        Setup { zram_swap: Some(wanted), ..Setup::default() }.carry_out(cx)
    })
}
