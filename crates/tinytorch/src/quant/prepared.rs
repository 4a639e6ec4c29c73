//! What calibration has found, as plain data.

use super::fold::Fold;
use super::{QuantConfig, QuantError, RangeEstimator};
use crate::Result;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All that quantizing a float model needs to know beside its weights, by their names: it fits the model
/// that [`calibrate`](super::calibrate) has seen and its clones, here and on other machines.
///
/// It is plain data, for any format that serde writes:
///
/// ```
/// use tinytorch::{Tensor, autograd::Var, nn::{Init, Linear}};
/// use tinytorch::quant::{Prepared, QuantConfig, calibrate};
/// let model = Linear::new(4, 2, &mut Init::seed(1))?;
/// let batch = Var::from(Tensor::from_vec(vec![0.1, -0.7, 3.0, 1.5], [1, 4])?);
/// let prepared = calibrate(&model, [Ok(batch)], &QuantConfig::default())?;
/// let json = serde_json::to_string(&prepared).unwrap();
/// assert_eq!(serde_json::from_str::<Prepared>(&json).unwrap(), prepared);
/// assert_eq!(prepared.range("weight"), Some((-0.7, 3.0)));
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    config: QuantConfig,
    pub(super) ranges: BTreeMap<String, RangeEstimator>,
    pub(crate) folds: Vec<Fold>,
    pub(super) batches: usize,
    pub(super) samples: usize,
}

impl Prepared {
    /// Nothing has been seen.
    pub(super) fn new(config: &QuantConfig) -> Prepared {
        let (ranges, folds, config) = (BTreeMap::new(), Vec::new(), config.clone());
        Prepared { config, ranges, folds, batches: 0, samples: 0 }
    }

    /// How the model is to be quantized.
    pub fn config(&self) -> &QuantConfig {
        &self.config
    }

    /// The range of what the weight of this name multiplies, if any batch has reached it.
    pub fn range(&self, weight: &str) -> Option<(f32, f32)> {
        self.ranges.get(weight).and_then(RangeEstimator::range)
    }

    /// Dotted names of the batch norms that their convolution can do, where it becomes int8.
    pub fn foldable(&self) -> impl Iterator<Item = &str> {
        self.folds.iter().map(|fold| fold.norm.as_str())
    }

    /// Batches seen.
    pub fn batches(&self) -> usize {
        self.batches
    }

    /// Samples seen, by the first axis of the model's first output; 0 where no range was looked for.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The same findings for another configuration, as long as its ranges are chosen in the same way.
    ///
    /// # Errors
    /// [`QuantError::Merge`] if they are chosen in another way.
    pub fn with_config(&self, config: &QuantConfig) -> Result<Prepared> {
        if config.range != self.config.range {
            return Err(QuantError::Merge { what: "they were estimated in different ways" }.into());
        }
        Ok(Prepared { config: config.clone(), ..self.clone() })
    }

    /// Takes in what a calibration of the same model has found on other data, on another machine say. The
    /// result is, to the bit, what one calibration on all of the data would have found.
    ///
    /// # Errors
    /// [`QuantError::Merge`] if the other has another configuration or is of another model. This one is
    /// then as it was before.
    pub fn merge(&mut self, other: &Prepared) -> Result<()> {
        let differ = |what| Err(QuantError::Merge { what }.into());
        if self.config.clone().knowingly() != other.config.clone().knowingly() {
            return differ("they were made for different configurations");
        }
        if self.batches > 0 && other.batches > 0 && self.folds != other.folds {
            return differ("they are of different models, whose batch norms differ");
        }
        let mut ranges = self.ranges.clone();
        for (name, theirs) in &other.ranges {
            match ranges.get_mut(name) {
                Some(own) => own.merge(theirs)?,
                None => {
                    ranges.insert(name.clone(), theirs.clone());
                }
            }
        }
        self.ranges = ranges;
        if self.batches == 0 {
            self.folds.clone_from(&other.folds);
        }
        self.batches = self.batches.saturating_add(other.batches);
        self.samples = self.samples.saturating_add(other.samples);
        Ok(())
    }
}
