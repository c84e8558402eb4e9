//! See [`groupwal_fuzz::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| groupwal_fuzz::frame::run(data));
