//! Outputs whose every element is an element of the first input, or a fill: what the ops have in common that move
//! elements by their places.

use crate::Result;
use crate::graph::{View, ViewMut, Viewed, for_dtype};
use crate::tensor::{MAX_RANK, Shape, Tensor};

/// Takes, for each element of an output in order, the offset of the input's element that it is, `None` for a fill.
pub(super) type Each<'a> = &'a mut dyn FnMut(Option<usize>);

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
        let (values, mut out) = (x.values::<T>()?, output.values::<T>()?.iter_mut());
        sources(&mut |from| {
            if let Some(out) = out.next() {
                *out = from.map_or(fill, |from| values[from]);
            }
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
    let mut g = dense.as_slice::<f32>()?.iter();
    let mut dx = vec![0f32; shape.len()];
    sources(&mut |from| {
        let g = g.next().copied().unwrap_or_default();
        if let Some(from) = from {
            dx[from] += g;
        }
    });
    Tensor::from_vec(dx, *shape)
}
