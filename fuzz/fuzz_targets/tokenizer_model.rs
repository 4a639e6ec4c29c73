#![no_main]
//! SentencePiece's `tokenizer.model`, and a text through what it gives.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::tokenizer_model(bytes));
