//! libFuzzer's way into [`fuzz::token_response`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::token_response::run(input));
