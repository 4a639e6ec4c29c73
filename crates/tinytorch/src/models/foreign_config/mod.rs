//! What a `config.json` of another program says of a model.

use super::{Architecture, BertConfig, LlamaConfig, ModelError};
use crate::Result;
use crate::ops::{Rope, RopePairs};
use serde::Deserialize;
use serde_json::Value;

impl Architecture {
    /// The architecture that a `config.json` describes: tinytorch's own form, Hugging Face's for BERT
    /// and Llama, or llama2.c's.
    ///
    /// ```
    /// use tinytorch::models::Architecture;
    /// let json = r#"{"dim": 64, "hidden_dim": 172, "n_layers": 5, "n_heads": 8, "n_kv_heads": 4,
    ///     "vocab_size": 512, "max_seq_len": 512, "shared": true}"#;
    /// assert_eq!(Architecture::from_config(json)?, Architecture::preset("stories260K")?);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ModelError::Config`] for anything else, and for settings that tinytorch's models do not have.
    pub fn from_config(json: &str) -> Result<Architecture> {
        let value: Value = serde_json::from_str(json).map_err(unusable)?;
        let kind = value.get("model_type").and_then(Value::as_str);
        Ok(match kind {
            _ if value.get("architecture").is_some() => {
                Architecture::deserialize(value).map_err(unusable)?
            }
            Some("bert") => Architecture::Bert(read::<HfBert>(value)?.try_into()?),
            Some("llama") => Architecture::Llama(read::<HfLlama>(value)?.try_into()?),
            None if value.get("n_layers").is_some() => {
                Architecture::Llama(read::<Llama2c>(value)?.into())
            }
            Some(other) => return Err(config(format!("the model_type is {other:?}")).into()),
            None => return Err(config("there is no model_type".to_string()).into()),
        })
    }
}

fn config(problem: String) -> ModelError {
    ModelError::Config { problem }
}

fn unusable(error: serde_json::Error) -> ModelError {
    config(error.to_string())
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, ModelError> {
    T::deserialize(value).map_err(unusable)
}

/// Refuses a setting that the model does not have.
fn expect(name: &str, value: &Value, supported: &[Value]) -> Result<(), ModelError> {
    if value.is_null() || supported.contains(value) {
        return Ok(());
    }
    Err(config(format!("{name} is {value}, which is not supported")))
}

#[derive(Deserialize)]
struct HfBert {
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    layer_norm_eps: f32,
    #[serde(default)]
    pad_token_id: usize,
    #[serde(default)]
    hidden_act: Value,
    #[serde(default)]
    position_embedding_type: Value,
}

impl TryFrom<HfBert> for BertConfig {
    type Error = ModelError;

    fn try_from(file: HfBert) -> Result<BertConfig, ModelError> {
        expect("hidden_act", &file.hidden_act, &["gelu".into()])?;
        let positions = &file.position_embedding_type;
        expect("position_embedding_type", positions, &["absolute".into()])?;
        Ok(BertConfig {
            vocab: file.vocab_size,
            context: file.max_position_embeddings,
            types: file.type_vocab_size,
            dim: file.hidden_size,
            layers: file.num_hidden_layers,
            heads: file.num_attention_heads,
            hidden: file.intermediate_size,
            norm_eps: file.layer_norm_eps,
            pad: file.pad_token_id,
        })
    }
}

/// The base of rotary positions where a file does not give it, as in the paper.
fn paper_base() -> f32 {
    10_000.0
}

#[derive(Deserialize)]
struct HfLlama {
    vocab_size: usize,
    max_position_embeddings: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    rms_norm_eps: f32,
    #[serde(default = "paper_base")]
    rope_theta: f32,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    hidden_act: Value,
    #[serde(default)]
    rope_scaling: Value,
    #[serde(default)]
    attention_bias: Value,
    #[serde(default)]
    mlp_bias: Value,
}

impl TryFrom<HfLlama> for LlamaConfig {
    type Error = ModelError;

    fn try_from(file: HfLlama) -> Result<LlamaConfig, ModelError> {
        expect("hidden_act", &file.hidden_act, &["silu".into()])?;
        expect("rope_scaling", &file.rope_scaling, &[])?;
        expect("attention_bias", &file.attention_bias, &[false.into()])?;
        expect("mlp_bias", &file.mlp_bias, &[false.into()])?;
        let (dim, heads) = (file.hidden_size, file.num_attention_heads);
        if let Some(head_dim) = file.head_dim.filter(|d| d.checked_mul(heads) != Some(dim)) {
            let problem = format!("{heads} heads of head_dim {head_dim} are not hidden_size {dim}");
            return Err(config(problem));
        }
        Ok(LlamaConfig {
            vocab: file.vocab_size,
            context: file.max_position_embeddings,
            dim,
            layers: file.num_hidden_layers,
            heads,
            kv_heads: file.num_key_value_heads.unwrap_or(heads),
            hidden: file.intermediate_size,
            rope: Rope { base: file.rope_theta, pairs: RopePairs::Halves },
            norm_eps: file.rms_norm_eps,
            tied: file.tie_word_embeddings,
        })
    }
}

#[derive(Deserialize)]
struct Llama2c {
    dim: usize,
    hidden_dim: usize,
    n_layers: usize,
    n_heads: usize,
    n_kv_heads: usize,
    vocab_size: usize,
    max_seq_len: usize,
    shared: bool,
}

impl From<Llama2c> for LlamaConfig {
    fn from(file: Llama2c) -> LlamaConfig {
        LlamaConfig {
            vocab: file.vocab_size,
            context: file.max_seq_len,
            dim: file.dim,
            layers: file.n_layers,
            heads: file.n_heads,
            kv_heads: file.n_kv_heads,
            hidden: file.hidden_dim,
            tied: file.shared,
            ..LlamaConfig::LLAMA2_C
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn minilm() -> Value {
        json!({
            "model_type": "bert", "hidden_act": "gelu", "hidden_size": 384, "vocab_size": 30522,
            "intermediate_size": 1536, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
            "num_attention_heads": 12, "num_hidden_layers": 6, "pad_token_id": 0,
            "position_embedding_type": "absolute", "type_vocab_size": 2, "use_cache": true
        })
    }

    fn llama() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 64, "vocab_size": 100, "intermediate_size": 128,
            "max_position_embeddings": 32, "num_attention_heads": 4, "num_hidden_layers": 2,
            "rms_norm_eps": 1e-6, "rope_scaling": null, "tie_word_embeddings": true
        })
    }

    fn with(mut config: Value, key: &str, value: Value) -> Result<Architecture> {
        config[key] = value;
        Architecture::from_config(&config.to_string())
    }

    #[test]
    fn configurations_of_hugging_face_are_read() {
        let Architecture::Bert(bert) = Architecture::from_config(&minilm().to_string()).unwrap()
        else {
            panic!("a bert")
        };
        assert_eq!((bert.dim, bert.layers, bert.heads, bert.hidden), (384, 6, 12, 1536));
        let Architecture::Llama(small) = Architecture::from_config(&llama().to_string()).unwrap()
        else {
            panic!("a llama")
        };
        assert_eq!((small.kv_heads, small.rope.base, small.tied), (4, 10_000.0, true));
        assert_eq!(small.rope.pairs, RopePairs::Halves);
    }

    #[test]
    fn a_description_of_our_own_is_read_back() {
        for name in Architecture::presets() {
            let own = Architecture::preset(name).unwrap();
            let json = serde_json::to_string(&own).unwrap();
            assert_eq!(Architecture::from_config(&json).unwrap(), own);
        }
    }

    #[test]
    fn what_cannot_be_built_is_named() {
        let fail = |result: Result<Architecture>| result.unwrap_err().to_string();
        assert!(
            fail(with(minilm(), "hidden_act", json!("relu"))).contains("hidden_act is \"relu\"")
        );
        assert!(fail(with(minilm(), "model_type", json!("t5"))).contains("model_type is \"t5\""));
        assert!(fail(with(minilm(), "vocab_size", json!(-1))).contains("-1"));
        assert!(fail(with(llama(), "rope_scaling", json!({}))).contains("rope_scaling"));
        assert!(fail(with(llama(), "head_dim", json!(usize::MAX))).contains("head_dim"));
        assert!(fail(Architecture::from_config("{}")).contains("no model_type"));
        assert!(fail(Architecture::from_config("[")).contains("EOF"));
    }
}
