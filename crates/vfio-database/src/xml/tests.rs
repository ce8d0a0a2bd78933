//! Good files, bad files, and any bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Database;

/// What reading a text says is wrong with it.
fn refusal(text: &str) -> String {
    match Database::parse(text.as_bytes()) {
        Err(error) => error.to_string(),
        Ok(database) => panic!("{text} is read as {database:?}"),
    }
}

#[test]
fn b17_reads_what_the_first_deploy_vfio_wrote() {
    let text = "<xml>\n\t<iommu id=\"14\" dev_id=\"0000:01:00.0\" driver=\"nvidia\"/>\n\
                \t<iommu id=\"2\" dev_id=\"00:1f.3\" driver=\"\"/>\n</xml>\n";
    let database = Database::parse(text.as_bytes()).unwrap();
    let [sound, card] = database.devices() else { panic!("{database:?}") };
    assert_eq!((sound.group, sound.address.to_string().as_str()), (2, "0000:00:1f.3"));
    assert_eq!(sound.driver, None);
    assert_eq!((card.group, card.driver.as_deref()), (14, Some("nvidia")));
}

#[test]
fn layout_and_comments_mean_nothing() {
    let text = "\u{feff}<?xml version='1.0'?>\n<!-- mine --><xml><iommu\n driver='n&#118;me' \
                dev_id='10000:e1:00.0' id='007'></iommu><!-- x --></xml>\n\n";
    let database = Database::parse(text.as_bytes()).unwrap();
    let [disk] = database.devices() else { panic!("{database:?}") };
    assert_eq!(disk.address.to_string(), "10000:e1:00.0");
    assert_eq!((disk.group, disk.driver.as_deref()), (7, Some("nvme")));
    assert!(Database::parse(b"<xml/>").unwrap().devices().is_empty());
}

#[test]
fn b17_a_bad_file_is_refused_with_its_line_and_column() {
    for (text, expected) in [
        ("", "line 1, column 1: the file is empty"),
        (" \n\t", "line 1, column 1: the file is empty"),
        ("nvidia", "line 1, column 1: unknown token"),
        ("<xml>\n", "line 2, column 1: the file ends too early"),
        ("<xml>\n<iommu id=\"1", "line 2, column 13: the file ends too early"),
        ("<xml>\n</xm>", "line 2, column 1: expected 'xml' tag, not 'xm'"),
        ("<!-- x -->", "line 1, column 11: the file has no `xml` element"),
        ("<xml/>\n<xml/>", "line 2, column 1: unknown token"),
        ("<domain/>", "line 1, column 1: the outer element is `domain`, not `xml`"),
        ("<xml a='1'/>", "line 1, column 6: `xml` has no attribute `a`"),
        ("<xml><device/></xml>", "line 1, column 6: `device`, where `iommu` should be"),
        ("<xml>nvidia</xml>", "line 1, column 6: text, where `iommu` should be"),
        ("<xml><?x y?></xml>", "line 1, column 6: text, where `iommu` should be"),
        ("<xml>&lol;</xml>", "line 1, column 6: unknown entity reference 'lol'"),
        ("<xml xmlns='x'/>", "line 1, column 6: a namespace has no place here"),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn b17_a_bad_device_is_refused_with_its_line_and_column() {
    let (good, before) = ("dev_id='01:00.0' driver='x'", "line 1, column ");
    for (device, expected) in [
        ("dev_id='01:00.0' driver='x'", "6: `iommu` without `id`"),
        ("id='1' driver='x'", "6: `iommu` without `dev_id`"),
        ("id='1' dev_id='01:00.0'", "6: `iommu` without `driver`"),
        ("id='1' id='2'", "20: attribute 'id' is already defined"),
        (&format!("id='1' hw='2' {good}"), "20: `iommu` has no attribute `hw`"),
        (&format!("id='' {good}"), "17: `` is not the number of an IOMMU group"),
        (&format!("id='-1' {good}"), "17: `-1` is not the number of an IOMMU group"),
        (&format!("id='+1' {good}"), "17: `+1` is not the number of an IOMMU group"),
        (
            &format!("id='4294967296' {good}"),
            "17: `4294967296` is not the number of an IOMMU group",
        ),
        (
            "id='1' dev_id='01:00' driver='x'",
            "28: `01:00` is not a PCI address; one looks like `0000:01:00.0`",
        ),
        (
            "id='1' dev_id='01:00.8' driver='x'",
            "28: `01:00.8` is not a PCI address; one looks like `0000:01:00.0`",
        ),
        ("id='1' dev_id='01:00.0' driver='a b'", "45: `a b` is not the name of a driver"),
        ("id='1' dev_id='01:00.0' driver='&#27;'", "45: malformed entity reference"),
        ("id='1' dev_id='01:00.0' driver='x\ny'", "45: `x y` is not the name of a driver"),
        ("id='1' dev_id='01:00.0' driver='../x'", "45: `../x` is not the name of a driver"),
    ] {
        assert_eq!(
            refusal(&format!("<xml><iommu {device}/></xml>")),
            format!("{before}{expected}")
        );
    }
    let inner = refusal("<xml><iommu id='1' dev_id='01:00.0' driver='x'>y</iommu></xml>");
    assert_eq!(inner, "line 1, column 48: text inside `iommu`");
}

#[test]
fn a_device_that_is_there_twice_is_refused() {
    let twice = "<xml>\n<iommu id='1' dev_id='01:00.0' driver='x'/>\n\
                 <iommu id='2' dev_id='0000:01:00.0' driver=''/></xml>";
    assert_eq!(refusal(twice), "line 3, column 1: 0000:01:00.0 is there already");
}

#[test]
fn b17_a_file_made_while_devices_were_bound_is_refused() {
    let text = "<xml>\n <iommu id='1' dev_id='01:00.0' driver='vfio-pci'/>\n\
                <iommu id='1' dev_id='01:00.1' driver='vfio_pci'/>\n</xml>";
    assert_eq!(
        refusal(text),
        "line 2, column 2: made while devices were on vfio-pci: 0000:01:00.0, 0000:01:00.1"
    );
}

#[test]
fn entities_are_refused_before_they_grow() {
    let bomb = "<?xml version='1.0'?>\n<!DOCTYPE lolz [\n <!ENTITY lol 'lol'>\n\
                <!ENTITY lol2 '&lol;&lol;&lol;&lol;'>\n]><xml>&lol2;</xml>";
    assert_eq!(refusal(bomb), "line 2, column 1: a document type has no place here");
    let file = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/shadow'>]><xml>&e;</xml>";
    assert_eq!(refusal(file), "line 1, column 1: a document type has no place here");
}

#[test]
fn large_files_cost_little() {
    let big = " ".repeat((4 << 20) + 1);
    let large = "line 1, column 4194305: a database of drivers is at most 4 MiB large";
    assert_eq!(refusal(&big), large);
    let deep = "<xml>".repeat(200_000);
    assert!(refusal(&deep).ends_with("more than 100000 elements and texts"));
    let attributes: String = (0..100_000).map(|n| format!(" a{n}='>'")).collect();
    assert!(refusal(&format!("<xml{attributes}/>")).ends_with("more than 256 attributes"));
    let text = "<xml>\n".to_owned() + &"x".repeat(4 << 20);
    assert!(Database::parse(&text.as_bytes()[..4 << 20]).is_err());
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    let error = Database::parse(b"<xml>\n <\xff/></xml>").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 3: not UTF-8 text");
}

#[test]
fn what_is_written_is_escaped() {
    assert_eq!(escaped("a<b>&\"\n'"), "a&lt;b&gt;&amp;&quot;&#10;'");
}

fn devices() -> impl Strategy<Value = Vec<Known>> {
    let address = (any::<u32>(), any::<u8>(), 0u8..32, 0u8..8);
    let driver = prop::option::of("[A-Za-z0-9_][A-Za-z0-9_-]{0,30}");
    let driver = driver
        .prop_filter("vfio-pci", |d| d.as_ref().is_none_or(|d| d.replace('_', "-") != VFIO_PCI));
    let devices: BoxedStrategy<BTreeMap<_, _>> =
        prop::collection::btree_map(address, (any::<u32>(), driver), 0..40).boxed();
    devices.prop_map(|devices| {
        let known = |((domain, bus, device, function), (group, driver))| Known {
            group,
            address: Address { domain, bus, device, function },
            driver,
        };
        devices.into_iter().map(known).collect()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(devices in devices()) {
        let database = Database::from_known(devices);
        let text = database.to_xml();
        prop_assert_eq!(&Database::parse(text.as_bytes()).unwrap(), &database);
        prop_assert!(database.devices().is_sorted());
    }

    #[test]
    fn any_driver_makes_the_way_through_an_attribute(text in "\\PC*[\t\n\r<>&\"']{0,3}") {
        let xml = format!("<x a=\"{}\"/>", escaped(&text));
        let document = Document::parse(&xml).unwrap();
        prop_assert_eq!(document.root_element().attribute("a"), Some(text.as_str()));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Database::parse(&bytes);
    }

    #[test]
    fn any_words_are_read_or_refused(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "<xml>", "</xml>", "<iommu ", "id=", "dev_id=", "driver=", "\"", "'", "14",
                "01:00.0", "nvidia", "vfio-pci", "/>", "<", ">", "&", "<!--", "-->", "<![CDATA[",
                "]]>", "<?", "?>", "=", " ", "\n", "é", "\u{0}", "{", "&#0;",
            ]),
            0..40,
        ),
    ) {
        let _ = Database::parse(words.concat().as_bytes());
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(
        devices in devices(), at in any::<prop::sample::Index>(), byte: u8, cut: bool,
    ) {
        let mut bytes = Database::from_known(devices).to_xml().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let _ = Database::parse(&bytes);
    }
}
