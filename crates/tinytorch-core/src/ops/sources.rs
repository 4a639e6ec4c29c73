//! Outputs whose every element is an element of the first input, or a fill: what the ops have in common that move
//! elements by their places.

use crate::Result;
use crate::graph::{View, ViewMut, Viewed, for_dtype};
use crate::tensor::{MAX_RANK, Shape, Tensor};

/// Takes the elements of an output in order, some at a time: the offset of the first in the input, where as many lie side
/// by side, `None` for fills.
pub(super) type Each<'a> = &'a mut dyn FnMut(Option<usize>, usize);

/// The shape with one entry on its last axis: an index for each row.
pub(super) fn rows_of(shape: &Shape) -> Shape {
    match shape.rank() {
        0 => *shape,
        rank => shape.with(rank - 1, shape[rank - 1].min(1)),
    }
}

/// Calls `f` with every index of a shape, in row-major order.
pub(super) fn for_each_index(shape: &Shape, mut f: impl FnMut(&[usize])) {
    if shape.is_empty() {
        return;
    }
    let (rank, mut index) = (shape.rank(), [0; MAX_RANK]);
    loop {
        f(&index[..rank]);
        let mut axis = rank;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// Writes the elements that `sources` names; fills are the one element of `fill`, 0 without it.
pub(super) fn gather(
    x: &View<'_>,
    fill: Option<&View<'_>>,
    output: &mut ViewMut<'_>,
    sources: impl FnOnce(Each<'_>),
) -> Result<()> {
    fn of<T: Viewed>(
        x: &View<'_>,
        fill: Option<&View<'_>>,
        output: &mut ViewMut<'_>,
        sources: impl FnOnce(Each<'_>),
    ) -> Result<()> {
        let fill = fill.map(View::values::<T>).transpose()?;
        let fill = fill.and_then(|values| values.first().copied()).unwrap_or_default();
        let (values, mut out) = (x.values::<T>()?, output.values::<T>()?);
        sources(&mut |from, count| {
            let (now, later) = std::mem::take(&mut out).split_at_mut(count);
            match (from, &mut *now) {
                (Some(from), [one]) => *one = values[from],
                (Some(from), some) => some.copy_from_slice(&values[from..][..count]),
                (None, some) => some.fill(fill),
            }
            out = later;
        });
        Ok(())
    }
    for_dtype!(x.dtype(), T => of::<T>(x, fill, output, sources))
}

/// The gradient of the input, which has this shape, from that of the output: each element gets the sum over the
/// places that it went to.
pub(super) fn give_back(
    shape: &Shape,
    grad: &Tensor,
    sources: impl FnOnce(Each<'_>),
) -> Result<Tensor> {
    let dense = grad.contiguous()?;
    let mut g = dense.as_slice::<f32>()?;
    let mut dx = vec![0f32; shape.len()];
    sources(&mut |from, count| {
        let (now, later) = g.split_at(count);
        if let Some(from) = from {
            dx[from..][..count].iter_mut().zip(now).for_each(|(dx, g)| *dx += g);
        }
        g = later;
    });
    Tensor::from_vec(dx, *shape)
}
