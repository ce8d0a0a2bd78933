//! Which element of a definition is the one that is wanted, whatever else it says.

use roxmltree::Node;

use crate::markup::path;

/// Elements of which one says the whole: where it says something else it is replaced, since what
/// else stands in it may not fit.
const WHOLE: [&str; 2] = ["memballoon", "topology"];

/// Attributes that a user's own choice is kept of.
const THEIRS: [(&str, &str); 2] = [("cpu", "mode"), ("vendor_id", "value")];

/// Whether both are the same thing of a guest: the only one of its name, or told by what it says.
pub(crate) fn same(there: Node<'_, '_>, wanted: Node<'_, '_>) -> bool {
    if there.tag_name() != wanted.tag_name() {
        return false;
    }
    let by = |name: &str| there.attribute(name) == wanted.attribute(name);
    match wanted.tag_name().name() {
        "vcpupin" => by("vcpu"),
        "iothreadpin" => by("iothread"),
        "shmem" | "feature" => by("name"),
        "page" => by("nodeset"),
        "input" => by("type") && device(there) == device(wanted),
        "hostdev" => by("type") && address(there).is_some_and(|a| Some(a) == address(wanted)),
        "arg" => argument(there) == argument(wanted),
        _ => true,
    }
}

/// Whether `there` says what `wanted` says in attributes: all of it, and of a topology, whose numbers
/// are multiplied, nothing besides.
pub(crate) fn agrees(there: Node<'_, '_>, wanted: Node<'_, '_>) -> bool {
    let topology = wanted.tag_name().name() == "topology";
    let idle = |a: roxmltree::Attribute<'_, '_>| {
        !topology || wanted.attribute(a.name()).is_some() || a.value() == "1"
    };
    wanted.attributes().all(|a| there.attribute(a.name()) == Some(a.value()))
        && there.attributes().all(idle)
}

/// Whether it is replaced as a whole where it says something else.
pub(crate) fn is_whole(wanted: Node<'_, '_>) -> bool {
    WHOLE.contains(&wanted.tag_name().name())
}

/// Whether what stands in `there` does not fit another model: then it is replaced as a whole too.
pub(crate) fn is_other_model(there: Node<'_, '_>, wanted: Node<'_, '_>) -> bool {
    let model = |node| path(node, &["model"]).first().and_then(|model| model.attribute("type"));
    wanted.tag_name().name() == "shmem" && model(there) != model(wanted)
}

/// Whether an attribute that is there stays as it is.
pub(crate) fn is_theirs(element: Node<'_, '_>, attribute: &str) -> bool {
    THEIRS.contains(&(element.tag_name().name(), attribute))
}

/// Whether an attribute that is not there is meant all the same: a processor with a model is a
/// custom one.
pub(crate) fn is_meant(element: Node<'_, '_>, attribute: &str) -> bool {
    let cpu = element.tag_name().name() == "cpu" && attribute == "mode";
    cpu && !path(element, &["model"]).is_empty()
}

/// Whether `there` goes because `wanted`, its parent, lists all of its kind.
pub(crate) fn is_surplus(there: Node<'_, '_>, wanted: Node<'_, '_>) -> bool {
    let pins = |node: &Node<'_, '_>| node.tag_name().name() == "vcpupin";
    pins(&there)
        && wanted.children().any(|pin| pins(&pin))
        && !wanted.children().any(|pin| pins(&pin) && same(there, pin))
}

fn device<'a>(input: Node<'a, '_>) -> Option<&'a str> {
    path(input, &["source"]).first()?.attribute("dev")
}

/// The PCI address of the host's device, as numbers: there are several ways to write it.
pub(crate) fn address(hostdev: Node<'_, '_>) -> Option<[u32; 4]> {
    let address = *path(hostdev, &["source", "address"]).first()?;
    let number = |name: &str| {
        let text = address.attribute(name).unwrap_or("0");
        // As C reads a number: 16, 0x10 and 020 are the same.
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
            None => text.parse().ok(),
        }
    };
    Some([number("domain")?, number("bus")?, number("slot")?, number("function")?])
}

/// An argument of QEMU by the id of the object that it makes; else by itself.
fn argument<'a>(arg: Node<'a, '_>) -> Option<&'a str> {
    let value = arg.attribute("value")?;
    let end =
        value.find(",id=").map(|at| value[at + 1..].find(',').map_or(value.len(), |n| at + 1 + n));
    end.map_or(Some(value), |end| value.get(..end))
}
