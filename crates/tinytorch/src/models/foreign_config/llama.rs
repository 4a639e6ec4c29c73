//! The `config.json` of a Llama: Hugging Face's, and that of llama2.c.

use super::super::{LlamaConfig, ModelError};
use super::rotary::rotary;
use super::settings::Settings;
use serde_json::{Value, json};

/// What sets models apart that are built like a Llama.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Family {
    Llama,
    /// Has a window unless its file says otherwise.
    Mistral,
    /// Has biases of queries, keys and values, and a window only if its file asks for it.
    Qwen2,
    /// Has norms of each head's queries and keys, no biases, and a width of heads that is not of theirs.
    Qwen3,
}

/// What the file does not say is as transformers takes it.
pub(super) fn llama(mut file: Settings, family: Family) -> Result<LlamaConfig, ModelError> {
    file.expect("hidden_act", &["silu".into(), "swish".into()])?;
    for other in ["attention_bias", "mlp_bias", "is_encoder_decoder", "add_cross_attention"] {
        file.expect(other, &[false.into()])?;
    }
    file.expect("pruned_heads", &[json!({})])?;
    let context = file.optional("max_position_embeddings")?.unwrap_or(2048);
    check_window(&mut file, context, family)?;
    file.expect("use_mrope", &[false.into()])?;
    // Names of what a llama is and does anyway, which SmolLM's files have.
    file.expect("is_llama_config", &[true.into()])?;
    file.expect("rope_interleaved", &[false.into()])?;
    let dim: usize = file.required("hidden_size")?;
    let heads: usize = file.required("num_attention_heads")?;
    let usual = (family == Family::Qwen3).then_some(128);
    let head_dim = file.optional::<usize>("head_dim")?.or(usual);
    if let Some(width) = head_dim.filter(|width| width.checked_mul(heads).is_none()) {
        return Err(file.unsupported("head_dim", &width.into()));
    }
    let head_dim = head_dim.filter(|width| width * heads != dim);
    let rope = rotary(&mut file, context)?;
    let llama = LlamaConfig {
        vocab: file.required("vocab_size")?,
        context,
        dim,
        layers: file.required("num_hidden_layers")?,
        heads,
        kv_heads: file.optional("num_key_value_heads")?.unwrap_or(heads),
        hidden: file.required("intermediate_size")?,
        rope,
        norm_eps: file.optional("rms_norm_eps")?.unwrap_or(1e-6),
        tied: file.optional("tie_word_embeddings")?.unwrap_or(false),
        qkv_bias: family == Family::Qwen2,
        head_dim,
        qk_norm: family == Family::Qwen3,
    };
    file.finish()?;
    Ok(llama)
}

/// Refuses layers that see less than all earlier positions. A window that holds the whole context hides
/// nothing.
fn check_window(file: &mut Settings, context: usize, family: Family) -> Result<(), ModelError> {
    /// Of a Mistral that says nothing.
    const USUAL: usize = 4096;
    let is_said = file.has("sliding_window");
    let window = file.take("sliding_window");
    let window = match family {
        Family::Mistral if !is_said => Some(USUAL.into()),
        _ => window,
    };
    let usual = !matches!(family, Family::Qwen2 | Family::Qwen3);
    let is_used = file.optional::<bool>("use_sliding_window")?.unwrap_or(usual);
    file.take("max_window_layers");
    let hides = |window: &Value| window.as_u64().is_none_or(|window| window < context as u64);
    if let Some(window) = window.filter(|window| is_used && hides(window)) {
        return Err(file.unsupported("sliding_window", &window));
    }
    match file.take("layer_types") {
        Some(Value::Array(kinds)) if kinds.iter().all(|kind| kind == "full_attention") => Ok(()),
        Some(other) => Err(file.unsupported("layer_types", &other)),
        None => Ok(()),
    }
}

/// The sizes in a configuration of llama2.c.
pub(super) fn llama2c(mut file: Settings) -> Result<LlamaConfig, ModelError> {
    let fixed = LlamaConfig::LLAMA2_C;
    let norm_eps: f32 = file.optional("norm_eps")?.unwrap_or(fixed.norm_eps);
    let llama = LlamaConfig {
        vocab: file.required("vocab_size")?,
        context: file.required("max_seq_len")?,
        dim: file.required("dim")?,
        layers: file.required("n_layers")?,
        heads: file.required("n_heads")?,
        kv_heads: file.required("n_kv_heads")?,
        hidden: file.required("hidden_dim")?,
        tied: file.required("shared")?,
        norm_eps,
        ..fixed
    };
    file.finish()?;
    Ok(llama)
}
