#![no_main]
//! MNIST's format, plain or compressed.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::idx(bytes));
