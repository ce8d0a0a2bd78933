//! [`vfio_fuzz::groups`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::groups(input));
