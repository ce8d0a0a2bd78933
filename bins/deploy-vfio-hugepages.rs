//! `deploy-vfio hugepages 1G 16 [--node 0=8,1=8]`, `deploy-vfio hugepages 2M 512 --runtime`, or
//! `deploy-vfio hugepages off`.

use std::process::ExitCode;

use vfio_cli::{Context, Failure, Usage};
use vfio_hugepages::{Count, PageSize, Request};

#[derive(clap::Args)]
struct Args {
    /// Page size, `2M` or `1G`; or `off`
    #[arg(value_name = "SIZE|off")]
    size: String,
    /// Number of pages
    count: Option<String>,
    /// How many of them on each NUMA node: `0=4,1=4`
    #[arg(long, value_name = "NODE=COUNT,…")]
    node: Option<String>,
    /// Reserve pages of 2M while the system runs, without a reboot
    #[arg(long)]
    runtime: bool,
}

const HELP: &[&str] = &["deploy-vfio hugepages 1G 16", "deploy-vfio hugepages off"];

fn main() -> ExitCode {
    vfio_cli::main("hugepages", "Reserve huge pages for guests", run)
}

fn run(cx: &Context, args: Args) -> Result<(), Failure> {
    let request = request(&args)?;
    let machine = cx.machine()?;
    let mut draft = cx.draft();
    let (cpu, memory, kernels) = (&machine.cpu, &machine.memory, &machine.kernels);
    vfio_hugepages::plan(&mut draft, cpu, memory, kernels, &request)?;
    vfio_grub::render(&mut draft, &machine.boot)?;
    let expected = vfio_grub::Expected::of(&draft)?;
    cx.commit(draft, Some(&|root, staged| vfio_grub::verify(root, staged, &expected)))
}

fn request(args: &Args) -> Result<Request, Failure> {
    if args.size == "off" {
        let alone = args.count.is_none() && args.node.is_none() && !args.runtime;
        let more = || Usage::new("`off` takes no number of pages and no options", HELP).into();
        return alone.then_some(Request::Off).ok_or_else(more);
    }
    let size: PageSize = args.size.parse()?;
    let count = count(args)?;
    match (args.runtime, size) {
        (false, size) => Ok(Request::Reserve { size, count }),
        (true, PageSize::M2) => Ok(Request::AtRuntime { count }),
        (true, PageSize::G1) => {
            let help = ["deploy-vfio hugepages 2M 512 --runtime", "deploy-vfio hugepages 1G 16"];
            Err(Usage::new("pages of 1G can only be reserved at boot", &help).into())
        }
    }
}

/// The count, in whichever way it is given; in both they must agree.
fn count(args: &Args) -> Result<Count, Failure> {
    let wrong = |text: &str, what: &str| {
        Usage::new(format!("`{}` is not {what}", text.escape_debug()), HELP)
    };
    let total = match &args.count {
        None => None,
        Some(text) => match text.parse::<u64>() {
            Ok(count) => Some(count),
            Err(_) => return Err(wrong(text, "a number of pages").into()),
        },
    };
    let Some(text) = &args.node else {
        return total.map(Count::from).ok_or_else(|| Usage::new("how many pages?", HELP).into());
    };
    match text.parse()? {
        Count::Anywhere(_) => Err(wrong(text, "a number of pages for each node, `0=4,1=4`").into()),
        count if total.is_some_and(|total| total != count.total()) => {
            let sum = count.total();
            Err(Usage::new(format!("the nodes' pages are {sum} in all"), HELP).into())
        }
        count => Ok(count),
    }
}
