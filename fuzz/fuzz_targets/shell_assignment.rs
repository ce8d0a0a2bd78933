//! [`vfio_fuzz::shell_assignment`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::shell_assignment(input));
