//! Two values of any type element by element: what comparisons and the like have in common.

use crate::Result;
use crate::graph::{Known, View, ViewMut, Viewed, known};
use crate::tensor::{Dtype, Shape, TensorError, view};

/// Writes `f` of every pair of elements of two operands that stretch to the output's shape.
pub(super) fn pairs<T: Viewed, U: Viewed>(
    a: &View<'_>,
    b: &View<'_>,
    output: &mut ViewMut<'_>,
    f: impl Fn(T, T) -> U,
) -> Result<()> {
    let (x, y, shape) = (a.values::<T>()?, b.values::<T>()?, output.shape);
    let strides = [&a.shape, &b.shape].map(|from| view::stretched_strides(from, &shape));
    let mut out = output.values::<U>()?.iter_mut();
    view::for_each_row(&shape, [(&strides[0], 0), (&strides[1], 0)], |[i, j], [si, sj], n| {
        for (k, out) in (0..n).zip(&mut out) {
            *out = f(x[i + k * si], y[j + k * sj]);
        }
    });
    Ok(())
}

/// The shape that two operands of one type stretch to, and their type.
pub(super) fn stretched(inputs: &[Option<Known<'_>>], op: &'static str) -> Result<(Shape, Dtype)> {
    let (a, b) = (known(inputs, 0, op)?, known(inputs, 1, op)?);
    if a.dtype != b.dtype {
        return Err(TensorError::Dtype { expected: a.dtype, got: b.dtype }.into());
    }
    Ok((a.shape.broadcast(&b.shape, op)?, a.dtype))
}
