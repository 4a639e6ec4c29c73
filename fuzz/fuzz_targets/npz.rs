#![no_main]
//! A zip of NumPy arrays.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::npz(bytes));
