//! The `config.json` of a BERT, as transformers writes it.

use super::super::{BertConfig, ModelError};
use super::settings::Settings;
use serde_json::json;

/// What the file does not say is as transformers takes it.
pub(super) fn bert(mut file: Settings) -> Result<BertConfig, ModelError> {
    file.expect("hidden_act", &["gelu".into()])?;
    file.expect("position_embedding_type", &["absolute".into()])?;
    for other in ["is_decoder", "add_cross_attention", "is_encoder_decoder", "tie_encoder_decoder"]
    {
        file.expect(other, &[false.into()])?;
    }
    file.expect("pruned_heads", &[json!({})])?;
    // The head that it would tie is not read.
    file.take("tie_word_embeddings");
    let config = BertConfig {
        vocab: file.required("vocab_size")?,
        context: file.required("max_position_embeddings")?,
        types: file.optional("type_vocab_size")?.unwrap_or(2),
        dim: file.required("hidden_size")?,
        layers: file.required("num_hidden_layers")?,
        heads: file.required("num_attention_heads")?,
        hidden: file.required("intermediate_size")?,
        norm_eps: file.optional("layer_norm_eps")?.unwrap_or(1e-12),
        pad: file.optional("pad_token_id")?.unwrap_or(0),
    };
    file.finish()?;
    Ok(config)
}
