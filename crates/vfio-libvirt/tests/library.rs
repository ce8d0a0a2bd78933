//! The way to libvirt's library, tried on libraries of our own that have its functions.
#![allow(clippy::disallowed_methods, reason = "a test makes its own library")]

use std::{fs, path::Path, process::Command};

use vfio_core::{Advice, Exit};
use vfio_libvirt::{Error, Libvirt};

/// A library that answers at `test:///default` and accepts what does not say `wrong`, and whose
/// objects notice when they are given back.
const WHOLE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static const char *error; static void (*told)(void *, void *); static int held;
void virSetErrorFunc(void *data, void (*func)(void *, void *)) { told = func; }
const char *virGetLastErrorMessage(void) { return error; }
static void *fails(const char *why) { error = why; if (told) told(0, 0); return 0; }
void *virConnectOpen(const char *uri) {
    if (held) return fails("somebody kept something");
    if (strcmp(uri, "test:///default")) return fails("no such socket\n");
    held++; return &held;
}
int virConnectClose(void *connection) { if (connection != &held) abort(); return --held; }
void *virDomainDefineXMLFlags(void *connection, const char *xml, unsigned flags) {
    if (connection != &held || flags != 1) abort();
    if (strstr(xml, "wrong")) return fails("XML error: <wrong>");
    if (strstr(xml, "mute")) return fails(0);
    held++; return &error;
}
int virDomainFree(void *domain) { if (domain != &error) abort(); return --held; }
"#;

fn library(dir: &Path, name: &str, source: &str) -> String {
    let (code, library) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.so")));
    fs::write(&code, source).unwrap();
    let cc =
        Command::new("cc").args(["-shared", "-fPIC", "-w", "-o"]).arg(&library).arg(&code).status();
    assert!(cc.unwrap().success());
    library.to_str().unwrap().to_owned()
}

#[test]
fn a_guest_is_accepted_or_refused_with_libvirts_words_and_all_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let libvirt = Libvirt::open(&library(dir.path(), "whole", WHOLE)).unwrap();
    for round in 0..2 {
        libvirt.define("test:///default", "<domain/>").unwrap();
        for (definition, told) in [
            ("<wrong/>", "libvirt does not accept the guest: XML error: <wrong>"),
            ("<mute/>", "libvirt does not accept the guest: it does not say why"),
            ("<a\0b/>", "this is no definition of a guest: it has a NUL byte"),
        ] {
            let refused = libvirt.define("test:///default", definition).unwrap_err();
            assert_eq!(refused.to_string(), told, "round {round}");
        }
        let silent = libvirt.define("qemu:///system", "<domain/>").unwrap_err();
        assert_eq!(silent.to_string(), "libvirt does not answer at qemu:///system: no such socket");
        assert!(silent.help()[0].contains("systemctl start libvirtd"));
    }
}

#[test]
fn a_library_that_is_missing_or_too_old_says_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Libvirt::open("libvirt-is-not-here.so.0").unwrap_err();
    assert!(matches!(missing, Error::NotInstalled(_)), "{missing}");
    let old = WHOLE.replace("virDomainDefineXMLFlags", "virDomainDefineXML");
    let old = Libvirt::open(&library(dir.path(), "old", &old)).unwrap_err();
    assert!(old.to_string().contains("no `virDomainDefineXMLFlags`"), "{old}");
    for error in [missing, old] {
        assert_eq!(error.exit(), Exit::Refused);
        assert!(error.help()[0].contains("apt install libvirt"), "{error}");
    }
}
