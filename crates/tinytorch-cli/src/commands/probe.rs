use crate::Verdict;
use crate::output::Screen;
use anyhow::{Context, Result};
use clap::Args;
use std::io::{self, Write};
use tinytorch::profile::process::{ProbeRequest, run};

/// Measure memory in this process: a request on stdin, a report on stdout, both JSON
#[derive(Args)]
#[command(hide = true)]
pub(crate) struct Probe {}

impl Probe {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let request: ProbeRequest = serde_json::from_reader(io::stdin())
            .context("the probe is started by the audit, which sends it a request")?;
        serde_json::to_writer(&mut *screen, &run(&request)?)?;
        writeln!(screen)?;
        Ok(Verdict::Good)
    }
}
