//! [`vfio_fuzz::setup`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::setup(input));
