#![no_main]
//! A `tokenizer.bin` of llama2.c, and a text through what it gives.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::tokenizer_bin(bytes));
