use super::{Activations, QuantConfig};
use crate::int8::Granularity;
use crate::models::Architecture;

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
    /// use tinytorch::{models::Architecture, quant::{Activations, QuantConfig}};
    /// let of = |name| Ok::<_, tinytorch::Error>(
    ///     QuantConfig::for_architecture(&Architecture::preset(name)?).activations,
    /// );
    /// assert_eq!(of("stories260K")?, Activations::Dynamic);
    /// assert_eq!(of("digits-cnn")?, Activations::Static);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    pub fn for_architecture(architecture: &Architecture) -> QuantConfig {
        let dynamic = |granularity, wide: &[&str]| QuantConfig {
            granularity,
            activations: Activations::Dynamic,
            wide: wide.iter().map(ToString::to_string).collect(),
            ..QuantConfig::default()
        };
        match architecture {
            Architecture::Gpt(_) | Architecture::Llama(_) => {
                dynamic(Granularity::Blocks, &["weight"])
            }
            Architecture::Bert(_) => {
                let read_norms =
                    ["q_proj.weight", "k_proj.weight", "v_proj.weight", "linear1.weight"];
                dynamic(Granularity::PerChannel, &read_norms)
            }
            _ => QuantConfig::default(),
        }
    }
}
