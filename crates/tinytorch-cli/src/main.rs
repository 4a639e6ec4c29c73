//! The `tinytorch` command: train, quantize and audit int8 models.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use tinytorch::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

fn main() -> ExitCode {
    ExitCode::from(tinytorch_cli::run(std::env::args_os(), None))
}
