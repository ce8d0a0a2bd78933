//! Keyboards, mice and the like: `/sys/class/input`, and what udev makes of it below `/dev/input`.

use std::io;

use crate::description::InputDescription;

use super::{Scene, maker::Maker, pci::Buses};

const KEYS: &str = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe";

/// Lays out the input devices; a machine of which none are described has a keyboard.
pub(super) fn lay_out(scene: Scene<'_>) -> io::Result<()> {
    let Scene { make, machine, roles, buses } = scene;
    let mut inputs = machine.inputs.clone();
    if let ([], Some(address)) = (inputs.as_slice(), &roles.keyboard) {
        inputs.push(keyboard(address));
    }
    let mut text = String::new();
    for input in &inputs {
        text += &device(make, input, buses)?;
    }
    for (name, target) in &machine.input_links {
        make.file(&format!("dev/input/{target}"), "")?;
        make.link(&format!("dev/input/{name}"), &format!("dev/input/{target}"))?;
    }
    make.file("proc/bus/input/devices", text)
}

fn keyboard(address: &str) -> InputDescription {
    let by_path = format!("by-path/pci-{address}-usb-0:1:1.0-event-kbd");
    InputDescription {
        event: 3,
        name: "USB Keyboard".to_owned(),
        kind: "keyboard".to_owned(),
        pci: Some(address.to_owned()),
        place: "usb1/1-1/1-1:1.0/0003:1234:5678.0001".to_owned(),
        ids: "1234:5678".to_owned(),
        serial: None,
        links: vec!["by-id/usb-USB_Keyboard-event-kbd".to_owned(), by_path],
    }
}

/// `ev`, `key`, `rel` and `abs` of a device of that kind.
fn capabilities(kind: &str) -> io::Result<[&'static str; 4]> {
    Ok(match kind {
        "keyboard" => ["120013", KEYS, "0", "0"],
        "consumer" => ["1f", "3f000301ff 0 0 0 0 0 0 0", "1040", "0"],
        "mouse" => ["17", "1f0000 0 0 0 0", "903", "0"],
        "tablet" => ["b", "1c03 0 0 0 0 0", "0", "1000003"],
        "touchpad" => ["b", "e520 10000 0 0 0 0", "0", "2608000 3"],
        "power" => ["3", "10000000000000 0", "0", "0"],
        other => return Err(io::Error::other(format!("no input device is a `{other}`"))),
    })
}

/// Lays out one device; its paragraph of `/proc/bus/input/devices`.
fn device(make: &Maker, input: &InputDescription, buses: &Buses) -> io::Result<String> {
    let InputDescription { event: number, name, place, .. } = input;
    let above = match &input.pci {
        Some(address) => buses.of(address),
        None => "sys/devices".to_owned(),
    };
    let (at, event) = (format!("{above}/{place}/input/input{number}"), format!("event{number}"));
    let phys = match &input.pci {
        Some(address) => format!("usb-{address}-1/input0"),
        None => String::new(),
    };
    let [ev, key, rel, abs] = capabilities(&input.kind)?;
    make.lines(&at, &[("name", name), ("phys", &phys), ("uniq", "")])?;
    let abilities = [("ev", ev), ("rel", rel), ("abs", abs), ("key", key)];
    make.lines(&format!("{at}/capabilities"), &abilities)?;
    hardware(make, input, &format!("{above}/{place}"))?;
    let minor = 64 + number;
    let uevent = format!("MAJOR=13\nMINOR={minor}\nDEVNAME=input/{event}");
    let lines = [("dev", &*format!("13:{minor}")), ("uevent", &uevent)];
    make.lines(&format!("{at}/{event}"), &lines)?;
    make.link(&format!("{at}/{event}/device"), &at)?;
    make.link(&format!("sys/class/input/input{number}"), &at)?;
    make.link(&format!("sys/class/input/{event}"), &format!("{at}/{event}"))?;
    make.file(&format!("dev/input/{event}"), "")?;
    for link in &input.links {
        make.link(&format!("dev/input/{link}"), &format!("dev/input/{event}"))?;
    }
    let (vendor, product) = input.ids.split_once(':').unwrap_or(("0000", "0000"));
    let sysfs = at.trim_start_matches("sys");
    let handlers = if input.kind == "keyboard" { "sysrq kbd event3 leds" } else { "event" };
    let handlers = handlers.replace("event3", &event);
    Ok(format!(
        "I: Bus=0003 Vendor={vendor} Product={product} Version=0110\nN: Name=\"{name}\"\n\
         P: Phys={phys}\nS: Sysfs={sysfs}\nU: Uniq=\nH: Handlers={handlers} \n\
         B: PROP=0\nB: EV={ev}\nB: KEY={key}\nB: MSC=10\nB: LED=7\n\n"
    ))
}

/// What a USB device says of itself, in the directory above that of its interface.
fn hardware(make: &Maker, input: &InputDescription, at: &str) -> io::Result<()> {
    let parts: Vec<&str> = at.split('/').collect();
    let interface = |part: &&str| part.contains('-') && part.contains(":1.");
    let Some(end) = parts.iter().rposition(interface).filter(|_| !input.ids.is_empty()) else {
        return Ok(());
    };
    let dir = parts[..end].join("/");
    let (vendor, product) = input.ids.split_once(':').unwrap_or_default();
    make.lines(&dir, &[("idVendor", vendor), ("idProduct", product)])?;
    match &input.serial {
        Some(serial) => make.lines(&dir, &[("serial", serial)]),
        None => Ok(()),
    }
}
