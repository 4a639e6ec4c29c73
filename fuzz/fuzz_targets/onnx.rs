#![no_main]
//! An ONNX model.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::onnx(bytes));
