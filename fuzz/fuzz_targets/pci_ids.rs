//! [`vfio_fuzz::pci_ids`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::pci_ids(input));
