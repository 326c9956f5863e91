//! libFuzzer's way into [`fuzz::cache_key`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::cache_key::run(input));
