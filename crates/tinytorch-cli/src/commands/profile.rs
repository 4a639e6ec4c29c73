//! `profile`: what a model costs.

use crate::Verdict;
use crate::data::shortened;
use crate::open::open;
use crate::output::Screen;
use crate::shapes::Shapes;
use anyhow::Result;
use clap::{Args, value_parser};
use std::io::Write;
use std::path::PathBuf;
use tinytorch::models::{ListModel, Model};
use tinytorch::profile::profile;

/// Tokens of a sequence unless it is said: attention takes memory with their square.
const MOST_TOKENS: usize = 512;

/// Show what a model costs on this machine: parameters, operations, bytes and time, layer by layer.
#[derive(Args)]
pub(crate) struct Profile {
    /// A model's file, float or int8
    file: PathBuf,
    /// Samples in a pass, 1 unless the model takes another number
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    batch: Option<u16>,
    #[command(flatten)]
    shapes: Shapes,
    /// Tokens of a sequence, of a model that takes ids; by default its context, at most 512
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    length: Option<u32>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// What a pass of `batch` samples costs, or of as many as the model takes; sequences of ids are cut to `length`.
pub(crate) fn costs(
    model: &dyn Model,
    shapes: &Shapes,
    batch: Option<usize>,
    length: Option<usize>,
) -> Result<tinytorch::profile::Profile> {
    let inputs = shapes.example(model, batch)?;
    let length = length.unwrap_or(MOST_TOKENS);
    let inputs = if shapes.is_empty() { shortened(inputs, length)? } else { inputs };
    Ok(profile(model as &dyn ListModel, &inputs)?)
}

impl Profile {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        let model = open(&self.file)?.model;
        let length = self.length.map(|length| length as usize);
        let profile = costs(&*model, &self.shapes, self.batch.map(usize::from), length)?;
        match self.json {
            true => screen.json(&profile)?,
            false => write!(screen, "{profile}")?,
        }
        Ok(Verdict::Good)
    }
}
