#![no_main]
//! CIFAR-10's batches.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::cifar10(bytes));
