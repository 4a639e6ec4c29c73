//! How files of other programs name parameters.

/// How files of another origin name what a model holds.
#[derive(Clone, Copy, Debug)]
pub struct ForeignNames {
    /// The file's name of the parameter that the model calls so.
    pub rename: fn(&str) -> String,
    /// Whether a tensor of the file is none of the model's and can be passed over.
    pub ignore: fn(&str) -> bool,
    /// How the file stores the parameter that the model calls so.
    pub layout: fn(&str) -> Layout,
}

/// How a file stores a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As the model has it.
    Same,
    /// The weight of a linear layer as `[inputs, outputs]`.
    Transposed,
    /// Several parameters in one tensor, side by side along its last axis, weights as `[inputs, outputs]`.
    Joined {
        /// Which of them it is.
        part: usize,
        /// How many there are.
        parts: usize,
    },
}

impl ForeignNames {
    /// The model's own names. PyTorch's count of the batches that a norm has seen is passed over.
    pub const SAME: ForeignNames = ForeignNames {
        rename: str::to_string,
        ignore: |name| name.ends_with(".num_batches_tracked"),
        layout: as_it_is,
    };

    /// Those of Meta's Llama, which llama2.c keeps.
    pub const LLAMA2_C: ForeignNames =
        ForeignNames { rename: |name| LLAMA2_C.rename(name), ignore: |_| false, layout: as_it_is };

    /// Those of Hugging Face's Llama. The angles of the rotary positions, which old files hold, are
    /// passed over.
    pub const HF_LLAMA: ForeignNames = ForeignNames {
        rename: |name| HF_LLAMA.rename(name),
        ignore: |name| name.ends_with(".rotary_emb.inv_freq"),
        layout: as_it_is,
    };

    /// Those of Hugging Face's BERT and RoBERTa. The numbers of the positions, and what stands behind the encoder for
    /// pre-training or a task, are passed over.
    pub const HF_BERT: ForeignNames = ForeignNames {
        rename: |name| HF_BERT.rename(name),
        ignore: |name| {
            let heads = ["pooler.", "cls.", "lm_head.", "classifier.", "qa_outputs.", "dropout."];
            name == "embeddings.position_ids" || heads.iter().any(|head| name.starts_with(head))
        },
        layout: as_it_is,
    };

    /// Those of Hugging Face's DistilBERT; what stands behind the encoder is passed over.
    pub const HF_DISTILBERT: ForeignNames = ForeignNames {
        rename: |name| HF_DISTILBERT.rename(name),
        ignore: |name| {
            let heads = ["vocab_", "pre_classifier.", "classifier.", "qa_outputs."];
            name == "embeddings.position_ids" || heads.iter().any(|head| name.starts_with(head))
        },
        layout: as_it_is,
    };

    /// Those of Hugging Face's GPT-2, which stores linear layers as one-dimensional convolutions and queries,
    /// keys and values in one. The triangles of its attention are passed over.
    pub const HF_GPT2: ForeignNames = ForeignNames {
        rename: |name| HF_GPT2.rename(name),
        ignore: |name| name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"),
        layout: |name| {
            let parts = ["attention.q_proj.", "attention.k_proj.", "attention.v_proj."];
            match parts.iter().position(|part| name.contains(part)) {
                Some(part) => Layout::Joined { part, parts: parts.len() },
                None if name.starts_with("blocks.")
                    && name.ends_with(".weight")
                    && !name.contains(".norm") =>
                {
                    Layout::Transposed
                }
                None => Layout::Same,
            }
        },
    };
}

fn as_it_is(_: &str) -> Layout {
    Layout::Same
}

/// The names of a transformer: each pair gives how a name begins in the model and in the file.
struct Transformer {
    blocks: &'static str,
    outside: &'static [(&'static str, &'static str)],
    in_block: &'static [(&'static str, &'static str)],
}

impl Transformer {
    fn rename(&self, name: &str) -> String {
        let begin = |name: &str, pairs: &[(&str, &str)]| {
            let renamed =
                pairs.iter().find_map(|(own, theirs)| Some((theirs, name.strip_prefix(own)?)));
            renamed.map_or_else(|| name.to_string(), |(theirs, rest)| format!("{theirs}{rest}"))
        };
        let block = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        match block {
            Some((i, rest)) => format!("{}{i}.{}", self.blocks, begin(rest, self.in_block)),
            None => begin(name, self.outside),
        }
    }
}

const LLAMA2_C: Transformer = Transformer {
    blocks: "layers.",
    outside: &[("tokens.", "tok_embeddings."), ("head.", "output.")],
    in_block: &[
        ("attention.q_proj.", "attention.wq."),
        ("attention.k_proj.", "attention.wk."),
        ("attention.v_proj.", "attention.wv."),
        ("attention.out_proj.", "attention.wo."),
        ("norm1.", "attention_norm."),
        ("mlp.gate_proj.", "feed_forward.w1."),
        ("mlp.down_proj.", "feed_forward.w2."),
        ("mlp.up_proj.", "feed_forward.w3."),
        ("norm2.", "ffn_norm."),
    ],
};

const HF_LLAMA: Transformer = Transformer {
    blocks: "model.layers.",
    outside: &[("tokens.", "model.embed_tokens."), ("norm.", "model.norm."), ("head.", "lm_head.")],
    in_block: &[
        ("attention.out_proj.", "self_attn.o_proj."),
        ("attention.", "self_attn."),
        ("norm1.", "input_layernorm."),
        ("norm2.", "post_attention_layernorm."),
    ],
};

const HF_BERT: Transformer = Transformer {
    blocks: "encoder.layer.",
    outside: &[
        ("tokens.", "embeddings.word_embeddings."),
        ("positions.", "embeddings.position_embeddings."),
        ("types.", "embeddings.token_type_embeddings."),
        ("norm.", "embeddings.LayerNorm."),
    ],
    in_block: &[
        ("attention.q_proj.", "attention.self.query."),
        ("attention.k_proj.", "attention.self.key."),
        ("attention.v_proj.", "attention.self.value."),
        ("attention.out_proj.", "attention.output.dense."),
        ("norm1.", "attention.output.LayerNorm."),
        ("mlp.linear1.", "intermediate.dense."),
        ("mlp.linear2.", "output.dense."),
        ("norm2.", "output.LayerNorm."),
    ],
};

const HF_DISTILBERT: Transformer = Transformer {
    blocks: "transformer.layer.",
    outside: &[
        ("tokens.", "embeddings.word_embeddings."),
        ("positions.", "embeddings.position_embeddings."),
        ("norm.", "embeddings.LayerNorm."),
    ],
    in_block: &[
        ("attention.q_proj.", "attention.q_lin."),
        ("attention.k_proj.", "attention.k_lin."),
        ("attention.v_proj.", "attention.v_lin."),
        ("attention.out_proj.", "attention.out_lin."),
        ("norm1.", "sa_layer_norm."),
        ("mlp.linear1.", "ffn.lin1."),
        ("mlp.linear2.", "ffn.lin2."),
        ("norm2.", "output_layer_norm."),
    ],
};

const HF_GPT2: Transformer = Transformer {
    blocks: "h.",
    outside: &[
        ("tokens.", "wte."),
        ("positions.", "wpe."),
        ("norm.", "ln_f."),
        ("head.", "lm_head."),
    ],
    in_block: &[
        ("attention.q_proj.", "attn.c_attn."),
        ("attention.k_proj.", "attn.c_attn."),
        ("attention.v_proj.", "attn.c_attn."),
        ("attention.out_proj.", "attn.c_proj."),
        ("norm1.", "ln_1."),
        ("mlp.linear1.", "mlp.c_fc."),
        ("mlp.linear2.", "mlp.c_proj."),
        ("norm2.", "ln_2."),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transformers_are_named_as_their_files_do() {
        let llama2_c = ForeignNames::LLAMA2_C.rename;
        assert_eq!(llama2_c("blocks.3.mlp.up_proj.weight"), "layers.3.feed_forward.w3.weight");
        assert_eq!(llama2_c("norm.weight"), "norm.weight");
        assert_eq!(llama2_c("head.weight"), "output.weight");
        let hf_llama = ForeignNames::HF_LLAMA.rename;
        let key = "blocks.12.attention.k_proj.weight";
        assert_eq!(hf_llama(key), "model.layers.12.self_attn.k_proj.weight");
        assert_eq!(hf_llama("norm.weight"), "model.norm.weight");
        let hf_bert = ForeignNames::HF_BERT.rename;
        assert_eq!(hf_bert("blocks.0.norm2.bias"), "encoder.layer.0.output.LayerNorm.bias");
        assert_eq!(hf_bert("norm.bias"), "embeddings.LayerNorm.bias");
        assert!((ForeignNames::HF_BERT.ignore)("pooler.dense.weight"));
        let gpt2 = ForeignNames::HF_GPT2;
        assert_eq!((gpt2.rename)("blocks.1.attention.v_proj.bias"), "h.1.attn.c_attn.bias");
        let layout = gpt2.layout;
        assert_eq!(layout("blocks.1.mlp.linear2.weight"), Layout::Transposed);
        assert_eq!(layout("blocks.1.norm1.weight"), Layout::Same);
        assert_eq!(layout("tokens.weight"), Layout::Same);
        let value = Layout::Joined { part: 2, parts: 3 };
        assert_eq!(layout("blocks.1.attention.v_proj.bias"), value);
    }
}
