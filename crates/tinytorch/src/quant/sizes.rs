//! How much smaller quantizing has made a model.

use crate::Result;
use crate::autograd::{Param, Stored};
use crate::int8::QWeight;
use crate::nn::Module;
use serde::{Deserialize, Serialize};
use tinytorch_kernels::os::alloc;

/// The size of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSize {
    /// Scalar parameters, buffers included.
    pub parameters: u64,
    /// Bytes of their values as they are stored, by their number.
    pub payload_bytes: u64,
    /// Bytes of the heap that a copy of the values takes; `None` if this program does not count its
    /// allocations.
    pub heap_bytes: Option<u64>,
}

/// The sizes of two forms of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SizeComparison {
    /// The float model.
    pub float: ModelSize,
    /// The int8 model.
    pub int8: ModelSize,
    /// How many times smaller the int8 model is: by the heap where it is measured, otherwise by the
    /// payload.
    pub ratio: f64,
}

/// Measures how much smaller quantizing has made a model.
///
/// The values of each model are copied once, and what this thread has allocated for them is read off the
/// allocator: what other threads do meanwhile does not count.
///
/// ```
/// use tinytorch::{Tensor, nn::{Init, Linear}};
/// use tinytorch::quant::{Activations, QuantConfig, compare_model_sizes, quantize_model};
/// let float = Linear::new(256, 64, &mut Init::seed(0))?;
/// let mut int8 = float.clone();
/// let config = QuantConfig::new(Activations::Dynamic);
/// quantize_model(&mut int8, [Ok((&Tensor::ones([1, 256])?).into())], &config)?;
/// let sizes = compare_model_sizes(&float, &int8)?;
/// assert_eq!(sizes.float.payload_bytes, 4 * (256 * 64 + 64));
/// assert!(sizes.ratio > 3.8);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`AutogradError::NotLoaded`](crate::autograd::AutogradError::NotLoaded) for a parameter without
/// values.
pub fn compare_model_sizes(float: &dyn Module, int8: &dyn Module) -> Result<SizeComparison> {
    let (float, int8) = (ModelSize::of(float)?, ModelSize::of(int8)?);
    let (numerator, denominator) = match (float.heap_bytes, int8.heap_bytes) {
        (Some(float), Some(int8)) => (float, int8),
        _ => (float.payload_bytes, int8.payload_bytes),
    };
    Ok(SizeComparison { float, int8, ratio: numerator as f64 / denominator.max(1) as f64 })
}

impl ModelSize {
    /// Measures one model.
    ///
    /// # Errors
    /// As [`compare_model_sizes`].
    pub fn of(model: &dyn Module) -> Result<ModelSize> {
        let params: Vec<&Param> =
            model.named_params().into_iter().map(|(_, param)| param).collect();
        let bytes = params.iter().map(|param| match param.stored() {
            Stored::Absent(_) => 0,
            Stored::F32(value) => value.bytes() as u64,
            Stored::Int8(weight) => weight.bytes() as u64,
        });
        Ok(ModelSize {
            parameters: model.param_count() as u64,
            payload_bytes: bytes.sum(),
            heap_bytes: heap_bytes(params)?,
        })
    }
}

/// Bytes of the heap that copies of the values of these parameters take: padding, column sums or a float copy kept beside them
/// would show. `None` if this program does not count its allocations.
pub(crate) fn heap_bytes<'p>(params: impl IntoIterator<Item = &'p Param>) -> Result<Option<u64>> {
    let params: Vec<&Param> = params.into_iter().collect();
    let mut copies: Vec<Copy> = Vec::with_capacity(params.len());
    let before = alloc::of_this_thread();
    for param in &params {
        copies.push(Copy::of(param)?);
    }
    let after = alloc::of_this_thread();
    drop(copies);
    Ok(before.zip(after).map(|(before, after)| after.abs_diff(before) as u64))
}

/// The values of a parameter; what describes them lies in the list of copies.
enum Copy {
    Float { _values: Vec<f32> },
    Int8 { _weight: QWeight },
}

impl Copy {
    fn of(param: &Param) -> Result<Copy> {
        Ok(match param.stored() {
            Stored::Int8(weight) => Copy::Int8 { _weight: (**weight).clone() },
            _ => Copy::Float { _values: param.value()?.to_vec()? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::{Encoding, Granularity, Int8Weight};
    use crate::nn::{Init, Linear};

    /// Where nothing counts allocations the payloads are compared: 40 floats and 4 of the bias against 40 bytes,
    /// 4 scales and the bias.
    #[test]
    fn the_ratio_is_that_of_the_sizes() {
        let float = Linear::new(10, 4, &mut Init::seed(0)).unwrap();
        let mut int8 = float.clone();
        let weight = QWeight::quantize(float.weight.value().unwrap(), Granularity::PerChannel);
        let weight = Int8Weight::new(weight.unwrap(), Encoding::PerRow);
        for (name, param) in int8.named_params_mut() {
            if name == "weight" {
                param.store(Stored::Int8(weight.clone()));
            }
        }
        let sizes = compare_model_sizes(&float, &int8).unwrap();
        assert_eq!((sizes.float.payload_bytes, sizes.int8.payload_bytes), (176, 72));
        if sizes.float.heap_bytes.is_none() {
            assert_eq!(sizes.ratio, 176.0 / 72.0);
        }
        assert_eq!(compare_model_sizes(&float, &float).unwrap().ratio, 1.0);
    }
}
