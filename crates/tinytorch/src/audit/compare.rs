use crate::Result;
use crate::tensor::Tensor;

/// Whether two tensors hold the same bits.
///
/// # Errors
/// Unless both are f32.
pub(super) fn same_bits(a: &Tensor, b: &Tensor) -> Result<bool> {
    let bits = |t: &Tensor| -> Result<Vec<u32>> {
        Ok(t.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect())
    };
    Ok(a.shape() == b.shape() && (a.shares_storage(b) || bits(a)? == bits(b)?))
}

/// Whether a measurement is beyond its limit; NaN is beyond any.
pub(super) fn exceeds(value: f64, limit: f64) -> bool {
    value > limit || value.is_nan()
}
