//! [`vfio_fuzz::hook_domain`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::hook_domain(input));
