//! [`vfio_fuzz::snapshot`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::snapshot(input));
