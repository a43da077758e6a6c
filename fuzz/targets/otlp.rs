//! [`fuzz::otlp`] for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::otlp::check(input));
