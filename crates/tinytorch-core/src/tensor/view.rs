//! Views: other shapes over the same buffer, no element copied.

use super::{IntoShape, MAX_RANK, Shape, Tensor, TensorError};
use crate::Result;
use std::ops::Range;

/// Calls `row(starts, steps, n)` for every innermost row of `shape`, for `K` operands that are laid
/// out by their strides and offset.
pub(crate) fn for_each_row<const K: usize>(
    shape: &Shape,
    operands: [(&[usize; MAX_RANK], usize); K],
    mut row: impl FnMut([usize; K], [usize; K], usize),
) {
    if shape.is_empty() {
        return;
    }
    let outer = shape.rank().saturating_sub(1);
    let steps = operands.map(|(strides, _)| if shape.rank() == 0 { 0 } else { strides[outer] });
    let mut starts = operands.map(|(_, offset)| offset);
    let mut index = [0; MAX_RANK];
    loop {
        row(starts, steps, shape.last_dim());
        let mut axis = outer;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            for (start, (strides, _)) in starts.iter_mut().zip(&operands) {
                *start += strides[axis];
            }
            if index[axis] < shape[axis] {
                break;
            }
            for (start, (strides, _)) in starts.iter_mut().zip(&operands) {
                *start -= strides[axis] * shape[axis];
            }
            index[axis] = 0;
        }
    }
}

impl Tensor {
    fn check_axis(&self, op: &'static str, axis: usize) -> Result<()> {
        if axis < self.rank() {
            return Ok(());
        }
        Err(TensorError::Axis { op, axis, shape: self.shape }.into())
    }

    /// The elements in another shape of the same size; a view if the elements are contiguous.
    ///
    /// # Errors
    /// [`TensorError::Length`] if the sizes differ.
    pub fn reshape(&self, shape: impl IntoShape) -> Result<Tensor> {
        let shape = shape.into_shape()?;
        if shape.len() != self.len() {
            return Err(TensorError::Length { len: self.len(), shape }.into());
        }
        let dense = self.contiguous()?;
        Ok(Tensor { shape, strides: shape.strides(), ..dense })
    }

    /// Dimensions `start..=end` merged into one; PyTorch's `flatten`.
    ///
    /// # Errors
    /// [`TensorError::Axis`] if `end` is not an axis or lies before `start`.
    pub fn flatten(&self, start: usize, end: usize) -> Result<Tensor> {
        self.reshape(flattened(&self.shape, start, end)?)
    }

    /// Dimension `axis` split into `sizes`; PyTorch's `unflatten`.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`TensorError::Length`] if the sizes do not multiply to the axis.
    pub fn unflatten(&self, axis: usize, sizes: &[usize]) -> Result<Tensor> {
        self.reshape(unflattened(&self.shape, axis, sizes)?)
    }

    /// Two axes exchanged.
    ///
    /// # Errors
    /// [`TensorError::Axis`] for an axis outside the shape.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor> {
        self.check_axis("transpose", a)?;
        self.check_axis("transpose", b)?;
        let mut view = self.clone();
        view.shape = self.shape.with(a, self.shape[b]).with(b, self.shape[a]);
        view.strides.swap(a, b);
        Ok(view)
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]` of this tensor.
    ///
    /// # Errors
    /// [`TensorError::Shape`] if `order` does not name every axis once.
    pub fn permute(&self, order: &[usize]) -> Result<Tensor> {
        let shape = permuted(&self.shape, order)?;
        let mut view = self.clone();
        view.shape = shape;
        for (to, &from) in order.iter().enumerate() {
            view.strides[to] = self.strides[from];
        }
        Ok(view)
    }

    /// The entries `range` of one axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`] or [`TensorError::Range`].
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Result<Tensor> {
        let mut view = self.clone();
        view.shape = sliced(&self.shape, axis, &range)?;
        // A view of nothing would otherwise begin beyond the buffer, which may be as empty.
        let start = range.start * self.strides[axis];
        view.offset = if view.is_empty() { 0 } else { view.offset + start };
        Ok(view)
    }

    /// One entry of an axis, without that axis.
    ///
    /// # Errors
    /// [`TensorError::Axis`] or [`TensorError::Range`].
    pub fn select(&self, axis: usize, index: usize) -> Result<Tensor> {
        self.slice(axis, index..index.saturating_add(1))?.squeeze(axis)
    }

    /// Without an axis of size 1.
    ///
    /// # Errors
    /// [`TensorError::Axis`], or [`TensorError::Shape`] if the axis has another size.
    pub fn squeeze(&self, axis: usize) -> Result<Tensor> {
        let mut view = self.clone();
        view.shape = squeezed(&self.shape, axis)?;
        view.strides.copy_within(axis + 1.., axis);
        Ok(view)
    }

    /// With an axis of size 1 inserted before `axis`.
    ///
    /// # Errors
    /// [`TensorError::Axis`] if `axis` is beyond the rank.
    pub fn unsqueeze(&self, axis: usize) -> Result<Tensor> {
        let mut view = self.clone();
        view.shape = unsqueezed(&self.shape, axis)?;
        view.strides.copy_within(axis..MAX_RANK - 1, axis + 1);
        view.strides[axis] = 0;
        Ok(view)
    }

    /// Stretched to a larger shape by repeating axes of size 1; a view of stride 0.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if this shape does not broadcast to exactly `shape`.
    pub fn broadcast_to(&self, shape: impl IntoShape) -> Result<Tensor> {
        let shape = stretched(&self.shape, &shape.into_shape()?)?;
        let added = shape.rank() - self.rank();
        let mut view = self.clone();
        view.strides = [0; MAX_RANK];
        for axis in 0..self.rank() {
            if self.shape[axis] != 1 {
                view.strides[added + axis] = self.strides[axis];
            }
        }
        view.shape = shape;
        Ok(view)
    }
}

/// Copies the elements that `shape`, `strides` and `offset` describe to `out`, in row-major order.
pub(crate) fn copy_strided<T: Copy>(
    shape: &Shape,
    strides: &[usize; MAX_RANK],
    offset: usize,
    values: &[T],
    out: &mut [T],
) {
    if let Some(axis) = transposed_axis(shape, strides) {
        return copy_transposed(shape, axis, (strides, offset), values, out);
    }
    let mut rows = out.chunks_exact_mut(shape.last_dim().max(1));
    for_each_row(shape, [(strides, offset)], |[start], [step], n| {
        let Some(row) = rows.next() else { return };
        if step == 1 {
            row.copy_from_slice(&values[start..start + n]);
        } else {
            row.iter_mut().enumerate().for_each(|(i, o)| *o = values[start + i * step]);
        }
    });
}

/// Lines and columns of a square that is transposed at a time, each line a part of a cache line: reading column by column
/// alone, 384 x 128 elements take 27 us, since lines that lie 1536 bytes apart evict each other.
const SQUARE: usize = 8;

/// The axis, if it is not the last, along which elements lie side by side, if squares fit.
fn transposed_axis(shape: &Shape, strides: &[usize; MAX_RANK]) -> Option<usize> {
    let last = shape.rank().checked_sub(1)?;
    let axis = (0..last).rev().find(|&axis| strides[axis] == 1 && shape[axis] >= SQUARE)?;
    (strides[last] > 1 && shape[last] >= SQUARE).then_some(axis)
}

/// [`copy_strided`] where elements lie side by side along `axis`.
fn copy_transposed<T: Copy>(
    shape: &Shape,
    axis: usize,
    (strides, offset): (&[usize; MAX_RANK], usize),
    values: &[T],
    out: &mut [T],
) {
    let last = shape.rank() - 1;
    let (height, width) = (shape[axis], shape[last]);
    let (pitch, dense) = (strides[last], shape.strides());
    let planes = shape.with(axis, 1).with(last, 1);
    // What is left of a line or a column is done with the square before it.
    let squares = |len: usize| (0..len).step_by(SQUARE).map(move |at| at.min(len - SQUARE));
    for_each_row(&planes, [(strides, offset), (&dense, 0)], |[from, to], _, _| {
        for x in squares(width) {
            for y in squares(height) {
                let line = |i: usize| &values[from + y + (x + i) * pitch..][..SQUARE];
                let lines: [&[T]; SQUARE] = std::array::from_fn(line);
                for i in 0..SQUARE {
                    let out = &mut out[to + (y + i) * dense[axis] + x..][..SQUARE];
                    out.iter_mut().zip(lines).for_each(|(out, line)| *out = line[i]);
                }
            }
        }
    });
}

/// Strides with which a contiguous buffer of shape `from` is read as the larger shape `to`.
pub(crate) fn stretched_strides(from: &Shape, to: &Shape) -> [usize; MAX_RANK] {
    let (dense, added) = (from.strides(), to.rank() - from.rank());
    let mut strides = [0; MAX_RANK];
    for axis in 0..from.rank() {
        if from[axis] != 1 {
            strides[added + axis] = dense[axis];
        }
    }
    strides
}

/// The shape after [`Tensor::flatten`].
pub(crate) fn flattened(shape: &Shape, start: usize, end: usize) -> Result<Shape> {
    if start > end || end >= shape.rank() {
        return Err(TensorError::Axis { op: "flatten", axis: end, shape: *shape }.into());
    }
    let mut dims = shape[..start].to_vec();
    dims.push(shape[start..=end].iter().product());
    dims.extend_from_slice(&shape[end + 1..]);
    Ok(Shape::new(&dims)?)
}

/// The shape after [`Tensor::unflatten`].
pub(crate) fn unflattened(shape: &Shape, axis: usize, sizes: &[usize]) -> Result<Shape> {
    if axis >= shape.rank() {
        return Err(TensorError::Axis { op: "unflatten", axis, shape: *shape }.into());
    }
    let mut dims = shape[..axis].to_vec();
    dims.extend_from_slice(sizes);
    dims.extend_from_slice(&shape[axis + 1..]);
    let split = Shape::new(&dims)?;
    if split.len() != shape.len() {
        return Err(TensorError::Length { len: shape.len(), shape: split }.into());
    }
    Ok(split)
}

/// The shape after [`Tensor::slice`].
pub(crate) fn sliced(shape: &Shape, axis: usize, range: &Range<usize>) -> Result<Shape> {
    if axis >= shape.rank() {
        return Err(TensorError::Axis { op: "slice", axis, shape: *shape }.into());
    }
    let (Range { start, end }, len) = (range.clone(), shape[axis]);
    if start > end || end > len {
        return Err(TensorError::Range { op: "slice", start, end, len }.into());
    }
    Ok(shape.with(axis, end - start))
}

/// The shape after [`Tensor::broadcast_to`]: `to`, if `from` stretches to it.
pub(crate) fn stretched(from: &Shape, to: &Shape) -> Result<Shape> {
    if from.broadcast(to, "broadcast_to")? != *to {
        return Err(TensorError::Mismatch {
            op: "broadcast_to",
            left: *from,
            right: *to,
            expected: "the second must be the larger",
        }
        .into());
    }
    Ok(*to)
}

/// The shape after [`Tensor::squeeze`].
pub(crate) fn squeezed(shape: &Shape, axis: usize) -> Result<Shape> {
    match shape.get(axis) {
        None => Err(TensorError::Axis { op: "squeeze", axis, shape: *shape }.into()),
        Some(1) => {
            let mut dims = shape.to_vec();
            dims.remove(axis);
            Ok(Shape::new(&dims)?)
        }
        Some(_) => {
            let expected = format!("axis {axis} must have size 1");
            Err(TensorError::Shape { op: "squeeze", shape: *shape, expected }.into())
        }
    }
}

/// The shape after [`Tensor::unsqueeze`].
pub(crate) fn unsqueezed(shape: &Shape, axis: usize) -> Result<Shape> {
    if axis > shape.rank() {
        return Err(TensorError::Axis { op: "unsqueeze", axis, shape: *shape }.into());
    }
    let mut dims = shape.to_vec();
    dims.insert(axis, 1);
    Ok(Shape::new(&dims)?)
}

/// The shape after [`Tensor::permute`].
pub(crate) fn permuted(shape: &Shape, order: &[usize]) -> Result<Shape> {
    let mut seen = [false; MAX_RANK];
    for &axis in order {
        if axis < shape.rank() {
            seen[axis] = true;
        }
    }
    if order.len() != shape.rank() || !seen[..shape.rank()].iter().all(|&s| s) {
        let expected = format!("the order {order:?} must name each of its axes once");
        return Err(TensorError::Shape { op: "permute", shape: *shape, expected }.into());
    }
    let mut permuted = *shape;
    for (to, &from) in order.iter().enumerate() {
        permuted = permuted.with(to, shape[from]);
    }
    Ok(permuted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(t: &Tensor) -> Vec<f32> {
        t.to_vec().unwrap()
    }

    #[test]
    fn views_share_the_buffer_and_read_in_their_own_order() {
        let t = Tensor::arange(6).unwrap().reshape([2, 3]).unwrap();
        let tt = t.transpose(0, 1).unwrap();
        assert!(tt.shares_storage(&t));
        assert_eq!(values(&tt), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(values(&t.slice(1, 1..3).unwrap()), [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(values(&t.select(0, 1).unwrap()), [3.0, 4.0, 5.0]);
        assert_eq!(values(&tt.select(0, 1).unwrap()), [1.0, 4.0]);
        assert_eq!(t.slice(1, 3..3).unwrap().len(), 0);
        let nothing = Tensor::zeros([2, 0, 6]).unwrap();
        assert_eq!(values(&nothing.slice(2, 3..6).unwrap()), [0.0; 0]);
        assert_eq!(nothing.select(0, 1).unwrap().as_slice::<f32>().unwrap(), [0.0; 0]);
    }

    #[test]
    fn a_row_broadcasts_down_a_matrix() {
        let row = Tensor::arange(3).unwrap();
        assert_eq!(values(&row.broadcast_to([2, 3]).unwrap()), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        assert!(row.broadcast_to([3, 2]).is_err());
    }

    #[test]
    fn permute_and_its_inverse_cancel() {
        let t = Tensor::arange(24).unwrap().reshape([2, 3, 4]).unwrap();
        let p = t.permute(&[2, 0, 1]).unwrap();
        assert_eq!(p.shape().dims(), [4, 2, 3]);
        assert_eq!(values(&p.permute(&[1, 2, 0]).unwrap()), values(&t));
        assert!(t.permute(&[0, 0, 1]).is_err());
    }

    #[test]
    fn squeeze_undoes_unsqueeze_at_every_axis() {
        let t = Tensor::arange(6).unwrap().reshape([2, 3]).unwrap().transpose(0, 1).unwrap();
        for axis in 0..=2 {
            let u = t.unsqueeze(axis).unwrap();
            assert_eq!(values(&u), values(&t));
            assert_eq!(values(&u.squeeze(axis).unwrap()), values(&t));
        }
    }

    #[test]
    fn flatten_and_unflatten_are_inverse() {
        let t = Tensor::arange(24).unwrap().reshape([2, 3, 4]).unwrap();
        let f = t.flatten(1, 2).unwrap();
        assert_eq!(f.shape().dims(), [2, 12]);
        assert_eq!(f.unflatten(1, &[3, 4]).unwrap().shape(), t.shape());
        assert!(t.flatten(2, 1).is_err());
        assert!(f.unflatten(1, &[5, 2]).is_err());
    }

    /// Element by element what their places say, where squares fit and where they do not.
    #[test]
    fn what_is_transposed_in_squares_is_where_it_belongs() {
        for (rows, columns) in [(8, 8), (7, 9), (16, 24), (13, 29), (128, 32)] {
            let all = 3 * rows * columns * 2;
            let x = Tensor::arange(all).unwrap().reshape([3, rows, columns, 2]).unwrap();
            for order in [[0, 2, 1, 3], [3, 0, 2, 1], [3, 2, 1, 0], [1, 3, 2, 0]] {
                let got = x.permute(&order).unwrap();
                let (shape, got) = (*got.shape(), values(&got));
                let mut want = Vec::with_capacity(all);
                for i in 0..all {
                    let (mut rest, mut index) = (i, [0; 4]);
                    for axis in (0..4).rev() {
                        index[order[axis]] = rest % shape[axis];
                        rest /= shape[axis];
                    }
                    let [a, b, c, d] = index;
                    want.push((((a * rows + b) * columns + c) * 2 + d) as f32);
                }
                assert_eq!(got, want, "{rows} x {columns}, {order:?}");
            }
        }
    }
}
