//! What decoders share.

use super::ModelError;
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{AttentionInputs, Forward, KeyValueCache, TransformerBlock};

/// A language model that scores every token of its vocabulary as the next one, for ids
/// `[batch, length]` at each position: `[batch, length, vocab]`.
///
/// ```
/// use tinytorch::autograd::Ctx;
/// use tinytorch::models::Architecture;
/// use tinytorch::nn::{Forward, Init};
///
/// let architecture = Architecture::preset("stories260K")?;
/// let model = architecture.build(&mut Init::seed(0))?;
/// let sizes = model.as_decoder().expect("a llama is a decoder").sizes();
/// let ids = architecture.example(2)?;
/// assert_eq!(ids.shape().dims(), [2, sizes.context]);
/// let logits = model.forward(&ids.into(), &mut Ctx::eval())?;
/// assert_eq!(logits.shape().dims(), [2, sizes.context, sizes.vocab]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub trait Decoder: Forward<Output = Var> + Send + Sync {
    /// The sizes that its callers need to know.
    fn sizes(&self) -> DecoderSizes;

    /// The scores for ids whose first position is `offset`; without caches every block sees the whole
    /// sequence.
    ///
    /// # Errors
    /// As [`Decoder::forward_cached`].
    fn scores(
        &self,
        ids: &Var,
        offset: usize,
        caches: &mut [Box<dyn KeyValueCache>],
        ctx: &mut Ctx<'_>,
    ) -> Result<Var>;

    /// The scores for ids `[batch, new]` that follow the positions which `caches` hold, one for each
    /// block, and which then hold these too. The scores are `[batch, new, vocab]`.
    ///
    /// # Errors
    /// [`ModelError::Caches`] or [`ModelError::UnevenCaches`] for caches of another model or of a pass
    /// that failed, [`OpError::Context`](crate::ops::OpError::Context) beyond the context,
    /// [`TensorError::Index`](crate::tensor::TensorError::Index) for an id outside the vocabulary, or what
    /// a cache reports.
    fn forward_cached(
        &self,
        ids: &Var,
        caches: &mut [Box<dyn KeyValueCache>],
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let offset = self.sizes().positions(caches)?;
        self.scores(ids, offset, caches, ctx)
    }
}

/// The sizes of a [`Decoder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderSizes {
    /// Number of tokens.
    pub vocab: usize,
    /// Largest number of positions of a sequence.
    pub context: usize,
    /// Number of blocks, each with keys and values of its own.
    pub blocks: usize,
    /// Number of key and value heads of a block.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl DecoderSizes {
    /// Checks the caches of a pass and returns the positions they hold.
    pub(super) fn positions(&self, caches: &[Box<dyn KeyValueCache>]) -> Result<usize> {
        let (got, expected) = (caches.len(), self.blocks);
        if got != expected {
            return Err(ModelError::Caches { got, expected }.into());
        }
        let first = caches.first().map_or(0, |cache| cache.positions());
        for (block, cache) in caches.iter().enumerate() {
            let positions = cache.positions();
            if positions != first {
                return Err(ModelError::UnevenCaches { block, positions, first }.into());
            }
        }
        Ok(first)
    }
}

/// Runs the blocks one after the other, each with its cache; without caches every block sees the
/// whole sequence.
pub(super) fn run_blocks<N: Forward<Output = Var>, F: Forward<Output = Var>>(
    blocks: &[TransformerBlock<N, F>],
    mut hidden: Var,
    caches: &mut [Box<dyn KeyValueCache>],
    ctx: &mut Ctx<'_>,
) -> Result<Var> {
    let mut caches = caches.iter_mut();
    for block in blocks {
        let cache = caches.next().map(|cache| &mut **cache as &mut dyn KeyValueCache);
        hidden = block.forward_with(&hidden, AttentionInputs { mask: None, cache }, ctx)?;
    }
    Ok(hidden)
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
