//! Bad files: each is refused where it is needed, with the line and column of what is wrong, in no
//! time, and is never written over.

use std::time::{Duration, Instant};

use vfio_core::{Advice, Exit, Root, change::Draft, host::Machine};
use vfio_database::{Database, consult};

const FILE: &str = "root/drivers.xml";

/// A machine; `driver` drives the card of its snapshot that is on vfio-pci.
fn machine(driver: &str) -> Machine {
    let text = include_str!("../../vfio-core/tests/fixtures/snapshot-v1.json");
    assert!(text.contains("vfio-pci"));
    Machine::from_snapshot(&text.replace("vfio-pci", driver)).unwrap()
}

/// What is told of a file that the user names, with a device on vfio-pci and without.
fn told(bytes: &[u8]) -> [String; 2] {
    ["vfio-pci", "nvidia"].map(|driver| {
        let root = Root::empty();
        let mut draft = Draft::new(&root);
        draft.write(FILE, bytes).unwrap();
        let mut machine = machine(driver);
        let before = machine.clone();
        let start = Instant::now();
        let error = consult(&mut draft, &mut machine, Some(FILE)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(10), "{error}");
        assert_eq!(error.exit(), Exit::Refused, "{error}");
        assert!(!error.help().is_empty(), "{error}");
        assert_eq!(draft.bytes(FILE).unwrap().as_deref(), Some(bytes), "{error}");
        assert_eq!(machine, before, "{error}");
        error.to_string()
    })
}

fn refused(name: &str, bytes: &[u8], expected: &str) {
    for told in told(bytes) {
        assert_eq!(told, format!("/{FILE}: {expected}"), "{name}");
    }
}

/// The file that is right for the machine, with one thing changed.
fn with(from: &str, to: &str) -> String {
    let good = Database::of(&machine("nvidia")).unwrap().to_xml();
    assert!(good.contains(from), "{good}");
    good.replacen(from, to, 1)
}

#[test]
fn what_is_no_database_is_refused_with_its_line_and_column() {
    let good = Database::of(&machine("nvidia")).unwrap().to_xml();
    let cut = &good[..good.find("driver").unwrap()];
    let line = good.lines().nth(1).unwrap();
    let twice = with(line, &format!("{line}\n{line}"));
    let address = line.split('"').nth(3).unwrap();
    let bomb = "<!DOCTYPE xml [\n<!ENTITY a 'aaaaaaaaaa'>\n<!ENTITY b '&a;&a;&a;&a;&a;&a;&a;'>\n\
                <!ENTITY c '&b;&b;&b;&b;&b;&b;&b;'>\n]>\n<xml>&c;</xml>\n";
    let external = "<?xml version='1.0'?>\n\n <!DOCTYPE xml SYSTEM 'file:///etc/passwd'><xml/>";
    for (name, text, expected) in [
        ("empty", "", "line 1, column 1: the file is empty"),
        ("truncated", cut, "line 2, column 38: the file ends too early"),
        ("without an end", "<xml>\n", "line 2, column 1: the file ends too early"),
        ("entity bomb", bomb, "line 1, column 1: a document type has no place here"),
        ("document type", external, "line 3, column 2: a document type has no place here"),
        (
            "entity of nobody",
            &with(">", "><iommu id=\"&lol;\" "),
            "line 1, column 17: unknown entity reference 'lol'",
        ),
        (
            "another root element",
            &good.replace("xml>", "domain>"),
            "line 1, column 1: the outer element is `domain`, not `xml`",
        ),
        ("an address twice", &twice, &format!("line 3, column 2: {address} is there already")),
        (
            "another element",
            &with("<iommu", "<device"),
            "line 2, column 2: `device`, where `iommu` should be",
        ),
        (
            "a page",
            "<html>\n<body>\n<p>404<br>\n</body>",
            "line 4, column 1: expected 'br' tag, not 'body'",
        ),
        ("NUL", &with("<xml>\n", "<xml>\n\0"), "line 2, column 1: a NUL byte has no place here"),
        (
            "a NUL in a name",
            &with("driver=\"", "driver=\"\0"),
            "line 2, column 46: a NUL byte has no place here",
        ),
        ("only NULs", &"\0".repeat(4096), "line 1, column 1: a NUL byte has no place here"),
        (
            "an escaped NUL",
            &with("driver=\"", "driver=\"&#0;"),
            "line 2, column 46: malformed entity reference",
        ),
    ] {
        refused(name, text.as_bytes(), expected);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line_and_column() {
    let good = Database::of(&machine("nvidia")).unwrap().to_xml();
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin = [b"<xml>\n<!-- Ger".as_slice(), b"\xe4t --></xml>"].concat();
    let overlong = [b"<xml>".as_slice(), b"\xc0\xbc/xml>"].concat();
    refused("Latin-1", &latin, "line 2, column 9: not UTF-8 text");
    refused("overlong", &overlong, "line 1, column 6: not UTF-8 text");
    let marked = [b"\xff\xfe".as_slice(), &utf16].concat();
    refused("UTF-16", &marked, "line 1, column 1: not UTF-8 text");
    refused("UTF-16 without a mark", &utf16, "line 1, column 2: a NUL byte has no place here");
    let program = b"\x7fELF\x02\x01\x01\0\0\0";
    refused("a program", program, "line 1, column 8: a NUL byte has no place here");
}

#[test]
fn what_would_cost_much_is_refused_with_its_line_and_column() {
    let huge = "<xml>\n".to_owned() + &"\t<iommu/>\n".repeat(500_000);
    let expected = "line 419431, column 9: a database of drivers is at most 4 MiB large";
    refused("huge", huge.as_bytes(), expected);
    let huge = vec![b'\xff'; 64 << 20];
    let expected = "line 1, column 4194305: a database of drivers is at most 4 MiB large";
    refused("huge and no text", &huge, expected);
    let deep = "<xml>".repeat(90_000) + &"</xml>".repeat(90_000);
    refused("deep", deep.as_bytes(), "line 1, column 6: `xml`, where `iommu` should be");
    let open = "<xml>".repeat(90_000);
    refused(
        "deep, without an end",
        open.as_bytes(),
        "line 1, column 450001: the file ends too early",
    );
    let nodes = "<xml>".to_owned() + &"<iommu/>".repeat(200_000) + "</xml>";
    refused("many", nodes.as_bytes(), "line 1, column 1: more than 100000 elements and texts");
    let attributes: String = (0..100_000).map(|n| format!(" a{n}=''")).collect();
    let expected = "line 1, column 1948: more than 256 attributes";
    refused("attributes", format!("<xml{attributes}/>").as_bytes(), expected);
}

#[test]
fn another_machines_file_is_refused_with_its_line_and_column() {
    let good = Database::of(&machine("nvidia")).unwrap().to_xml();
    let foreign = good.replace("dev_id=\"0000:", "dev_id=\"0001:");
    refused("foreign", foreign.as_bytes(), "line 2, column 2: made on another machine");
}

#[test]
fn what_was_made_while_devices_were_bound_is_refused_with_its_line_and_column() {
    let line = with("driver=\"nvidia\"", "driver=\"vfio-pci\"");
    let at = line.lines().position(|line| line.contains("vfio-pci")).unwrap() + 1;
    let address = line.lines().nth(at - 1).unwrap().split('"').nth(3).unwrap();
    let expected = format!("line {at}, column 2: made while devices were on vfio-pci: {address}");
    refused("bound", line.as_bytes(), &expected);
}

#[test]
fn what_the_original_wrote_is_read_and_written_again_alike() {
    let good = Database::of(&machine("nvidia")).unwrap();
    let text = good.to_xml();
    assert!(
        text.starts_with("<xml>\n\t<iommu id=\"") && text.ends_with("\"/>\n</xml>\n"),
        "{text}"
    );
    assert_eq!(Database::parse(text.as_bytes()).unwrap().to_xml(), text);
    // The original gave no domain, and its editors no final line break.
    let theirs = text.replace("dev_id=\"0000:", "dev_id=\"").replace('\n', "\r\n");
    assert_eq!(Database::parse(theirs.trim_end().as_bytes()).unwrap(), good);
}

#[test]
fn a_snapshot_that_is_damaged_is_refused_with_its_line_and_column() {
    let root = Root::empty();
    let mut draft = Draft::new(&root);
    draft.write(FILE, "{\"format\": 2,\n \"pci\": 7}").unwrap();
    let error = consult(&mut draft, &mut machine("vfio-pci"), Some(FILE)).unwrap_err();
    let what = "/root/drivers.xml: this is not a machine snapshot that can be read";
    assert_eq!(error.to_string(), what);
    assert!(error.because()[0].contains("line 2 column 9"), "{:?}", error.because());
}
