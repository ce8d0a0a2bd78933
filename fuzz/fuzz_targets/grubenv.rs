//! [`vfio_fuzz::grubenv`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::grubenv(input));
