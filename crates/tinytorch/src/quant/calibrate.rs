use super::{QuantError, RangeEstimator, RangeMethod};
use crate::Result;
use crate::autograd::{Ctx, Observer, ParamId};
use crate::nn::Forward;
use crate::tensor::{Dtype, Tensor};
use std::collections::BTreeMap;

/// The ranges of the activations that weights multiply, by the weight's identity.
///
/// A calibration is an [`Observer`]: it watches passes of the float model.
#[derive(Clone, Debug)]
pub struct Calibration {
    method: RangeMethod,
    ranges: BTreeMap<ParamId, RangeEstimator>,
    batches: usize,
    unusable: Option<(ParamId, f32)>,
}

impl Calibration {
    /// A calibration that has seen nothing.
    pub fn new(method: RangeMethod) -> Calibration {
        Calibration { method, ranges: BTreeMap::new(), batches: 0, unusable: None }
    }

    /// Runs every batch through the model and takes in the activations.
    ///
    /// # Errors
    /// [`QuantError::Calibration`] naming the first batch that does not run, [`QuantError::Activation`]
    /// for NaN or infinite activations, [`QuantError::EmptyCalibration`] without batches.
    pub fn run<M, X>(
        &mut self,
        model: &M,
        batches: impl IntoIterator<Item = Result<X>>,
    ) -> Result<()>
    where
        M: Forward<X> + ?Sized,
    {
        for input in batches {
            let batch = self.batches;
            let outcome = input.and_then(|x| model.forward(&x, &mut Ctx::eval().observed(self)));
            if let Some((id, value)) = self.unusable {
                let params = model.named_params();
                let found = params.into_iter().find(|(_, p)| p.id() == id);
                let name = found.map(|(name, _)| name).unwrap_or_default();
                return Err(QuantError::Activation { name, value, batch }.into());
            }
            if let Err(source) = outcome {
                let source = Box::new(source);
                return Err(QuantError::Calibration { batch, source }.into());
            }
            self.batches += 1;
        }
        if self.batches == 0 {
            return Err(QuantError::EmptyCalibration.into());
        }
        Ok(())
    }

    /// A calibration of ranges that are known, one for each weight's input.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (ParamId, (f32, f32))>) -> Calibration {
        let mut calibration = Calibration::new(RangeMethod::MinMax);
        for (weight, (min, max)) in ranges {
            let mut estimator = RangeEstimator::new(RangeMethod::MinMax);
            estimator.observe(&[min, max]);
            calibration.ranges.insert(weight, estimator);
        }
        calibration
    }

    /// Takes what another calibration of the same model has seen.
    ///
    /// # Errors
    /// [`QuantError::Merge`] if it estimates ranges in another way.
    pub fn merge(&mut self, other: &Calibration) -> Result<()> {
        if self.method != other.method {
            return Err(QuantError::Merge { what: "they were estimated in different ways" }.into());
        }
        for (id, theirs) in &other.ranges {
            match self.ranges.get_mut(id) {
                Some(own) => own.merge(theirs)?,
                None => {
                    self.ranges.insert(*id, theirs.clone());
                }
            }
        }
        self.batches += other.batches;
        Ok(())
    }

    /// The range of what a weight multiplies, if any batch has reached it.
    pub fn range(&self, weight: ParamId) -> Option<(f32, f32)> {
        self.ranges.get(&weight).and_then(RangeEstimator::range)
    }

    /// Batches seen.
    pub fn batches(&self) -> usize {
        self.batches
    }
}

impl Observer for Calibration {
    fn activation(&mut self, weight: ParamId, activation: &Tensor) -> Result<()> {
        if activation.dtype() != Dtype::F32 {
            // Indices that look up rows of an embedding have no range.
            return Ok(());
        }
        let dense = activation.contiguous()?;
        let values = dense.as_slice::<f32>()?;
        match values.iter().find(|v| !v.is_finite()) {
            Some(&bad) => self.unusable = self.unusable.or(Some((weight, bad))),
            None => self
                .ranges
                .entry(weight)
                .or_insert_with(|| RangeEstimator::new(self.method))
                .observe(values),
        }
        Ok(())
    }
}
