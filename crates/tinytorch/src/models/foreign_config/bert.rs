//! The `config.json` of a BERT, a RoBERTa and a DistilBERT, as transformers writes it.

use super::super::{BertConfig, ModelError};
use super::settings::Settings;
use serde_json::json;

/// What the file does not say is as transformers takes it.
pub(super) fn bert(file: Settings) -> Result<BertConfig, ModelError> {
    like_bert(file, 0, |_| 0)
}

/// The config of a RoBERTa, whose positions are counted from behind the id of padding.
pub(super) fn roberta(file: Settings) -> Result<BertConfig, ModelError> {
    like_bert(file, 1, |pad| pad.saturating_add(1))
}

/// What both are, with the usual id of padding, and the row of the table of positions that comes first for
/// such an id.
fn like_bert(
    mut file: Settings,
    usual_pad: usize,
    first_position: fn(usize) -> usize,
) -> Result<BertConfig, ModelError> {
    file.expect("hidden_act", &["gelu".into()])?;
    file.expect("position_embedding_type", &["absolute".into()])?;
    for other in ["is_decoder", "add_cross_attention", "is_encoder_decoder", "tie_encoder_decoder"]
    {
        file.expect(other, &[false.into()])?;
    }
    file.expect("pruned_heads", &[json!({})])?;
    // The head that it would tie is not read.
    file.take("tie_word_embeddings");
    let pad = file.optional("pad_token_id")?.unwrap_or(usual_pad);
    let rows: usize = file.required("max_position_embeddings")?;
    let first_position = first_position(pad);
    let Some(context) = rows.checked_sub(first_position) else {
        return Err(file.unsupported("max_position_embeddings", &rows.into()));
    };
    let config = BertConfig {
        vocab: file.required("vocab_size")?,
        context,
        types: file.optional("type_vocab_size")?.unwrap_or(2),
        dim: file.required("hidden_size")?,
        layers: file.required("num_hidden_layers")?,
        heads: file.required("num_attention_heads")?,
        hidden: file.required("intermediate_size")?,
        norm_eps: file.optional("layer_norm_eps")?.unwrap_or(1e-12),
        pad,
        first_position,
    };
    if config.types == 0 {
        return Err(file.unsupported("type_vocab_size", &0.into()));
    }
    file.finish()?;
    Ok(config)
}

/// The config of a DistilBERT: no kinds of sequences, names of its own.
pub(super) fn distilbert(mut file: Settings) -> Result<BertConfig, ModelError> {
    file.expect("activation", &["gelu".into()])?;
    for other in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        file.expect(other, &[false.into()])?;
    }
    file.expect("pruned_heads", &[json!({})])?;
    // What the table of positions began training with, which heads are tied, and their dropout.
    for other in [
        "sinusoidal_pos_embds",
        "tie_weights_",
        "tie_word_embeddings",
        "qa_dropout",
        "seq_classif_dropout",
    ] {
        file.take(other);
    }
    let config = BertConfig {
        vocab: file.required("vocab_size")?,
        context: file.required("max_position_embeddings")?,
        types: 0,
        dim: file.required("dim")?,
        layers: file.required("n_layers")?,
        heads: file.required("n_heads")?,
        hidden: file.required("hidden_dim")?,
        norm_eps: 1e-12,
        pad: file.optional("pad_token_id")?.unwrap_or(0),
        first_position: 0,
    };
    file.finish()?;
    Ok(config)
}
