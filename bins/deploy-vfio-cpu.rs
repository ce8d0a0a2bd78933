//! `deploy-vfio cpu [--host-cores N | --guest LIST | --host LIST]`, or `deploy-vfio cpu off`.

use std::process::ExitCode;

use vfio_cli::{Context, Failure, Usage};
use vfio_core::CpuList;
use vfio_isolcpus::Request;

#[derive(clap::Args)]
struct Args {
    /// `auto`, the default, lets the topology decide; `off` gives all CPUs back to the host
    #[arg(value_name = "auto|off", conflicts_with_all = ["host_cores", "guest", "host"])]
    word: Option<String>,
    /// How many cores the host keeps, CPU 0's among them
    #[arg(long, value_name = "N", conflicts_with_all = ["guest", "host"])]
    host_cores: Option<u32>,
    /// CPUs for guests: `2-7,10-15`; the host has the others
    #[arg(long, value_name = "LIST", conflicts_with = "host")]
    guest: Option<CpuList>,
    /// CPUs for the host; guests have the others
    #[arg(long, value_name = "LIST")]
    host: Option<CpuList>,
}

fn main() -> ExitCode {
    vfio_cli::main("cpu", "Keep CPUs for guests, and the host off them", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let request = request(args)?;
    let machine = cx.machine()?;
    let mut draft = cx.draft();
    vfio_isolcpus::plan(&mut draft, &machine.cpu, &machine.kernels, &request)?;
    vfio_grub::render(&mut draft, &machine.boot)?;
    let expected = vfio_grub::Expected::of(&draft)?;
    cx.commit(draft, Some(&|root, staged| vfio_grub::verify(root, staged, &expected)))
}

fn request(args: Args) -> Result<Request, Failure> {
    match args {
        Args { word: Some(word), .. } if word == "off" => Ok(Request::Off),
        Args { word: Some(word), .. } if word == "auto" => Ok(Request::Auto),
        Args { word: Some(word), .. } => {
            let help = ["deploy-vfio cpu", "deploy-vfio cpu --guest 2-7", "deploy-vfio cpu off"];
            Err(Usage::new(format!("`{}` is neither `auto` nor `off`", word.escape_debug()), &help)
                .into())
        }
        Args { host_cores: Some(count), .. } => Ok(Request::HostCores(count)),
        Args { guest: Some(list), .. } => Ok(Request::Guest(list)),
        Args { host: Some(list), .. } => Ok(Request::Host(list)),
        _ => Ok(Request::Auto),
    }
}
