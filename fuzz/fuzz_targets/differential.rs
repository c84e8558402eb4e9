//! See [`groupwal_fuzz::differential`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groupwal_fuzz::differential::run(data));
