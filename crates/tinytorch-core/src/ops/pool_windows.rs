//! Pools of any number of axes, with what images seldom need: windows that hang over the edge, borders that do not
//! count, places of the largest entries.

use super::sources::for_each_index;
use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, MAX_RANK, Shape, Tensor, TensorError};

/// What becomes of the entries of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest, and where in the whole value it stands; NaN counts as largest.
    Max {
        /// Whether places in an image are counted column by column.
        by_column: bool,
    },
    /// The mean.
    Average {
        /// Whether the border counts, as zeros.
        with_border: bool,
    },
    /// The root of degree `p` of the sum of the powers of their magnitudes.
    Norm {
        /// The degree.
        p: i32,
    },
}

/// One number for each window of each channel of `[batch, channels, ..]`. The largest has a second output, the places
/// (i64). The gradient goes to the first largest entry, evenly to those of a mean, and to those of a norm as `g (|x| / y)^(p - 1) sign x`.
#[derive(Clone, Debug)]
pub struct PoolWindows {
    /// What becomes of the entries.
    pub kind: PoolKind,
    /// The size of a window along each axis.
    pub kernel: Vec<usize>,
    /// From one window to the next.
    pub stride: Vec<usize>,
    /// Entries added before and after each axis.
    pub padding: Vec<[usize; 2]>,
    /// From one of a window's entries to the next.
    pub dilation: Vec<usize>,
    /// Whether the last window may hang over the edge.
    pub ceil: bool,
}

impl PoolWindows {
    fn axes(&self) -> usize {
        self.kernel.len()
    }

    fn output(&self, x: &Shape) -> Result<Shape> {
        let (op, axes) = (self.name(), self.axes());
        let wrong =
            |expected: &str| TensorError::Shape { op, shape: *x, expected: expected.into() };
        let lists = [self.stride.len(), self.padding.len(), self.dilation.len()];
        if x.rank() != axes + 2 || lists != [axes; 3] {
            return Err(wrong(
                "the value is [batch, channels, ..] with an axis for each of the window",
            )
            .into());
        }
        let mut shape = *x;
        for i in 0..axes {
            let (len, [before, after]) = (x[i + 2], self.padding[i]);
            let (stride, kernel) = (self.stride[i], self.kernel[i]);
            if stride == 0 || kernel == 0 || self.dilation[i] == 0 {
                return Err(wrong("windows, strides and dilations are at least 1").into());
            }
            let span =
                (kernel - 1).checked_mul(self.dilation[i]).and_then(|span| span.checked_add(1));
            let padded = len.checked_add(before).and_then(|len| len.checked_add(after));
            let room = padded.zip(span).and_then(|(padded, span)| padded.checked_sub(span));
            let room =
                room.ok_or_else(|| wrong("the window must fit in the value with its border"))?;
            let mut count = if self.ceil { room.div_ceil(stride) } else { room / stride } + 1;
            // A window that begins behind the value sees nothing.
            if self.ceil && (count - 1) * stride >= len + before {
                count -= 1;
            }
            shape = shape.with(i + 2, count);
        }
        Ok(Shape::new(&shape)?)
    }

    /// Calls `f` for every window with how many entries of it count, border and all, and a way to visit those that
    /// are not border by their place in the plane.
    fn for_each_window(&self, x: &Shape, output: &Shape, mut f: impl FnMut(&Window<'_>)) {
        let mut windows = Shape::SCALAR;
        let mut pixels = Shape::SCALAR;
        if let (Ok(out), Ok(image)) = (Shape::new(&output[2..]), Shape::new(&x[2..])) {
            (windows, pixels) = (out, image);
        }
        let strides = pixels.strides();
        for_each_index(&windows, |at| {
            f(&Window { pool: self, image: &x[2..], strides: &strides, at });
        });
    }
}

/// A window at a place of the output.
struct Window<'a> {
    pool: &'a PoolWindows,
    image: &'a [usize],
    strides: &'a [usize; MAX_RANK],
    at: &'a [usize],
}

impl Window<'_> {
    /// First position along an axis, counted from the image's edge, and the first of its entries that is inside.
    fn start(&self, axis: usize) -> i64 {
        (self.at[axis] * self.pool.stride[axis]) as i64 - self.pool.padding[axis][0] as i64
    }

    /// Entries of the window that are the value's or its border's.
    fn entries(&self) -> usize {
        let along = |axis: usize| {
            let end = (self.image[axis] + self.pool.padding[axis][1]) as i64;
            let (start, step) = (self.start(axis), self.pool.dilation[axis] as i64);
            let all = self.pool.kernel[axis] as i64;
            ((end - start + step - 1) / step).clamp(0, all) as usize
        };
        (0..self.at.len()).map(along).product()
    }

    /// Calls `f` with the place of each entry of the value.
    fn for_each(&self, f: &mut impl FnMut(usize)) {
        self.along(0, 0, f);
    }

    fn along(&self, axis: usize, offset: usize, f: &mut impl FnMut(usize)) {
        if axis == self.at.len() {
            f(offset);
            return;
        }
        let (start, len) = (self.start(axis), self.image[axis] as i64);
        let step = self.pool.dilation[axis] as i64;
        // Entries before the edge are stepped over at once.
        let outside = if start < 0 { (-start + step - 1) / step } else { 0 };
        let mut position = start + outside * step;
        for _ in outside..self.pool.kernel[axis] as i64 {
            if position >= len {
                return;
            }
            self.along(axis + 1, offset + position as usize * self.strides[axis], f);
            position += step;
        }
    }
}

impl Compute for PoolWindows {
    fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max { .. } => "max_pool",
            PoolKind::Average { .. } => "average_pool",
            PoolKind::Norm { .. } => "norm_pool",
        }
    }

    fn output_count(&self) -> usize {
        if matches!(self.kind, PoolKind::Max { .. }) { 2 } else { 1 }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        let shape = self.output(&x.shape)?;
        match self.kind {
            PoolKind::Max { .. } => Ok(vec![(shape, x.dtype), (shape, Dtype::I64)]),
            _ if x.dtype == Dtype::F32 => Ok(vec![(shape, Dtype::F32)]),
            _ => Err(OpError::Type { op: self.name(), got: x.dtype }.into()),
        }
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn largest<T: Viewed>(
            op: &PoolWindows,
            x: &View<'_>,
            by_column: bool,
            outputs: &mut [ViewMut<'_>],
        ) -> Result<()> {
            let [values, places] = outputs else {
                return moves::only(outputs, op.name()).map(drop);
            };
            let output = values.shape;
            let (planes, windows) = (output[0] * output[1], output[2..].iter().product::<usize>());
            let (image, pixels) = (x.shape, x.shape[2..].iter().product::<usize>());
            let (x, values, places) =
                (x.values::<T>()?, values.values::<T>()?, places.values::<i64>()?);
            let place = |at: usize| if by_column { turned(at, &image[2..]) } else { at };
            for plane in 0..planes {
                let (x, mut at) = (&x[plane * pixels..][..pixels], plane * windows);
                op.for_each_window(&image, &output, |window| {
                    let best = first_largest(window, x);
                    let Some(best) = best else {
                        (values[at], places[at]) = (T::from_f64(f64::NEG_INFINITY), -1);
                        at += 1;
                        return;
                    };
                    values[at] = x[best];
                    places[at] = (plane * pixels + place(best)) as i64;
                    at += 1;
                });
            }
            Ok(())
        }
        let x = inputs.need(0, self.name())?;
        if let PoolKind::Max { by_column } = self.kind {
            return for_dtype!(x.dtype(), T => largest::<T>(self, x, by_column, outputs));
        }
        let output = moves::only(outputs, self.name())?;
        let (shape, image) = (output.shape, x.shape);
        let pixels = image[2..].iter().product::<usize>();
        let (values, mut out) = (x.f32()?, output.f32()?.iter_mut());
        for plane in 0..shape[0] * shape[1] {
            let x = &values[plane * pixels..][..pixels];
            self.for_each_window(&image, &shape, |window| {
                let (mut sum, mut count) = (0f32, 0usize);
                window.for_each(&mut |at| {
                    sum += match self.kind {
                        PoolKind::Norm { p } => x[at].abs().powi(p),
                        _ => x[at],
                    };
                    count += 1;
                });
                let y = match self.kind {
                    PoolKind::Norm { p } => sum.powf(1.0 / p as f32),
                    PoolKind::Average { with_border: true } => sum / window.entries() as f32,
                    _ => sum / count as f32,
                };
                if let Some(out) = out.next() {
                    *out = y;
                }
            });
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let window =
            self.kernel.iter().zip(&inputs[0][2..]).map(|(k, n)| (*k).min(*n)).product::<usize>();
        Cost::per_element(inputs, output, window as u64)
    }
}

/// A place in an image counted column by column: the first of its axes runs fastest.
fn turned(at: usize, image: &[usize]) -> usize {
    let (mut rest, mut index) = (at, [0; MAX_RANK]);
    for axis in (0..image.len()).rev() {
        index[axis] = rest % image[axis];
        rest /= image[axis];
    }
    (0..image.len()).rev().fold(0, |place, axis| place * image[axis] + index[axis])
}

fn first_largest<T: Viewed>(window: &Window<'_>, x: &[T]) -> Option<usize> {
    let mut best: Option<usize> = None;
    let is_nan = |v: T| v.partial_cmp(&v).is_none();
    window.for_each(&mut |at| {
        if best.is_none_or(|best| !is_nan(x[best]) && (x[at] > x[best] || is_nan(x[at]))) {
            best = Some(at);
        }
    });
    best
}

impl Op for PoolWindows {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward_many(
        &self,
        saved: &Saved,
        grads: &[Option<Tensor>],
        _: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        // Places have no gradient.
        let Some(Some(grad)) = grads.first() else { return Ok(vec![None]) };
        let (image, output) = (*saved.shape(0), *grad.shape());
        let pixels = image[2..].iter().product::<usize>();
        let (x, g) = (saved.input(0)?.to_vec::<f32>()?, grad.to_vec::<f32>()?);
        let (mut dx, mut g) = (vec![0f32; x.len()], g.iter());
        for plane in 0..output[0] * output[1] {
            let (x, dx) = (&x[plane * pixels..][..pixels], &mut dx[plane * pixels..][..pixels]);
            self.for_each_window(&image, &output, |window| {
                let Some(&g) = g.next() else { return };
                match self.kind {
                    PoolKind::Max { .. } => {
                        if let Some(best) = first_largest(window, x) {
                            dx[best] += g;
                        }
                    }
                    PoolKind::Average { with_border } => {
                        let mut count = 0;
                        window.for_each(&mut |_| count += 1);
                        let count = if with_border { window.entries() } else { count };
                        window.for_each(&mut |at| dx[at] += g / count as f32);
                    }
                    PoolKind::Norm { p } => {
                        let mut sum = 0f32;
                        window.for_each(&mut |at| sum += x[at].abs().powi(p));
                        let y = sum.powf(1.0 / p as f32);
                        window.for_each(&mut |at| {
                            let share = if y == 0.0 { 0.0 } else { (x[at].abs() / y).powi(p - 1) };
                            dx[at] += g * share * x[at].signum();
                        });
                    }
                }
            });
        }
        Ok(vec![Some(Tensor::from_vec(dx, image)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    const KINDS: [PoolKind; 4] = [
        PoolKind::Max { by_column: false },
        PoolKind::Average { with_border: false },
        PoolKind::Average { with_border: true },
        PoolKind::Norm { p: 3 },
    ];

    fn pool(kind: PoolKind, ceil: bool) -> PoolWindows {
        let (kernel, stride, dilation) = (vec![2, 3], vec![2, 2], vec![1, 1]);
        PoolWindows { kind, kernel, stride, padding: vec![[1, 0], [1, 1]], dilation, ceil }
    }

    #[test]
    fn gradients() {
        let mut values: Vec<f32> = (1..41).map(|i| i as f32 * 0.25).collect();
        Rng::seed(3).shuffle(&mut values);
        let x = [Tensor::from_vec(values, [1, 2, 4, 5]).unwrap()];
        for kind in KINDS {
            for ceil in [false, true] {
                let op = pool(kind, ceil);
                let first = |v: &[Var], ctx: &mut Ctx<'_>| {
                    Ok(ctx.apply_many(op.clone(), &[Some(&v[0])])?.remove(0))
                };
                gradcheck(first, &x, 1e-3).unwrap();
            }
        }
    }

    /// Values of PyTorch's pools.
    #[test]
    fn windows_over_the_edge() {
        let x = Var::from(Tensor::arange(5).unwrap().reshape([1, 1, 5]).unwrap());
        let pool = |kind| {
            let lists = (vec![2], vec![2], vec![[0, 0]], vec![1]);
            let (kernel, stride, padding, dilation) = lists;
            let op = PoolWindows { kind, kernel, stride, padding, dilation, ceil: true };
            Ctx::eval().apply_many(op, &[Some(&x)]).unwrap()
        };
        let max = pool(PoolKind::Max { by_column: false });
        assert_eq!(max[0].value().to_vec::<f32>().unwrap(), [1.0, 3.0, 4.0]);
        assert_eq!(max[1].value().to_vec::<i64>().unwrap(), [1, 3, 4]);
        let mean = pool(PoolKind::Average { with_border: true });
        assert_eq!(mean[0].value().to_vec::<f32>().unwrap(), [0.5, 2.5, 4.0]);
    }

    #[test]
    fn places_by_column() {
        let x = Var::from(Tensor::arange(6).unwrap().reshape([1, 1, 2, 3]).unwrap());
        let (kernel, padding) = (vec![2, 2], vec![[0, 0]; 2]);
        let kind = PoolKind::Max { by_column: true };
        let (stride, dilation) = (vec![1, 1], vec![1, 1]);
        let op = PoolWindows { kind, kernel, stride, padding, dilation, ceil: false };
        let all = Ctx::eval().apply_many(op, &[Some(&x)]).unwrap();
        assert_eq!(all[1].value().to_vec::<i64>().unwrap(), [3, 5]);
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let x = Var::from(Tensor::zeros([1, 1, 1, 1]).unwrap());
        let mut op = pool(KINDS[0], false);
        assert!(Ctx::eval().apply_many(op.clone(), &[Some(&x)]).is_ok());
        op.kernel = vec![usize::MAX, 3];
        assert!(Ctx::eval().apply_many(op.clone(), &[Some(&x)]).is_err());
        op.kernel = vec![2];
        assert!(Ctx::eval().apply_many(op, &[Some(&x)]).is_err());
    }
}
