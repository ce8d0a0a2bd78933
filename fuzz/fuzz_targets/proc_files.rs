//! [`vfio_fuzz::proc_files`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::proc_files(input));
