//! How a model is quantized: a scheme, and others for the weights that patterns name.

use super::before::Form;
use crate::Result;
use crate::nn::matches;
use crate::quant::{QuantError, QuantReport, RangeMethod, Scheme};
use serde::{Deserialize, Serialize};

/// How a model is quantized.
///
/// Patterns are dotted names in which `*` stands for any characters, of weights (`fc.weight`) or of the
/// layers that own them (`fc`). The last one that fits decides:
///
/// ```
/// use tinytorch::quant::{Activations, QuantConfig, Scheme};
/// let config = QuantConfig::new(Activations::Static)
///     .with("blocks.*.attention.*", Scheme::DYNAMIC)
///     .with("blocks.0.attention.q_proj", Scheme::Float);
/// assert_eq!(config.scheme_of("blocks.3.attention.q_proj.weight"), Scheme::DYNAMIC);
/// assert_eq!(config.scheme_of("blocks.0.attention.q_proj.weight"), Scheme::Float);
/// assert_eq!(config.scheme_of("head.weight"), Scheme::STATIC);
/// ```
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Form")]
pub struct QuantConfig {
    /// Of all weights that no pattern names.
    pub scheme: Scheme,
    /// Schemes by pattern, of which the last that fits decides. Each must fit a weight.
    pub patterns: Vec<(String, Scheme)>,
    /// How static ranges are chosen.
    pub range: RangeMethod,
    /// Whether the caller knows that the float weights are destroyed; otherwise a warning says so.
    #[serde(skip)]
    pub destroys_floats_knowingly: bool,
    /// Whether a search within a budget may only choose ranges that calibration fixes, which are all that graphs for
    /// other engines can hold.
    #[serde(skip)]
    pub searches_fixed_ranges: bool,
}

impl QuantConfig {
    /// The same scheme for every weight, or per channel with activations that are handled like this.
    pub fn new(scheme: impl Into<Scheme>) -> QuantConfig {
        QuantConfig { scheme: scheme.into(), ..QuantConfig::default() }
    }

    /// The same configuration with a scheme for the weights that `pattern` fits, whatever stood for them.
    pub fn with(mut self, pattern: impl Into<String>, scheme: Scheme) -> QuantConfig {
        self.patterns.push((pattern.into(), scheme));
        self
    }

    /// The same configuration with every scheme of it changed.
    pub fn map(mut self, change: impl Fn(Scheme) -> Scheme) -> QuantConfig {
        self.scheme = change(self.scheme);
        self.patterns.iter_mut().for_each(|(_, scheme)| *scheme = change(*scheme));
        self
    }

    /// The same configuration, by a caller who knows that the float weights are destroyed.
    pub fn knowingly(self) -> QuantConfig {
        QuantConfig { destroys_floats_knowingly: true, ..self }
    }

    /// The same configuration, for a model that other engines will run: a search within a budget chooses fixed ranges
    /// or floats.
    pub fn portably(self) -> QuantConfig {
        QuantConfig { searches_fixed_ranges: true, ..self }
    }

    /// How the weight of this name is quantized.
    pub fn scheme_of(&self, weight: &str) -> Scheme {
        let found = self.patterns.iter().rev().find(|(pattern, _)| fits(pattern, weight));
        found.map_or(self.scheme, |(_, scheme)| *scheme)
    }

    /// Whether a pattern says how the weight of this name is quantized.
    pub fn settles(&self, weight: &str) -> bool {
        self.patterns.iter().any(|(pattern, _)| fits(pattern, weight))
    }

    /// Whether the weight of this name stays float.
    pub fn keeps_float(&self, weight: &str) -> bool {
        self.scheme_of(weight).is_float()
    }

    /// Whether any weight may multiply activations whose range calibration fixes.
    pub fn is_static_anywhere(&self) -> bool {
        self.scheme.is_static() || self.patterns.iter().any(|(_, scheme)| scheme.is_static())
    }

    /// Refuses a pattern that fits none of the weights.
    pub(in crate::quant) fn check_patterns(&self, weights: &[&str]) -> Result<()> {
        let is_idle = |pattern: &String| !weights.iter().any(|weight| fits(pattern, weight));
        match self.patterns.iter().find(|(pattern, _)| is_idle(pattern)) {
            Some((pattern, _)) => {
                let (pattern, known) = (pattern.clone(), weights.join(", "));
                Err(QuantError::UnknownWeight { pattern, known }.into())
            }
            None => Ok(()),
        }
    }

    /// Warns, unless the caller knows, that floats are gone.
    pub(in crate::quant) fn warn(&self, report: &QuantReport) {
        if !self.destroys_floats_knowingly {
            tracing::warn!(
                weights = report.weights.len(),
                "quantizing replaces float weights in place and they cannot be restored; \
                 clone the model first to keep them"
            );
        }
    }
}

impl TryFrom<Form> for QuantConfig {
    type Error = &'static str;

    fn try_from(form: Form) -> Result<QuantConfig, &'static str> {
        let range = form.range;
        let (scheme, patterns) = form.schemes()?;
        Ok(QuantConfig { scheme, patterns, range, ..QuantConfig::default() })
    }
}

fn fits(pattern: &str, weight: &str) -> bool {
    let layer = weight.rsplit_once('.').map_or("", |(layer, _)| layer);
    matches(pattern, weight) || matches(pattern, layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_weights_or_their_layers() {
        for (pattern, weight, expected) in [
            ("fc.weight", "fc.weight", true),
            ("fc", "fc.weight", true),
            ("fc", "fc.weight_down", true),
            ("fc", "fc2.weight", false),
            ("blocks.*.attention.*", "blocks.1.attention.q_proj.weight", true),
            ("blocks.*.attention.*", "blocks.1.mlp.up.weight", false),
            ("*weight", "weight", true),
            ("*", "anything.at.all", true),
        ] {
            assert_eq!(fits(pattern, weight), expected, "{pattern} {weight}");
        }
    }

    #[test]
    fn an_idle_pattern_is_an_error_with_the_weights_there_are() {
        let config = QuantConfig::default().with("fc9", Scheme::Float);
        let error = config.check_patterns(&["fc1.weight", "fc2.weight"]).unwrap_err().to_string();
        assert!(error.contains("`fc9`") && error.contains("fc1.weight, fc2.weight"), "{error}");
    }
}
