//! [`vfio_fuzz::qemu_conf`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vfio_fuzz::qemu_conf(input));
