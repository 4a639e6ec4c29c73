#![no_main]
//! An array in an otherwise sound zip.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::npz_member(bytes));
