//! Elements of any type in other places: what the ops have in common that compute nothing.

use crate::Result;
use crate::graph::{GraphError, View, ViewMut, Viewed, for_dtype};
use crate::tensor::{Dtype, TensorError};
use std::borrow::Cow;

/// The one output of an op; `op` names it.
pub(super) fn only<'a, 'b>(
    outputs: &'a mut [ViewMut<'b>],
    op: &'static str,
) -> Result<&'a mut ViewMut<'b>> {
    match outputs {
        [output] => Ok(output),
        _ => Err(GraphError::OutputCount { op, outputs: outputs.len() }.into()),
    }
}

/// The elements of `x` as they are.
pub(super) fn copy(x: &View<'_>, outputs: &mut [ViewMut<'_>], op: &'static str) -> Result<()> {
    fn of<T: Viewed>(x: &View<'_>, output: &mut ViewMut<'_>) -> Result<()> {
        output.values::<T>()?.copy_from_slice(x.values()?);
        Ok(())
    }
    let output = only(outputs, op)?;
    for_dtype!(x.dtype(), T => of::<T>(x, output))
}

/// Position `index` of an axis of `len` entries, counted from the end if it is negative.
pub(super) fn position(index: i64, len: usize, op: &'static str) -> Result<usize> {
    let from_start = if index < 0 { index.saturating_add(len as i64) } else { index };
    let found = usize::try_from(from_start).ok().filter(|&at| at < len);
    Ok(found.ok_or(TensorError::Index { op, index, len })?)
}

/// The elements of a list of sizes or positions.
pub(super) fn integers<'a>(view: &View<'a>) -> Result<Cow<'a, [i64]>> {
    match view.dtype() {
        Dtype::I32 => {
            Ok(Cow::Owned(view.values::<i32>()?.iter().copied().map(i64::from).collect()))
        }
        _ => view.i64().map(Cow::Borrowed),
    }
}
