#![no_main]
//! A pickle in an otherwise sound archive of PyTorch.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::torch_pickle(bytes));
