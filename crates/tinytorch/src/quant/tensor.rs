//! Tensors of 8-bit integers.

use crate::Result;
use crate::int8::QParams;
use crate::tensor::Tensor;
use tinytorch_kernels::Isa;
use tinytorch_kernels::int8::min_max;

/// A tensor of 8-bit integers and what they stand for: `x ~ (q - zero_point) * scale`.
#[derive(Clone, Debug)]
pub struct Int8Tensor {
    /// The integers, -128 to 127, one byte each, in the tensor's shape.
    pub values: Tensor,
    /// The step between two levels.
    pub scale: f32,
    /// The level that stands for 0.
    pub zero_point: i8,
}

impl Int8Tensor {
    /// Bytes of the integers and of what is needed to read them.
    pub fn bytes(&self) -> usize {
        self.values.bytes() + size_of::<f32>() + size_of::<i8>()
    }
}

/// Quantizes one tensor over its own range, which is widened to include 0. Every value comes back
/// from [`dequantize_int8`] within half a step, and 0 exactly.
///
/// ```
/// use tinytorch::{Tensor, quant::{dequantize_int8, quantize_int8}};
/// let x = Tensor::from_vec(vec![10.0, 10.5, 11.0], [3])?;
/// let q = quantize_int8(&x)?;
/// assert_eq!(q.bytes(), 3 + 5);
/// assert!(dequantize_int8(&q)?.allclose(&x, 0.0, q.scale / 2.0 + 1e-6)?);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`Int8Error`](crate::int8::Int8Error) for NaN, infinite values, or a range whose ends 8 bits cannot
/// reach; [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the tensor is f32.
pub fn quantize_int8(tensor: &Tensor) -> Result<Int8Tensor> {
    let dense = tensor.contiguous()?;
    let values = dense.as_slice::<f32>()?;
    let (min, max) = min_max(Isa::active(), values)?;
    let params = QParams::from_range(min, max)?;
    let signed = |level: u8| (i16::from(level) - 128) as i8;
    let levels: Vec<i8> = values.iter().map(|&x| signed(params.quantize(x))).collect();
    Ok(Int8Tensor {
        values: Tensor::from_vec(levels, *tensor.shape())?,
        scale: params.scale,
        zero_point: signed(params.zero_point),
    })
}

/// The float values that an [`Int8Tensor`] stands for, as a tensor of its own.
///
/// # Errors
/// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the values are i8.
pub fn dequantize_int8(tensor: &Int8Tensor) -> Result<Tensor> {
    let step = |q: i8| (i32::from(q) - i32::from(tensor.zero_point)) as f32 * tensor.scale;
    let values = tensor.values.to_vec::<i8>()?.into_iter().map(step).collect();
    Tensor::from_vec(values, *tensor.values.shape())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Dtype;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_comes_back_within_half_a_step(
            values in prop::collection::vec(-1e3f32..1e3, 1..50), exponent in -12i32..27, shift in -1i32..2,
        ) {
            let magnitude = 10f32.powi(exponent);
            let values: Vec<f32> =
                values.iter().map(|v| v * magnitude + shift as f32 * 1e4 * magnitude).collect();
            let x = Tensor::from_vec(values.clone(), [values.len()]).unwrap();
            let q = quantize_int8(&x).unwrap();
            prop_assert_eq!(q.values.dtype(), Dtype::I8);
            let back = dequantize_int8(&q).unwrap().to_vec::<f32>().unwrap();
            for (x, y) in values.iter().zip(back) {
                prop_assert!((x - y).abs() <= q.scale * 0.5001, "{} {}", x, y);
            }
        }
    }

    #[test]
    fn zero_is_exact_and_the_input_is_not_touched() {
        let x = Tensor::from_vec(vec![-3.0, 0.0, 7.7, 0.0], [2, 2]).unwrap();
        let q = quantize_int8(&x.transpose(0, 1).unwrap()).unwrap();
        let back = dequantize_int8(&q).unwrap().to_vec::<f32>().unwrap();
        assert_eq!((back[2], back[3]), (0.0, 0.0));
        assert_eq!(x.to_vec::<f32>().unwrap(), [-3.0, 0.0, 7.7, 0.0]);
    }

    #[test]
    fn values_that_are_not_finite_are_errors() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(quantize_int8(&Tensor::from_vec(vec![1.0, bad], [2]).unwrap()).is_err());
        }
    }
}
