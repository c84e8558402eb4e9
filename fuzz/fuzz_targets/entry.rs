//! See [`groupwal_fuzz::entry`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groupwal_fuzz::entry::run(data));
