//! The decoder that is compared.

use crate::case::GptSizes;
use crate::networks::SEED;
use anyhow::Result;
use tinytorch::models::{Gpt, GptConfig};
use tinytorch::nn::Init;

/// A GPT of these sizes, of random weights that are the same in every process.
pub(crate) fn gpt(sizes: &GptSizes) -> Result<Gpt> {
    let GptSizes { vocab, context, dim, layers, heads } = *sizes;
    let config = GptConfig {
        vocab,
        context,
        dim,
        layers,
        heads,
        hidden: 4 * dim,
        dropout: 0.0,
        norm_eps: GptConfig::NORM_EPS,
        activation: Default::default(),
    };
    Ok(Gpt::new(&config, &mut Init::seed(SEED))?)
}
