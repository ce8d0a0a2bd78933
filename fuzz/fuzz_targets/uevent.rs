//! [`vfio_fuzz::uevent`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::uevent(input));
