//! Elements of any type in other places: what the ops have in common that compute nothing.

use crate::Result;
use crate::graph::{GraphError, View, ViewMut, Viewed, for_dtype};

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
