//! The `config.json` of a GPT-2, as transformers writes it.

use super::super::{GptConfig, ModelError};
use super::settings::Settings;
use crate::nn::Activation;
use serde_json::json;

/// What the file does not say is as transformers takes it.
pub(super) fn gpt2(mut file: Settings) -> Result<GptConfig, ModelError> {
    file.expect("scale_attn_weights", &[true.into()])?;
    file.expect("tie_word_embeddings", &[true.into()])?;
    for other in ["scale_attn_by_inverse_layer_idx", "add_cross_attention", "is_encoder_decoder"] {
        file.expect(other, &[false.into()])?;
    }
    file.expect("pruned_heads", &[json!({})])?;
    let context = file.required("n_positions")?;
    // The size of a triangle that is not read, by default that of the context.
    file.take("n_ctx");
    let dim: usize = file.required("n_embd")?;
    let config = GptConfig {
        vocab: file.required("vocab_size")?,
        context,
        dim,
        layers: file.required("n_layer")?,
        heads: file.required("n_head")?,
        hidden: file.optional("n_inner")?.unwrap_or(dim.saturating_mul(4)),
        dropout: 0.0,
        norm_eps: file.optional("layer_norm_epsilon")?.unwrap_or(GptConfig::NORM_EPS),
        activation: activation(&mut file)?,
    };
    file.finish()?;
    Ok(config)
}

fn activation(file: &mut Settings) -> Result<Activation, ModelError> {
    let name: Option<String> = file.optional("activation_function")?;
    Ok(match name.as_deref() {
        None | Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Activation::GeluTanh,
        Some("gelu") => Activation::Gelu,
        Some("quick_gelu") => Activation::GeluSigmoid,
        Some("relu") => Activation::Relu,
        Some("silu" | "swish") => Activation::Silu,
        Some(other) => return Err(file.unsupported("activation_function", &other.into())),
    })
}
