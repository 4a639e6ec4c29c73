//! `profile`: what a model costs.

use crate::Verdict;
use crate::data::shortened;
use crate::output::Screen;
use anyhow::Result;
use clap::{Args, value_parser};
use std::io::Write;
use std::path::PathBuf;
use tinytorch::files::open_model;
use tinytorch::models::ListModel;
use tinytorch::profile::profile;

/// Tokens of a sequence unless it is said: attention takes memory with their square.
const MOST_TOKENS: u32 = 512;

/// Show what a model costs on this machine: parameters, operations, bytes and time, layer by layer.
#[derive(Args)]
pub(crate) struct Profile {
    /// A model's file, float or int8
    file: PathBuf,
    /// Samples in a pass
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    batch: u16,
    /// Tokens of a sequence, of a model that takes ids; by default its context, at most 512
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    length: Option<u32>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Profile {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let model = open_model(&self.file)?.model;
        let length = self.length.unwrap_or(MOST_TOKENS) as usize;
        let inputs = shortened(model.example(self.batch.into())?, length)?;
        let profile = profile(&*model as &dyn ListModel, &inputs)?;
        match self.json {
            true => screen.json(&profile)?,
            false => write!(screen, "{profile}")?,
        }
        Ok(Verdict::Good)
    }
}
