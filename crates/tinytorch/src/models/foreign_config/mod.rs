//! What a `config.json` of another program says of a model.

mod bert;
mod gpt2;
mod harmless;
mod llama;
mod rotary;
mod settings;

use super::Architecture;
use crate::Result;
use llama::Family;
use serde::Deserialize;
use serde_json::Value;
use settings::{Settings, config};

impl Architecture {
    /// The architecture that a `config.json` describes: tinytorch's own form, Hugging Face's for BERT, RoBERTa,
    /// DistilBERT, GPT-2, Llama (SmolLM among them), Mistral, Qwen2 and Qwen3, or llama2.c's. A setting that is
    /// neither understood nor known to leave all numbers as they are is an error.
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
    /// [`ModelError::Config`](super::ModelError::Config) for anything else, and for settings that
    /// tinytorch's models do not have.
    pub fn from_config(json: &str) -> Result<Architecture> {
        let unusable = |error: serde_json::Error| config(error.to_string());
        let value: Value = serde_json::from_str(json).map_err(unusable)?;
        if value.get("architecture").is_some() {
            return Ok(Architecture::deserialize(value).map_err(unusable)?);
        }
        let mut file = Settings::of(value)?;
        let kind = file.optional::<String>("model_type")?;
        Ok(match kind.as_deref() {
            Some("bert") => Architecture::Bert(bert::bert(file)?),
            Some("roberta" | "xlm-roberta" | "camembert") => {
                Architecture::Bert(bert::roberta(file)?)
            }
            Some("distilbert") => Architecture::Bert(bert::distilbert(file)?),
            Some("gpt2") => Architecture::Gpt(gpt2::gpt2(file)?),
            Some("llama") => Architecture::Llama(llama::llama(file, Family::Llama)?),
            Some("mistral") => Architecture::Llama(llama::llama(file, Family::Mistral)?),
            Some("qwen2") => Architecture::Llama(llama::llama(file, Family::Qwen2)?),
            Some("qwen3") => Architecture::Llama(llama::llama(file, Family::Qwen3)?),
            None if file.has("n_layers") => Architecture::Llama(llama::llama2c(file)?),
            Some(other) => return Err(config(format!("the model_type is {other:?}")).into()),
            None => return Err(config("there is no model_type".to_string()).into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::RopePairs;
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
        assert!(
            fail(with(llama(), "rope_scaling", json!({"factor": 2, "rope_type": "own"})))
                .contains("rope_scaling")
        );
        assert!(fail(with(llama(), "head_dim", json!(usize::MAX))).contains("head_dim"));
        assert!(fail(Architecture::from_config("{}")).contains("no model_type"));
        assert!(fail(Architecture::from_config("[]")).contains("an object is needed"));
        assert!(fail(Architecture::from_config("[")).contains("EOF"));
    }

    #[test]
    fn settings_that_would_change_the_numbers_are_named() {
        let no = |config: fn() -> Value, key: &str, value: Value| {
            let line = with(config(), key, value).unwrap_err().to_string();
            assert!(line.contains(key), "{line}");
        };
        no(minilm, "is_decoder", json!(true));
        no(minilm, "position_embedding_type", json!("relative_key"));
        no(minilm, "pruned_heads", json!({"0": [1]}));
        no(minilm, "embedding_size", json!(128));
        no(llama, "partial_rotary_factor", json!(0.5));
        no(llama, "sliding_window", json!(4));
        no(llama, "layer_types", json!(["full_attention", "sliding_attention"]));
        no(llama, "attention_bias", json!(true));
        no(llama, "mlp_bias", json!(true));
        no(llama, "quantization_config", json!({"quant_method": "bitsandbytes"}));
        no(llama, "logits_scaling", json!(8.0));
        no(llama, "auto_map", json!({"AutoModel": "own.py"}));
        let llama2c = || {
            json!({"dim": 64, "n_layers": 5, "n_heads": 8, "hidden_dim": 172,
            "n_kv_heads": 4, "vocab_size": 512, "max_seq_len": 512, "shared": true})
        };
        assert!(with(llama2c(), "norm_eps", json!(1e-6)).is_ok());
        assert!(with(llama2c(), "rope_theta", json!(5e5)).is_err());
    }

    #[test]
    fn settings_that_change_nothing_are_passed_over() {
        for (key, value) in [
            ("sliding_window", Value::Null),
            ("sliding_window", json!(32)),
            ("layer_types", json!(["full_attention", "full_attention"])),
            ("num_key_value_heads", Value::Null),
            ("torch_dtype", json!("bfloat16")),
            ("eos_token_id", json!([1, 2])),
            ("rope_theta", json!(10_000)),
        ] {
            let plain = with(llama(), "use_cache", json!(true)).unwrap();
            assert_eq!(with(llama(), key, value).unwrap(), plain, "{key}");
        }
        let mut unused = llama();
        unused["sliding_window"] = json!(4);
        assert!(with(unused, "use_sliding_window", json!(false)).is_ok());
        let Architecture::Bert(bert) = with(minilm(), "layer_norm_eps", Value::Null).unwrap()
        else {
            panic!("a bert")
        };
        assert_eq!(bert.norm_eps, 1e-12);
    }
}
