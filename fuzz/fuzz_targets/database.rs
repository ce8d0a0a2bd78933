//! [`vfio_fuzz::database`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::database(input));
