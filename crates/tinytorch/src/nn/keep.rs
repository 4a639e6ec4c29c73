//! Leaving entries of a parameter out.

use crate::Result;
use crate::autograd::{Param, Stored};
use crate::tensor::Tensor;

/// Keeps these entries of a float parameter along an axis.
///
/// # Errors
/// If the parameter is not float or has no such entry.
pub(super) fn keep(param: &mut Param, axis: usize, kept: &[usize]) -> Result<()> {
    let value = param.value()?;
    let slices = kept.iter().map(|&i| value.slice(axis, i..i + 1)).collect::<Result<Vec<_>>>()?;
    let fewer = Tensor::cat::<f32>(&slices, axis)?;
    param.store(Stored::F32(fewer));
    Ok(())
}
