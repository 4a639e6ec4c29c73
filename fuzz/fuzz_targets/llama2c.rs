#![no_main]
//! Weights of llama2.c.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::llama2c(bytes));
