#![no_main]
//! An archive of PyTorch, and every tensor that its pickle names.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::torch(bytes));
