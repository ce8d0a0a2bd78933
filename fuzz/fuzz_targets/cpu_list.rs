//! [`vfio_fuzz::cpu_list`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &str| vfio_fuzz::cpu_list(input));
