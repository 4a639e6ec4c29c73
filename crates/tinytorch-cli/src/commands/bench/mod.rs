//! `bench`: how near this machine's limits something runs.

mod generate;
mod kernels;

use crate::Verdict;
use crate::output::Screen;
use anyhow::Result;
use clap::{Args, Subcommand};
use generate::Generation;
use kernels::Kernels;

/// Measure how near this machine's limits something runs.
#[derive(Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Kernels(Kernels),
    Generate(Generation),
}

impl Bench {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        match self.what {
            What::Kernels(kernels) => kernels.run(screen),
            What::Generate(generation) => generation.run(screen),
        }
    }
}
