//! libFuzzer's way into [`fuzz::error_response`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::error_response::run(input));
