//! T7: definitions of guests that libvirt hands to the hook.

use std::time::{Duration, Instant};

use vfio_hook::{Domain, LONGEST};

/// Refused, and fast: a definition that is read takes a fraction of this.
fn refused(text: &[u8]) {
    let start = Instant::now();
    assert!(Domain::read(text).is_err());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

fn domain(inner: &str) -> Vec<u8> {
    format!("<domain type='kvm'>{inner}</domain>").into_bytes()
}

#[test]
fn sec_t7_a_billion_laughs() {
    let mut text = "<!DOCTYPE d [<!ENTITY a0 'ha'>".to_owned();
    for n in 1..10 {
        text += &format!("<!ENTITY a{n} '{}'>", format!("&a{};", n - 1).repeat(10));
    }
    refused((text + "]><domain><name>&a9;</name></domain>").as_bytes());
}

#[test]
fn sec_t7_an_entity_of_another_file() {
    refused(
        b"<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/shadow'>]><domain><name>&x;</name></domain>",
    );
    refused(b"<!DOCTYPE d SYSTEM 'http://example.org/d.dtd'><domain/>");
}

#[test]
fn sec_t7_eighty_thousand_attributes() {
    let attributes: String = (0..80_000).map(|n| format!(" a{n}='x'")).collect();
    refused(&domain(&format!("<name{attributes}/>")));
}

#[test]
fn sec_t7_eighty_thousand_name_spaces() {
    let spaces: String = (0..80_000).map(|n| format!(" xmlns:n{n}='u'")).collect();
    refused(&domain(&format!("<name{spaces}/>")));
}

#[test]
fn sec_t7_a_hundred_thousand_elements_in_each_other() {
    refused(&domain(&format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000))));
    refused(&domain(&"<a>".repeat(1_000_000)));
}

#[test]
fn sec_t7_a_name_space_more_in_each_of_many_elements() {
    let all: String = (0..10_000).map(|n| format!("<a xmlns:n{n}='u{n}'/>")).collect();
    let start = Instant::now();
    let _ = Domain::read(&domain(&all));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn sec_t7_more_than_is_read() {
    refused(&domain(&" ".repeat(LONGEST)));
    refused(&domain(&"<a/>".repeat(200_000)));
}

#[test]
fn sec_t7_what_is_no_definition() {
    for text in [
        &b""[..], b"\0", b"\xff\xfe<\0d\0>\0", b"<domain>", b"<domain/><domain/>", b"domain", b"<network/>",
        b"<domain><devices><hostdev type='pci'><source><address bus='0x1000' slot='0' function='0'/>\
          </source></hostdev></devices></domain>",
        b"<domain><devices><hostdev type='pci'><source><address domain='-1' bus='1' slot='0' \
          function='0'/></source></hostdev></devices></domain>",
    ] {
        refused(text);
    }
}
