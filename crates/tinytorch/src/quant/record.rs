use super::{QuantConfig, QuantError, QuantReport};
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
}

impl QuantRecord {
    /// The record of a quantization.
    pub fn new(config: &QuantConfig, report: &QuantReport) -> QuantRecord {
        let (changed, folded) = (report.changed.clone(), report.folded.clone());
        QuantRecord { config: config.clone(), changed, folded }
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
    use crate::int8::{Granularity, WeightBits};
    use crate::quant::{Activations, RangeMethod, Rung};
    use std::collections::BTreeMap;

    #[test]
    fn every_setting_comes_back() {
        let config = QuantConfig {
            granularity: Granularity::Blocks,
            weight_bits: WeightBits::new(4).unwrap(),
            activations: Activations::Dynamic,
            range: RangeMethod::Percentile(0.001),
            skip: vec!["head.weight".to_string()],
            wide: vec!["q_proj.weight".to_string()],
            layers: BTreeMap::from([("fc.weight".to_string(), Rung::A16)]),
            destroys_floats_knowingly: false,
        };
        let report = QuantReport { folded: vec!["norm".to_string()], ..QuantReport::default() };
        let record = QuantRecord::new(&config, &report);
        let mut provenance = Provenance::default();
        record.write(&mut provenance).unwrap();
        assert_eq!(QuantRecord::read(&provenance).unwrap(), record);
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
