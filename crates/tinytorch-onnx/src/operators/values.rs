//! What operators share: axes, sizes and positions as values.

use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::GraphError;
use tinytorch_core::tensor::{Dtype, Shape, TensorError};
use tinytorch_core::{Result, Tensor};

/// An axis of a value of `rank` dimensions, counted from the end if it is negative.
pub(crate) fn axis(axis: i64, rank: usize, op: &'static str) -> Result<usize> {
    let from_start = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    let found = usize::try_from(from_start).ok().filter(|&at| at < rank);
    Ok(found.ok_or(TensorError::Index { op, index: axis, len: rank })?)
}

/// Axes, sorted.
pub(crate) fn axes(all: &[i64], rank: usize, op: &'static str) -> Result<Vec<usize>> {
    let mut found = all.iter().map(|&one| axis(one, rank, op)).collect::<Result<Vec<_>>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// A list of integers as a value.
pub(crate) fn list(values: &[i64]) -> Result<Var> {
    Ok(Var::from(Tensor::from_vec(values.to_vec(), [values.len()])?))
}

/// A list of floats as a value.
pub(crate) fn floats(values: &[f32]) -> Result<Var> {
    Ok(Var::from(Tensor::from_vec(values.to_vec(), [values.len()])?))
}

/// The integers of a value that a plan would have to know before it runs; refused where they depend on what is
/// recorded.
pub(crate) fn integers(value: &Var, op: &'static str) -> Result<Vec<i64>> {
    if value.is_tracked() {
        return Err(GraphError::NotDecided { op }.into());
    }
    value.value().to_dtype::<i64>()?.to_vec()
}

/// A value as one of the same type that no gradient needs: its elements converted if they are of another.
pub(crate) fn as_type(value: &Var, dtype: Dtype, ctx: &mut Ctx<'_>) -> Result<Var> {
    if value.value().dtype() == dtype { Ok(value.clone()) } else { value.cast(dtype, ctx) }
}

/// Refuses a value of another number of dimensions.
pub(crate) fn check_rank(
    shape: &Shape,
    ranks: std::ops::RangeInclusive<usize>,
    op: &'static str,
) -> Result<()> {
    if ranks.contains(&shape.rank()) {
        return Ok(());
    }
    let expected = format!("{} to {} dimensions are supported", ranks.start(), ranks.end());
    Err(TensorError::Shape { op, shape: *shape, expected }.into())
}
