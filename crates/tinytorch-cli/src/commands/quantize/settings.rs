//! How weights become int8, as the user asks for it.

use crate::share::Share;
use clap::{Args, ValueEnum};
use std::str::FromStr;
use tinytorch::int8::{Granularity, WeightBits};
use tinytorch::quant::{Activations, QuantConfig, RangeMethod, Scheme};

/// How weights become int8; what is not said is what suits the model.
#[derive(Args, Clone, Debug)]
pub(crate) struct Settings {
    /// How many weights share a scale; blocks for decoders and per-channel for other models unless said
    /// otherwise
    #[arg(long, value_enum)]
    pub(crate) granularity: Option<Sharing>,
    /// Bits that the values of weights use, of the 8 in which each is stored
    #[arg(long, value_name = "BITS", default_value = "8", value_parser = weight_bits)]
    pub(crate) bits: WeightBits,
    /// Whether activations are 8 bits with calibrated ranges, 8 bits with ranges found for each row, or
    /// floats; dynamic for transformers and models with a state, static for others, unless said otherwise
    #[arg(long, value_enum)]
    pub(crate) activations: Option<Inputs>,
    /// How calibrated ranges are chosen: min-max, percentile, percentile=SHARE or mse
    #[arg(long, value_name = "METHOD", default_value = "min-max")]
    pub(crate) range: Range,
    /// Weights to leave as floats, by their dotted names or their layers', in which * stands for anything
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
    /// Ends of the names of weights whose dynamic activations take 16 bits, such as q_proj.weight, or
    /// weight for all; transformers have some unless --activations or this is given
    #[arg(long, value_name = "NAME", num_args = 0.., value_delimiter = ',')]
    pub(crate) wide: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Sharing {
    PerChannel,
    PerTensor,
    Blocks,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Inputs {
    Static,
    Dynamic,
    Float,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Range(pub(crate) RangeMethod);

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        /// Clips 1 value in 10,000 at each end.
        const PERCENTILE: f64 = 1e-4;
        let method = match text.split_once('=') {
            None if text == "min-max" => RangeMethod::MinMax,
            None if text == "percentile" => RangeMethod::Percentile(PERCENTILE),
            None if text == "mse" => RangeMethod::Mse,
            Some(("percentile", share)) => match share.parse()? {
                Share(share) if share < 0.5 => RangeMethod::Percentile(share),
                _ => return Err("a share below one half must be cut off at each end".into()),
            },
            _ => return Err("the methods are min-max, percentile, percentile=SHARE, mse".into()),
        };
        Ok(Range(method))
    }
}

impl Settings {
    /// The settings that the arguments ask for, and for the rest the usual ones.
    pub(crate) fn config(&self, usual: QuantConfig, within_budget: bool) -> QuantConfig {
        let asked = |scheme: Scheme| {
            let scheme = scheme.with_bits(self.bits);
            let scheme = match self.granularity {
                None => scheme,
                Some(Sharing::PerChannel) => scheme.with_granularity(Granularity::PerChannel),
                Some(Sharing::PerTensor) => scheme.with_granularity(Granularity::PerTensor),
                Some(Sharing::Blocks) => scheme.with_granularity(Granularity::Blocks),
            };
            match self.activations {
                None => scheme,
                Some(Inputs::Static) => scheme.with_activations(Activations::Static),
                Some(Inputs::Dynamic) => scheme.with_activations(Activations::Dynamic),
                Some(Inputs::Float) => scheme.with_activations(Activations::Float),
            }
        };
        let mut config = usual.map(asked).knowingly();
        config.range = self.range.0;
        // What suits the architecture is for those who ask for nothing else, and the ladder finds its own.
        if self.wide.is_some() || self.activations.is_some() || within_budget {
            config.patterns.clear();
        }
        let wide = match config.scheme.activations() {
            Activations::Dynamic => config.scheme.with_activations(Activations::Dynamic16),
            _ => config.scheme,
        };
        for end in self.wide.iter().flatten() {
            config = config.with(format!("*{end}"), wide);
        }
        self.skip.iter().fold(config, |config, name| config.with(name, Scheme::Float))
    }
}

/// The bits of a weight's values, from an argument.
pub(crate) fn weight_bits(text: &str) -> Result<WeightBits, String> {
    let bits = text.parse().map_err(|_| format!("{text:?} is not a number from 2 to 8"))?;
    WeightBits::new(bits).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let read = |text: &str| text.parse::<Range>().map(|range| range.0);
        assert_eq!(read("min-max"), Ok(RangeMethod::MinMax));
        assert_eq!(read("mse"), Ok(RangeMethod::Mse));
        assert_eq!(read("percentile"), Ok(RangeMethod::Percentile(1e-4)));
        assert_eq!(read("percentile=0.1%"), Ok(RangeMethod::Percentile(0.001)));
        for bad in ["", "max", "mse=1", "percentile=", "percentile=0.5", "percentile=x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
