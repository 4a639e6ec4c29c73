#![no_main]
//! A NumPy array.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::npy(bytes));
