//! Words of a command line: the kernel's and ours.

use std::{fmt::Display, str::FromStr};

use vfio_core::{Address, Cmdline, CpuList, Parameter};
use vfio_hugepages::{Count, PageSize};
use vfio_iommu::Selection;

/// What is read is printed so that it reads the same.
fn round<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let printed = value.to_string();
        assert!(printed.parse::<T>().is_ok_and(|again| again == value), "{text:?}: {printed:?}");
    }
}

/// PCI addresses.
pub fn address(text: &str) {
    round::<Address>(text);
}

/// The kernel's lists of CPUs.
pub fn cpu_list(text: &str) {
    round::<CpuList>(text);
    if let Ok(list) = text.parse::<CpuList>() {
        assert_eq!(list.iter().count(), list.len());
        assert!(list.iter().is_sorted() && list.iter().all(|cpu| list.contains(cpu)));
    }
}

/// The kernel's command line.
pub fn cmdline(text: &str) {
    let line = Cmdline::from(text);
    let words: Vec<&str> = line.iter().collect();
    assert_eq!(line.is_empty(), words.is_empty());
    for word in &words {
        assert!(line.contains(word), "{text:?} lost {word:?}");
    }
    let mut twice = line.clone();
    twice.extend(&line);
    assert_eq!(twice.iter().collect::<Vec<_>>(), words, "what is there is added again");
    if let Ok(parameter) = text.parse::<Parameter>() {
        let mut more = Cmdline::from("quiet");
        more.push(&parameter);
        assert!(more.contains(text) && more.contains("quiet"), "{text:?}");
    }
}

/// `--parse`.
pub fn selection(text: &str) {
    if let Ok(selection) = text.parse::<Selection>() {
        let _ = format!("{selection:?}");
    }
}

/// Sizes, counts and names of other options.
pub fn sizes(text: &str) {
    round::<PageSize>(text);
    let _ = text.parse::<Count>();
    let _ = text.parse::<deploy_vfio::Place>();
}
