//! What quantizing has done.

use super::Equalization;
use crate::Result;
use crate::int8::{Granularity, QWeight};
use crate::tensor::{Shape, Tensor};
use serde::{Deserialize, Serialize};

/// What quantizing has done to one weight.
#[derive(Clone, Debug)]
pub struct WeightReport {
    /// Its dotted name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How many values share a scale.
    pub granularity: Granularity,
    /// The range that its input was calibrated to, for static activations.
    pub input_range: Option<(f32, f32)>,
    /// Bytes of the float values.
    pub float_bytes: usize,
    /// Bytes of the int8 values, the scales and, if a batch norm was folded in, its shift.
    pub int8_bytes: usize,
    /// Relative L2 error of the weight: `|w - w'| / |w|`.
    pub error: f64,
}

impl WeightReport {
    /// What has become of the float `value`.
    pub(crate) fn new(
        name: String,
        value: &Tensor,
        weight: &QWeight,
        input_range: Option<(f32, f32)>,
    ) -> Result<WeightReport> {
        Ok(WeightReport {
            name,
            shape: *value.shape(),
            granularity: weight.scales().granularity(),
            input_range,
            float_bytes: value.bytes(),
            int8_bytes: weight.bytes(),
            error: relative_error(value, weight)?,
        })
    }
}

/// `|value - weight| / |value|` in the L2 norm, 0 where both are 0. The weight is made floats row by row: as a whole it
/// would take as much memory again as the largest weight of the model.
fn relative_error(value: &Tensor, weight: &QWeight) -> Result<f64> {
    let value = value.contiguous()?;
    let values = value.as_slice::<f32>()?;
    let mut row = vec![0.0; weight.panels().k()];
    let (mut difference, mut size) = (0.0, 0.0);
    for (i, values) in values.chunks(row.len().max(1)).enumerate() {
        weight.dequantize_row_into(i, &mut row)?;
        for (&value, stored) in values.iter().zip(&row) {
            difference += f64::from(value - stored).powi(2);
            size += f64::from(value).powi(2);
        }
    }
    Ok(if difference == 0.0 { 0.0 } else { difference.sqrt() / size.sqrt() })
}

/// A model that a search within a budget judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Relative L2 error of the output that is furthest off, on inputs held out from calibration.
    pub error: f64,
    /// What the layers take together, in the unit of the prices.
    pub time: f64,
    /// Layers that stood higher than the first rung.
    pub raised: usize,
}

/// What quantizing has done to a model.
#[derive(Clone, Debug, Default)]
pub struct QuantReport {
    /// The weights that are int8, whose float values are gone.
    pub weights: Vec<WeightReport>,
    /// Channels that were brought to one range first, which changed nothing that the float model computes.
    pub equalized: Vec<Equalization>,
    /// The weights whose layers add a number to each output channel that takes off what quantizing has moved its mean
    /// by ([`QWeight::shift`]); a search within a budget does that where it pays.
    pub corrected: Vec<String>,
    /// The models that a search within a budget judged, the fastest first; none where nothing was searched for.
    pub tried: Vec<Tried>,
    /// The weights that were left as floats, each with the reason.
    pub skipped: Vec<(String, &'static str)>,
    /// Parameters that quantizing changed beside the int8 weights: biases that took in a batch norm.
    /// Where a convolution has none, its int8 weight carries the norm's shift.
    pub changed: Vec<String>,
    /// Batch norms that their convolution does, which are the identity from here on.
    pub folded: Vec<String>,
}

impl QuantReport {
    /// Bytes of the weights before.
    pub fn float_bytes(&self) -> usize {
        self.weights.iter().map(|w| w.float_bytes).sum()
    }

    /// Bytes of the weights after.
    pub fn int8_bytes(&self) -> usize {
        self.weights.iter().map(|w| w.int8_bytes).sum()
    }
}
