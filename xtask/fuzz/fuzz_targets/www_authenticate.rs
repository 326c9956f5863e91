//! libFuzzer's way into [`fuzz::www_authenticate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::www_authenticate::run(input));
