//! [`vfio_fuzz::journal`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::journal(input));
