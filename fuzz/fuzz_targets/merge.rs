//! [`vfio_fuzz::merge`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::merge(input));
