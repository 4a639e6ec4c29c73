//! The configuration that suits a kind of model.

use super::QuantConfig;
use crate::models::Architecture;
use crate::quant::{Activations, Scheme};

impl QuantConfig {
    /// What suits a kind of model.
    ///
    /// Activations of transformers are dynamic, since the size of a token's vector depends on the token;
    /// those of other models are calibrated, which is faster. Eight bits are too few for some of them.
    /// Figures are output errors, relative and without the mean, with every weight in int8
    /// (`cargo test --test integration text_int8 -- --nocapture`):
    ///
    /// - Decoders are narrow and every layer adds to the error: stories260K is off by 3.1 % with 8 bits
    ///   and a scale per channel, by 1.8 % with 16 bits and blocks, which at a width of 64 are as small.
    /// - What a BERT's norms give has a few large entries, which leave few of 256 levels to the others:
    ///   MiniLM is off by 6.3 % with 8 bits everywhere, by 4.4 % with 16 bits for what reads a norm.
    ///
    /// ```
    /// use tinytorch::{models::Architecture, quant::{QuantConfig, Scheme}};
    /// let of = |name| Ok::<_, tinytorch::Error>(
    ///     QuantConfig::for_architecture(&Architecture::preset(name)?).scheme_of("head.weight"),
    /// );
    /// assert_eq!(of("stories260K")?, Scheme::DYNAMIC16_BLOCKS);
    /// assert_eq!(of("digits-cnn")?, Scheme::STATIC);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    pub fn for_architecture(architecture: &Architecture) -> QuantConfig {
        match architecture {
            Architecture::Gpt(_) | Architecture::Llama(_) => {
                QuantConfig::new(Scheme::DYNAMIC_BLOCKS).with("*weight", Scheme::DYNAMIC16_BLOCKS)
            }
            Architecture::Bert(_) => {
                let wide = Scheme::DYNAMIC.with_activations(Activations::Dynamic16);
                let read_norms = ["q_proj", "k_proj", "v_proj", "linear1"];
                read_norms.into_iter().fold(QuantConfig::new(Scheme::DYNAMIC), |config, layer| {
                    config.with(format!("*{layer}.weight"), wide)
                })
            }
            _ => QuantConfig::default(),
        }
    }
}
