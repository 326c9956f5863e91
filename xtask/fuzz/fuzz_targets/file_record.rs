//! libFuzzer's way into [`fuzz::file_record`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::file_record::run(input));
