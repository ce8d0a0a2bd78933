//! What is done while guests run, and that it is as before afterwards.

use vfio_hook::{Call, DYNAMIC, SETTINGS, run_scripts};

use crate::machine::Played;

fn pinned(cpus: &str) -> String {
    let pins = cpus.split(' ').map(|cpu| format!("<vcpupin vcpu='0' cpuset='{cpu}'/>"));
    format!("<domain><cputune>{}</cputune></domain>", pins.collect::<String>())
}

fn governor(machine: &Played, cpu: u32) -> String {
    machine.text(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"))
}

#[test]
fn b63_the_host_s_programs_keep_to_the_other_cpus() {
    let machine = Played::new();
    machine.start("a", &pinned("2 6")).unwrap();
    for unit in ["init.scope", "system.slice", "user.slice"] {
        assert_eq!(machine.allowed(unit).unwrap(), "0-1,3-5,7", "{unit}");
    }
    machine.stop("a", &pinned("2 6"));
    assert_eq!(machine.allowed("user.slice").unwrap(), "0-7", "what it was before");
}

#[test]
fn programs_without_a_list_of_their_own_have_every_cpu_again() {
    // systemd 252 leaves the group's CPUs as they are when the property alone goes.
    let machine = Played::new();
    machine.allowed_before.set("");
    machine.start("a", &pinned("2 6")).unwrap();
    machine.stop("a", &pinned("2 6"));
    let ran = machine.ran.borrow();
    let told = "set-property --runtime user.slice AllowedCPUs=";
    let lists: Vec<&str> = ran.iter().filter_map(|line| Some(line.split_once(told)?.1)).collect();
    assert_eq!(lists, ["0-1,3-5,7", "0-7", ""]);
}

#[test]
fn b64_no_mask_of_the_kernel_s_is_written() {
    // CPUs are lists for systemd, so hundreds of them are no other case than eight.
    let machine = Played::new();
    let masks = [
        "sys/devices/virtual/workqueue/cpumask",
        "sys/bus/workqueue/devices/writeback/cpumask",
        "proc/irq/default_smp_affinity",
    ];
    masks.iter().for_each(|path| machine.file(path, "ffffffff,ffffffff\n"));
    machine.file("sys/devices/system/cpu/online", "0-383\n");
    machine.start("a", &pinned("96 191 288 383")).unwrap();
    assert_eq!(machine.allowed("user.slice").unwrap(), "0-95,97-190,192-287,289-382");
    machine.stop("a", &pinned("96 191 288 383"));
    for path in masks {
        assert_eq!(machine.text(path).trim(), "ffffffff,ffffffff", "{path}");
    }
}

#[test]
fn b65_cpus_of_guests_that_still_run_stay_theirs() {
    let machine = Played::new();
    machine.start("a", &pinned("2 6")).unwrap();
    machine.start("b", &pinned("3 7")).unwrap();
    assert_eq!(machine.allowed("system.slice").unwrap(), "0-1,4-5");
    machine.stop("a", &pinned("2 6"));
    assert_eq!(machine.allowed("system.slice").unwrap(), "0-2,4-6");
    machine.stop("b", &pinned("3 7"));
    assert_eq!(machine.allowed("system.slice").unwrap(), "0-7");
}

#[test]
fn b65_guests_without_pins_and_isolated_cpus_move_nobody() {
    let machine = Played::new();
    machine.start("a", "<domain/>").unwrap();
    machine.file("sys/devices/system/cpu/isolated", "2-3\n");
    machine.start("b", &pinned("2 3")).unwrap();
    machine.start("c", &pinned("0-7")).unwrap();
    assert_eq!(machine.allowed("system.slice"), None, "{:?}", machine.ran.borrow());
}

#[test]
fn governors_and_huge_pages_are_as_before_after_the_last_guest() {
    let machine = Played::new();
    let huge = "sys/kernel/mm/transparent_hugepage/enabled";
    machine.start("a", &pinned("2 3")).unwrap();
    machine.start("b", &pinned("3 4")).unwrap();
    assert_eq!(
        [2, 3, 4, 5].map(|cpu| governor(&machine, cpu)),
        ["performance", "performance", "performance", "schedutil"]
    );
    assert!(machine.text(huge).contains("[madvise]"), "{}", machine.text(huge));
    machine.stop("a", &pinned("2 3"));
    assert_eq!([2, 3].map(|cpu| governor(&machine, cpu)), ["schedutil", "performance"]);
    let changed = "sys/devices/system/cpu/cpu4/cpufreq/scaling_governor";
    machine.file(changed, "powersave\n");
    machine.stop("b", &pinned("3 4"));
    assert_eq!(governor(&machine, 4), "powersave", "somebody else's choice");
    assert!(machine.text(huge).contains("[never]"), "{}", machine.text(huge));
}

#[test]
fn b66_the_machine_stays_awake_under_an_escaped_name() {
    let machine = Played::new();
    machine.start("win 10-a", "<domain/>").unwrap();
    let unit = r"deploy-vfio-nosleep@win\x2010\x2da.service";
    let started = format!("/usr/bin/systemctl start --no-block {unit}");
    assert!(machine.ran.borrow().contains(&started), "{:?}", machine.ran.borrow());
    machine.call("win 10-a|reconnect|begin|-", "<domain/>").unwrap();
    let times = machine.ran.borrow().iter().filter(|line| **line == started).count();
    assert_eq!(times, 2, "armed again after the daemon came back");
    machine.stop("win 10-a", "<domain/>");
    let stopped = format!("/usr/bin/systemctl stop --no-block {unit}");
    assert!(machine.ran.borrow().contains(&stopped));
}

#[test]
fn b62_only_devices_keep_a_guest_from_starting() {
    let machine = Played::new();
    machine.file(SETTINGS, "[all\n");
    machine.file("run/deploy-vfio/guests.json", "{");
    machine.start("a", "no XML").unwrap();
    machine.stop("a", "no XML");
    machine.file(DYNAMIC, "");
    assert!(machine.start("a", "no XML").is_err());
}

#[test]
fn b67_a_display_is_told_and_asked() {
    let machine = Played::new();
    machine.file(SETTINGS, "[guest.a]\ndisplays = [{ bus = 4, guest = 17, host = 15 }]\n");
    machine.start("a", "<domain/>").unwrap();
    machine.start("b", "<domain/>").unwrap();
    machine.stop("a", "<domain/>");
    let ran = machine.ran.borrow();
    let told: Vec<&String> = ran.iter().filter(|line| line.contains("ddcutil")).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].ends_with("--bus 4 --noverify setvcp 60 0x11"), "{told:?}");
    assert!(told[1].ends_with("--bus 4 --brief getvcp 60"), "{told:?}");
    assert!(told[2].ends_with("setvcp 60 0x0f"), "{told:?}");
}

#[test]
fn qemu_s_share_is_its_scope_s() {
    let machine = Played::new();
    machine.file("run/libvirt/qemu/a.pid", "77\n");
    machine.file("proc/77/cgroup", "0::/machine.slice/machine-qemu\\x2d1\\x2da.scope/libvirt\n");
    machine.start("a", "<domain/>").unwrap();
    let told = "/usr/bin/systemctl set-property --runtime -- \
                machine-qemu\\x2d1\\x2da.scope CPUWeight=1000";
    assert!(machine.ran.borrow().iter().any(|line| line == told), "{:?}", machine.ran.borrow());
}

#[test]
fn b68_a_guest_s_own_programs_are_run() {
    let machine = Played::new();
    for name in ["20-b", "10-a", "note.txt", "30.loose"] {
        machine.file(&format!("etc/libvirt/hooks/qemu.d/win10/prepare/begin/{name}"), "");
    }
    let words = ["win10", "prepare", "begin", "-"].map(str::to_owned);
    let call = Call::read(&words).unwrap();
    run_scripts(&machine.root(), &machine, &call, b"<domain/>");
    let of = |name: &str| {
        format!("/etc/libvirt/hooks/qemu.d/win10/prepare/begin/{name} win10 prepare begin - <9")
    };
    assert_eq!(*machine.ran.borrow(), [of("10-a"), of("20-b")]);
    machine.file(SETTINGS, "[all]\nscripts = false\n");
    run_scripts(&machine.root(), &machine, &call, b"<domain/>");
    assert_eq!(machine.ran.borrow().len(), 2);
}

#[test]
fn devices_alone_bring_no_comforts() {
    let machine = Played::new();
    machine.remove(SETTINGS);
    machine.file(DYNAMIC, "");
    machine.start("a", &pinned("2 3")).unwrap();
    assert!(machine.ran.borrow().is_empty(), "{:?}", machine.ran.borrow());
    assert_eq!(governor(&machine, 2), "schedutil");
}
