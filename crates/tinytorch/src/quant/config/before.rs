//! Reading a configuration, also as files of version 0.1 tell it: with lists of names for what are
//! patterns now.

use crate::int8::{Granularity, WeightBits};
use crate::quant::{Activations, RangeMethod, Scheme};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The fields of both forms.
#[derive(Deserialize)]
pub(super) struct Form {
    pub(super) range: RangeMethod,
    scheme: Option<Scheme>,
    #[serde(default)]
    patterns: Vec<(String, Scheme)>,

    granularity: Option<Granularity>,
    #[serde(default)]
    weight_bits: WeightBits,
    activations: Option<Activations>,
    /// Names of weights that stay float.
    #[serde(default)]
    skip: Vec<String>,
    /// Ends of the names of weights whose dynamic activations take 16 bits.
    #[serde(default)]
    wide: Vec<String>,
    #[serde(default)]
    layers: BTreeMap<String, Rung>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rung {
    StaticA8,
    DynamicA8,
    BlockedA8,
    A16,
    F32,
}

impl Rung {
    fn scheme(self) -> Scheme {
        match self {
            Rung::StaticA8 => Scheme::STATIC,
            Rung::DynamicA8 => Scheme::DYNAMIC,
            Rung::BlockedA8 => Scheme::DYNAMIC_BLOCKS,
            Rung::A16 => Scheme::DYNAMIC16_BLOCKS,
            Rung::F32 => Scheme::Float,
        }
    }
}

impl Form {
    /// The scheme of all weights, and those of the ones that patterns name.
    pub(super) fn schemes(self) -> Result<(Scheme, Vec<(String, Scheme)>), &'static str> {
        let Form { scheme, mut patterns, granularity, activations, weight_bits: bits, .. } = self;
        let scheme = match (scheme, granularity, activations) {
            (Some(scheme), None, None) => scheme,
            (None, Some(granularity), Some(activations)) => {
                Scheme::new(granularity, activations).with_bits(bits)
            }
            _ => return Err("a configuration needs a `scheme`"),
        };
        if scheme.activations() == Activations::Dynamic {
            let wide = scheme.with_activations(Activations::Dynamic16);
            patterns.extend(self.wide.into_iter().map(|end| (format!("*{end}"), wide)));
        }
        let layers = self.layers.into_iter();
        patterns.extend(layers.map(|(name, rung)| (name, rung.scheme().with_bits(bits))));
        patterns.extend(self.skip.into_iter().map(|name| (name, Scheme::Float)));
        Ok((scheme, patterns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::QuantConfig;

    #[test]
    fn a_configuration_of_version_0_1_means_what_it_meant() {
        let before = r#"{"granularity":"blocks","weight_bits":6,"activations":"dynamic",
            "range":{"percentile":0.001},"skip":["head.weight"],"wide":["q_proj.weight"],
            "layers":{"fc.weight":"static-a8","head.weight":"a16"}}"#;
        let config: QuantConfig = serde_json::from_str(before).unwrap();
        let bits = WeightBits::new(6).unwrap();
        assert_eq!(config.range, RangeMethod::Percentile(0.001));
        for (name, scheme) in [
            ("blocks.0.q_proj.weight", Scheme::DYNAMIC16_BLOCKS.with_bits(bits)),
            ("blocks.0.v_proj.weight", Scheme::DYNAMIC_BLOCKS.with_bits(bits)),
            ("fc.weight", Scheme::STATIC.with_bits(bits)),
            ("head.weight", Scheme::Float),
        ] {
            assert_eq!(config.scheme_of(name), scheme, "{name}");
        }
        let first =
            r#"{"granularity":"per-channel","activations":"static","range":"min-max","skip":[]}"#;
        assert_eq!(serde_json::from_str::<QuantConfig>(first).unwrap(), QuantConfig::default());
    }

    #[test]
    fn what_is_written_is_read_back_and_half_a_form_is_an_error() {
        let config = QuantConfig::new(Scheme::DYNAMIC).with("a.*", Scheme::Float);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<QuantConfig>(&json).unwrap(), config);
        for half in [r#"{"range":"min-max"}"#, r#"{"range":"min-max","activations":"static"}"#] {
            let error = serde_json::from_str::<QuantConfig>(half).unwrap_err().to_string();
            assert!(error.contains("scheme"), "{error}");
        }
    }
}
