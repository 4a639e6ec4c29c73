#![no_main]
//! A `config.json` as Hugging Face publishes them, without weights beside it.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::config_json(bytes));
