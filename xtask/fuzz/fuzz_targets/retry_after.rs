//! libFuzzer's way into [`fuzz::retry_after`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::retry_after::run(input));
