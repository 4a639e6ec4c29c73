//! The `tinytorch` command: train, quantize and audit int8 models.

mod commands;
mod table;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tinytorch_kernels::Isa;
use tinytorch_kernels::os::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// A small deep-learning framework whose int8 is proven.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Audit(commands::audit::Audit),
}

/// What a command that ran to its end found.
enum Verdict {
    Good,
    GateFailed,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Isa::from_env().map_err(anyhow::Error::from).and_then(|_| match cli.command {
        Command::Audit(audit) => audit.run(),
    });
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::GateFailed) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
