//! [`vfio_fuzz::address`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::address(input));
