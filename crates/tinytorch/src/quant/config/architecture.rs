//! The configuration that suits a kind of model.

use super::QuantConfig;
use crate::models::Architecture;
use crate::quant::{Activations, Scheme};

/// The width up to which two-byte scales of blocks of 32 take no more than a four-byte scale of a row.
const NARROW: usize = 64;

impl QuantConfig {
    /// What suits a kind of model.
    ///
    /// Activations of transformers are dynamic, since the size of a token's vector depends on the token;
    /// those of other models are calibrated, which is faster. Eight bits are too few for some of them.
    /// Figures are output errors, relative and without the mean, with every weight in int8
    /// (`cargo test --test integration text_int8 -- --nocapture`):
    ///
    /// - Every layer of a decoder adds to the error, so its activations have 16 bits, which on AVX2 are as fast as 8.
    ///   stories260K, whose width is 64, is off by 3.1 % with 8 bits and a scale per channel, by 1.8 % with 16
    ///   bits and blocks, which at that width are as small; talks-gpt, whose width is 128, by 0.6 % with 16 bits
    ///   and a scale per channel, which takes 0.9 times as long as blocks.
    /// - What a BERT's norms give has a few large entries, which leave few of 256 levels to the others:
    ///   MiniLM is off by 6.3 % with 8 bits everywhere, by 4.4 % with 16 bits for what reads a norm.
    ///
    /// ```
    /// use tinytorch::{models::Architecture, quant::{Activations, QuantConfig, Scheme}};
    /// let of = |name| Ok::<_, tinytorch::Error>(
    ///     QuantConfig::for_architecture(&Architecture::preset(name)?).scheme_of("head.weight"),
    /// );
    /// assert_eq!(of("stories260K")?, Scheme::DYNAMIC16_BLOCKS);
    /// assert_eq!(of("talks-gpt")?, Scheme::DYNAMIC.with_activations(Activations::Dynamic16));
    /// assert_eq!(of("digits-cnn")?, Scheme::STATIC);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    pub fn for_architecture(architecture: &Architecture) -> QuantConfig {
        let decoder = |dim: usize| {
            let scheme = if dim <= NARROW { Scheme::DYNAMIC_BLOCKS } else { Scheme::DYNAMIC };
            QuantConfig::new(scheme)
                .with("*weight", scheme.with_activations(Activations::Dynamic16))
        };
        match architecture {
            Architecture::Gpt(config) => decoder(config.dim),
            Architecture::Llama(config) => decoder(config.dim),
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
