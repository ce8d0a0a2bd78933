//! `deploy-vfio hugepages 1G 16`, or `deploy-vfio hugepages off`.

use std::process::ExitCode;

use vfio_cli::{Context, Failure, Usage};
use vfio_hugepages::Request;

#[derive(clap::Args)]
struct Args {
    /// Page size, `2M` or `1G`; or `off`
    #[arg(value_name = "SIZE|off")]
    size: String,
    /// Number of pages
    count: Option<String>,
}

fn main() -> ExitCode {
    vfio_cli::main("hugepages", "Reserve huge pages for guests at boot", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let request = request(&args)?;
    let machine = cx.machine()?;
    let mut draft = cx.draft();
    vfio_hugepages::plan(&mut draft, &machine.cpu, &machine.memory, request)?;
    deploy_vfio::finish(cx, draft, &machine)
}

fn request(args: &Args) -> Result<Request, Failure> {
    let help = ["deploy-vfio hugepages 1G 16", "deploy-vfio hugepages off"];
    match (args.size.as_str(), args.count.as_deref()) {
        ("off", None) => Ok(Request::Off),
        ("off", Some(_)) => Err(Usage::new("`off` takes no number of pages", &help).into()),
        (size, None) => {
            size.parse::<vfio_hugepages::PageSize>()?;
            Err(Usage::new("how many pages?", &help).into())
        }
        (size, Some(count)) => {
            let size = size.parse()?;
            let wrong = || {
                Usage::new(format!("`{}` is not a number of pages", count.escape_debug()), &help)
            };
            let count = count.parse().map_err(|_| wrong())?;
            Ok(Request::Reserve { size, count })
        }
    }
}
