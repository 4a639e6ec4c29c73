//! Bringing the entries of an axis next to each other, for kernels that work on rows.

use super::{Shape, view};
use std::borrow::Cow;

/// `shape` with `axis` last, and the strides that read or write a contiguous buffer of `shape` in that
/// order.
fn moved(shape: &Shape, axis: usize) -> (Shape, [usize; super::MAX_RANK]) {
    let (mut last, mut strides) = (*shape, shape.strides());
    for at in axis..shape.rank() - 1 {
        last = last.with(at, shape[at + 1]);
        strides.swap(at, at + 1);
    }
    (last.with(shape.rank() - 1, shape[axis]), strides)
}

/// The values of a contiguous buffer as rows along `axis`: itself if that is the last one.
pub(crate) fn rows<'a>(shape: &Shape, axis: usize, values: &'a [f32]) -> Cow<'a, [f32]> {
    if axis + 1 == shape.rank() {
        return Cow::Borrowed(values);
    }
    let (last, strides) = moved(shape, axis);
    let mut rows = vec![0f32; values.len()];
    view::copy_strided(&last, &strides, 0, values, &mut rows);
    Cow::Owned(rows)
}

/// Calls `f(out)` to compute rows along `axis` of a contiguous buffer `out` of `shape`.
pub(crate) fn write_rows(shape: &Shape, axis: usize, out: &mut [f32], f: impl FnOnce(&mut [f32])) {
    if axis + 1 == shape.rank() {
        return f(out);
    }
    let mut rows = vec![0f32; out.len()];
    f(&mut rows);
    let (last, strides) = moved(shape, axis);
    let mut values = rows.chunks_exact(last.last_dim().max(1));
    view::for_each_row(&last, [(&strides, 0)], |[start], [step], _| {
        let Some(row) = values.next() else { return };
        row.iter().enumerate().for_each(|(i, v)| out[start + i * step] = *v);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    #[test]
    fn rows_are_those_of_the_permuted_tensor_and_go_back_to_their_places() {
        let t = Tensor::arange(24).unwrap().reshape([2, 3, 4]).unwrap();
        let values = t.to_vec::<f32>().unwrap();
        for (axis, order) in [(0, [1, 2, 0]), (1, [0, 2, 1]), (2, [0, 1, 2])] {
            let gathered = rows(t.shape(), axis, &values);
            assert_eq!(gathered[..], t.permute(&order).unwrap().to_vec::<f32>().unwrap());
            let mut back = vec![0.0; 24];
            write_rows(t.shape(), axis, &mut back, |out| out.copy_from_slice(&gathered));
            assert_eq!(back, values);
        }
    }
}
