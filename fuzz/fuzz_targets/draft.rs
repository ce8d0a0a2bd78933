//! [`vfio_fuzz::draft`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::draft(input));
