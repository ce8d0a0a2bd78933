//! [`vfio_fuzz::domain`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::domain(input));
