#![no_main]
//! A Hugging Face `tokenizer.json`, and a text through what it gives.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::tokenizer_json(bytes));
