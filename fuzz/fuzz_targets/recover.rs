//! See [`groupwal_fuzz::recover`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groupwal_fuzz::recover::run(data));
