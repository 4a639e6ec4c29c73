//! `bench`: how long something takes, and how near this machine's limits it runs.

mod generate;
mod kernels;
mod model;

use crate::Verdict;
use crate::output::Screen;
use anyhow::Result;
use clap::{Args, Subcommand};
use generate::Generation;
use kernels::Kernels;
use model::Timed;

/// Time a deployed model, or measure how near this machine's limits something runs.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    timed: Timed,
}

#[derive(Subcommand)]
enum What {
    Kernels(Kernels),
    Generate(Generation),
}

impl Bench {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        match self.what {
            Some(What::Kernels(kernels)) => kernels.run(screen),
            Some(What::Generate(generation)) => generation.run(screen),
            None => self.timed.run(screen),
        }
    }
}
