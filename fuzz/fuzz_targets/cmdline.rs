//! [`vfio_fuzz::cmdline`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::cmdline(input));
