#![no_main]
//! A safetensors file, and every tensor that its header names.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::safetensors(bytes));
