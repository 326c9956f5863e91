//! libFuzzer's way into [`fuzz::sealed_record`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::sealed_record::run(input));
