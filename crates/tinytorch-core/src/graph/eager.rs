//! Running an op on tensors.

use super::view::for_dtype;
use super::{Compute, Exec, GraphError, Inputs, Known, View, ViewMut};
use crate::Result;
use crate::tensor::{Dtype, Shape, Tensor};

/// Elements up to which values are worked out with sizes, before a plan runs: lists of sizes and positions
/// are short, and what is not is data.
const SHORT: usize = 4096;

/// [`Compute::forward`] for an op that writes its output.
pub(super) fn one<C: Compute + ?Sized>(
    op: &C,
    inputs: &[&Tensor],
    exec: &mut Exec,
) -> Result<Tensor> {
    let inputs: Vec<Option<&Tensor>> = inputs.iter().copied().map(Some).collect();
    let [output] = <[Tensor; 1]>::try_from(many(op, &inputs, exec)?)
        .map_err(|outputs| GraphError::OutputCount { op: op.name(), outputs: outputs.len() })?;
    Ok(output)
}

/// [`Compute::forward_many`] for an op that writes its outputs.
pub(super) fn many<C: Compute + ?Sized>(
    op: &C,
    inputs: &[Option<&Tensor>],
    exec: &mut Exec,
) -> Result<Vec<Tensor>> {
    let dense = inputs.iter().flatten().map(|t| t.contiguous()).collect::<Result<Vec<_>>>()?;
    let places = places(inputs.iter().map(Option::is_some));
    let known: Vec<Option<Known<'_>>> =
        places.iter().map(|place| place.map(|place| Known::all(&dense[place]))).collect();
    let specs = op.outputs(&known)?;
    let views = dense.iter().map(View::of).collect::<Result<Vec<_>>>()?;
    let mut outputs = specs.iter().map(|spec| unwritten(*spec)).collect::<Result<Vec<_>>>()?;
    let mut out = outputs.iter_mut().map(ViewMut::of).collect::<Result<Vec<_>>>()?;
    op.run_typed(&Inputs::some(&views, &places), &mut out, exec)?;
    drop(out);
    Ok(outputs)
}

/// For each input that is there, its place among those that are.
pub(crate) fn places(is_there: impl Iterator<Item = bool>) -> Vec<Option<usize>> {
    let mut next = 0..;
    is_there.map(|is_there| if is_there { next.next() } else { None }).collect()
}

/// A tensor whose values are to be written. Of floats, tests see an element that an op leaves out.
fn unwritten((shape, dtype): (Shape, Dtype)) -> Result<Tensor> {
    if dtype == Dtype::F32 && cfg!(debug_assertions) {
        return Tensor::full(f32::NAN, shape);
    }
    for_dtype!(dtype, T => Tensor::full(T::default(), shape))
}

/// [`Compute::decided`] for an op that reads the values of its inputs.
pub(super) fn decided<C: Compute + ?Sized>(
    op: &C,
    inputs: &[Option<Known<'_>>],
    exec: &mut Exec,
) -> Result<Option<Vec<Tensor>>> {
    let is_known = |input: &Option<Known<'_>>| input.is_none_or(|known| known.value.is_some());
    if !inputs.iter().all(is_known) {
        return Ok(None);
    }
    let len = op.outputs(inputs)?.iter().map(|(shape, _)| shape.len()).sum::<usize>();
    if len > SHORT {
        return Ok(None);
    }
    let values: Vec<Option<&Tensor>> =
        inputs.iter().map(|input| input.and_then(|known| known.value)).collect();
    many(op, &values, exec).map(Some)
}
