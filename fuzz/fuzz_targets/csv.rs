#![no_main]
//! A table of numbers.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::csv(bytes));
