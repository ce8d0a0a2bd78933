//! `deploy-vfio hugepages 1G 16`, or `deploy-vfio hugepages off`.

use std::process::ExitCode;

use vfio_cli::{Context, Failure, Usage};
use vfio_hugepages::Request;

const MORE: &str = "\
Pages are reserved on the kernel's command line, because memory is whole only at boot. At least
4 GiB stay with the host. With a menu of `deploy-vfio multiboot` they are reserved in its entries
only: a normal boot loses no memory.

Examples:
  deploy-vfio hugepages 1G 16
      Reserve 16 GiB in pages of 1 GiB.
  deploy-vfio hugepages 2M 4096 --dry-run
      Show what 8 GiB in pages of 2 MiB would change.
  deploy-vfio hugepages off
      Reserve none.

Files:
  /etc/deploy-vfio/cmdline.d/20-hugepages.conf
      The kernel's parameters.

See also:
  deploy-vfio multiboot";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
struct Args {
    /// The size of a page, or `off`
    #[arg(value_name = "2M|1G|off")]
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
    vfio_grub::render(&mut draft, &machine.boot)?;
    let expected = vfio_grub::Expected::of(&draft)?;
    cx.commit(draft, Some(&|root, staged| vfio_grub::verify(root, staged, &expected)))
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
