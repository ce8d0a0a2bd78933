//! [`vfio_fuzz::conf_value`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::conf_value(input));
