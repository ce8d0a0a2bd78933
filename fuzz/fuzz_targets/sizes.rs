//! [`vfio_fuzz::sizes`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::sizes(input));
