//! [`vfio_fuzz::selection`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::selection(input));
