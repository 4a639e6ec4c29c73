#![no_main]
//! A model file: the architecture in its metadata is built and its tensors loaded.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::model(bytes));
