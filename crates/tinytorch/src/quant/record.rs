//! What a file tells of how its model was quantized.

use super::{Equalization, QuantConfig, QuantError, QuantReport, Tried};
use crate::Result;
use crate::files::Provenance;
use serde::{Deserialize, Serialize};

/// What an int8 model's file tells of its quantization, so that an audit can be held long after it:
/// the settings, and everything that quantizing changed beside the weights that are int8.
///
/// ```
/// use tinytorch::files::Provenance;
/// use tinytorch::quant::{QuantConfig, QuantRecord, QuantReport};
/// let report = QuantReport { changed: vec!["conv.bias".into()], ..QuantReport::default() };
/// let mut provenance = Provenance::default();
/// QuantRecord::new(&QuantConfig::default(), &report).write(&mut provenance)?;
/// assert_eq!(QuantRecord::read(&provenance)?.changed, ["conv.bias"]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantRecord {
    /// The settings.
    pub config: QuantConfig,
    /// Parameters that were changed and are floats still: [`QuantReport::changed`].
    pub changed: Vec<String>,
    /// Batch norms that their convolution does: [`QuantReport::folded`].
    pub folded: Vec<String>,
    /// Channels that were brought to one range: [`QuantReport::equalized`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub equalized: Vec<Equalization>,
    /// Weights whose layers take off what quantizing has moved their means by: [`QuantReport::corrected`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrected: Vec<String>,
    /// The models that a search judged: [`QuantReport::tried`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

impl QuantRecord {
    /// The record of a quantization.
    pub fn new(config: &QuantConfig, report: &QuantReport) -> QuantRecord {
        let (changed, folded) = (report.changed.clone(), report.folded.clone());
        let (equalized, corrected) = (report.equalized.clone(), report.corrected.clone());
        let (config, tried) = (config.clone(), report.tried.clone());
        QuantRecord { config, changed, folded, equalized, corrected, tried }
    }

    /// Puts the record where [`QuantRecord::read`] looks for it.
    ///
    /// # Errors
    /// None in practice: JSON can express every setting.
    pub fn write(&self, provenance: &mut Provenance) -> Result<()> {
        provenance.quantization = Some(serde_json::to_value(self).map_err(unusable)?);
        Ok(())
    }

    /// The record in a file's provenance.
    ///
    /// # Errors
    /// [`QuantError::NoRecord`], or [`QuantError::Record`] for one of another form.
    pub fn read(provenance: &Provenance) -> Result<QuantRecord> {
        let json = provenance.quantization.as_ref().ok_or(QuantError::NoRecord)?;
        Ok(QuantRecord::deserialize(json).map_err(unusable)?)
    }
}

fn unusable(error: serde_json::Error) -> QuantError {
    QuantError::Record { problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::WeightBits;
    use crate::quant::{RangeMethod, Scheme};

    #[test]
    fn every_setting_comes_back() {
        let config = QuantConfig {
            range: RangeMethod::Percentile(0.001),
            ..QuantConfig::new(Scheme::DYNAMIC_BLOCKS.with_bits(WeightBits::new(4).unwrap()))
        };
        let config = config
            .with("*q_proj.weight", Scheme::DYNAMIC16_BLOCKS)
            .with("head.weight", Scheme::Float);
        let report = QuantReport { folded: vec!["norm".to_string()], ..QuantReport::default() };
        let record = QuantRecord::new(&config, &report);
        let mut provenance = Provenance::default();
        record.write(&mut provenance).unwrap();
        assert_eq!(QuantRecord::read(&provenance).unwrap(), record);
    }

    /// As written by version 0.1.
    #[test]
    fn a_record_of_an_older_file_is_read() {
        let config = serde_json::json!({
            "granularity": "per-channel", "weight_bits": 8, "activations": "static",
            "range": "min-max", "skip": ["head.weight"], "wide": [], "layers": {"fc.weight": "a16"},
        });
        let record = serde_json::json!({ "config": config, "changed": ["b"], "folded": ["norm"] });
        let provenance = Provenance { quantization: Some(record), ..Provenance::default() };
        let record = QuantRecord::read(&provenance).unwrap();
        assert_eq!(
            (&record.changed[..], &record.folded[..]),
            (&["b".into()][..], &["norm".into()][..])
        );
        assert_eq!(record.config.scheme, Scheme::STATIC);
        assert!(record.config.keeps_float("head.weight"));
        assert_eq!(record.config.scheme_of("fc.weight"), Scheme::DYNAMIC16_BLOCKS);
    }

    #[test]
    fn a_missing_or_foreign_record_is_named() {
        let mut provenance = Provenance::default();
        let missing = QuantRecord::read(&provenance).unwrap_err().to_string();
        assert!(missing.contains("does not say how it was quantized"), "{missing}");
        provenance.quantization = Some(serde_json::json!({ "config": {}, "changed": 3 }));
        let foreign = QuantRecord::read(&provenance).unwrap_err().to_string();
        assert!(foreign.contains("cannot be read"), "{foreign}");
    }
}
