//! Small decoders that generation is tested with.

use tinytorch::models::{Architecture, GptConfig, LlamaConfig, Model};
use tinytorch::nn::Init;
use tinytorch::ops::{Rope, RopePairs};
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch::{Rng, Tensor};

pub(crate) const VOCAB: usize = 40;
pub(crate) const CONTEXT: usize = 16;

/// A GPT and a llama with shared key heads, of random weights.
pub(crate) fn decoders() -> Vec<Box<dyn Model>> {
    let gpt = GptConfig {
        vocab: VOCAB,
        context: CONTEXT,
        dim: 32,
        layers: 2,
        heads: 4,
        hidden: 64,
        dropout: 0.1,
        ..GptConfig::TALKS_GPT
    };
    let llama = LlamaConfig {
        vocab: VOCAB,
        context: CONTEXT,
        dim: 32,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        hidden: 48,
        rope: Rope::new(10_000.0, RopePairs::Interleaved),
        norm_eps: 1e-5,
        tied: true,
        qkv_bias: false,
        head_dim: None,
        qk_norm: false,
    };
    let build = |a: Architecture| a.build(&mut Init::seed(3)).unwrap();
    vec![build(Architecture::Gpt(gpt)), build(Architecture::Llama(llama))]
}

/// The same model with int8 weights and dynamic activations.
pub(crate) fn int8(model: &dyn Model) -> Box<dyn Model> {
    let mut int8 = model.clone_box();
    let config = QuantConfig::new(Activations::Dynamic).knowingly();
    let none: [tinytorch::Result<tinytorch::autograd::Var>; 0] = [];
    quantize_model(&mut *int8, none, &config).unwrap();
    int8
}

/// Random ids `[batch, length]`.
pub(crate) fn ids(batch: usize, length: usize) -> Tensor {
    let mut rng = Rng::seed(9);
    let ids = (0..batch * length).map(|_| rng.below(VOCAB) as i64).collect();
    Tensor::from_vec(ids, [batch, length]).unwrap()
}
