#![no_main]
//! A picture, as the folder of a class has it.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::picture(bytes));
