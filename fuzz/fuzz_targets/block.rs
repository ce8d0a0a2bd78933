//! [`vfio_fuzz::block`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::block(input));
