//! See [`groupwal_fuzz::muopdb`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groupwal_fuzz::muopdb::run(data));
