//! Pools.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{
    Compute, Cost, Elements, Exec, Inputs, Orders, PoolGeometry, Properties, ViewMut,
};
use crate::tensor::{Shape, Tensor, parallel};
use std::iter::StepBy;
use std::ops::Range;
use tinytorch_kernels::Ran;
use tinytorch_kernels::f32::pool::{Divisor, average_pool};
use tinytorch_kernels::f32::squares::max_pool_backward;
use tinytorch_kernels::int8::Layout;
use tinytorch_kernels::pool::{PoolOrder, max_pool};

/// One number for each window of each channel. The maximum passes its gradient to the first largest
/// entry, and NaN counts as largest; the mean counts padding as zeros and spreads its gradient evenly.
#[derive(Clone, Copy, Debug)]
pub enum Pool {
    /// The largest entry.
    Max(PoolGeometry),
    /// The mean.
    Avg(PoolGeometry),
}

/// A window, clipped to the image.
struct Window {
    index: usize,
    rows: StepBy<Range<usize>>,
    columns: StepBy<Range<usize>>,
    width: usize,
}

impl Window {
    /// Calls `f` with the position of every entry in the plane, row by row.
    fn for_each_entry(&self, mut f: impl FnMut(usize)) {
        for y in self.rows.clone() {
            self.columns.clone().for_each(|x| f(y * self.width + x));
        }
    }

    /// Position of its first largest entry.
    fn largest(&self, plane: &[f32]) -> usize {
        let mut best: Option<usize> = None;
        self.for_each_entry(|at| match best {
            Some(best) if plane[at] <= plane[best] || plane[best].is_nan() => {}
            _ => best = Some(at),
        });
        // A geometry that has passed its check leaves no window without an entry.
        best.unwrap_or_default()
    }
}

impl Pool {
    /// Whether windows are squares of four that lie side by side.
    fn takes_squares(&self) -> bool {
        let PoolGeometry { kernel, stride, padding, dilation } = *self.geometry();
        (kernel, stride, padding, dilation) == ([2; 2], [2; 2], [[0; 2]; 2], [1; 2])
    }

    fn geometry(&self) -> &PoolGeometry {
        match self {
            Pool::Max(geometry) | Pool::Avg(geometry) => geometry,
        }
    }

    /// Shows every window of a plane `[h, w]`, in the order of the outputs `[oh, ow]`.
    fn for_each_window(&self, input: &Shape, output: &Shape, mut f: impl FnMut(Window)) {
        let PoolGeometry { kernel, stride, padding, dilation } = *self.geometry();
        let clip = |axis: usize, o: usize| {
            let (start, before, step) = (o * stride[axis], padding[axis][0], dilation[axis]);
            let last = start + (kernel[axis] - 1) * step;
            let end = (last + 1).saturating_sub(before).min(input[2 + axis]);
            let first = match before.checked_sub(start) {
                Some(outside) => outside.next_multiple_of(step) - outside,
                None => start - before,
            };
            (first.min(end)..end).step_by(step)
        };
        for oy in 0..output[2] {
            let rows = clip(0, oy);
            for ox in 0..output[3] {
                let (index, width) = (oy * output[3] + ox, input[3]);
                f(Window { index, rows: rows.clone(), columns: clip(1, ox), width });
            }
        }
    }

    /// `1 / entries of a window`.
    fn share(&self) -> f32 {
        let [h, w] = self.geometry().kernel;
        1.0 / (h * w) as f32
    }
}

impl Compute for Pool {
    fn name(&self) -> &'static str {
        match self {
            Pool::Max(_) => "max_pool2d",
            Pool::Avg(_) => "avg_pool2d",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.geometry().kernel_shape(self.name(), &inputs[0])?;
        self.geometry().output(self.name(), &inputs[0])
    }

    fn properties(&self) -> Properties {
        let shared =
            Properties { keeps_range: true, keeps_samples_apart: true, ..Properties::default() };
        match self {
            Pool::Max(_) => Properties { selects: true, orders: Orders::AlikeOrTurned, ..shared },
            Pool::Avg(_) => shared,
        }
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        let output = moves::only(outputs, self.name())?;
        self.run_images(inputs, output.reborrow(), [Layout::Nchw; 2], exec)
    }

    fn run_images(
        &self,
        inputs: &Inputs<'_>,
        mut output: ViewMut<'_>,
        orders: [Layout; 2],
        exec: &mut Exec,
    ) -> Result<()> {
        let x = inputs.need(0, self.name())?;
        let shape = self.geometry().kernel_shape(self.name(), &x.shape)?;
        let order = match orders {
            [Layout::Nhwc, Layout::Nhwc] => PoolOrder::Nhwc,
            [Layout::Nhwc, Layout::Nchw] => PoolOrder::NhwcToNchw,
            [Layout::Nchw, _] => PoolOrder::Nchw,
        };
        let isa = exec.isa();
        match (self, x.elements) {
            (Pool::Max(_), Elements::U8(levels)) => {
                max_pool(isa, &shape, order, levels, output.values()?, &mut exec.scratch);
                exec.ran(Ran::float("max_pool_u8"));
            }
            (Pool::Max(_), _) => {
                max_pool(isa, &shape, order, x.f32()?, output.f32()?, &mut exec.scratch);
                exec.ran(Ran::float("max_pool_f32"));
            }
            (Pool::Avg(_), _) => {
                average_pool(isa, &shape, Divisor::Window, x.f32()?, output.f32()?)
            }
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let [h, w] = self.geometry().kernel;
        let window = h.min(inputs[0][2]) * w.min(inputs[0][3]);
        Cost::per_element(inputs, output, window as u64)
    }
}

impl Op for Pool {
    fn saves(&self) -> Saves {
        match self {
            Pool::Max(_) => Saves::Inputs,
            Pool::Avg(_) => Saves::Shapes,
        }
    }

    fn backward(
        &self,
        saved: &Saved,
        grad: &Tensor,
        exec: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let (isa, input, output) = (exec.isa(), *saved.shape(0), *grad.shape());
        let (plane_in, plane_out) = (input[2] * input[3], output[2] * output[3]);
        let dense = grad.contiguous()?;
        let g = dense.as_slice::<f32>()?;
        let x = match self {
            Pool::Max(_) => Some(saved.input(0)?.contiguous()?),
            Pool::Avg(_) => None,
        };
        let x = x.as_ref().map(Tensor::as_slice::<f32>).transpose()?;
        let mut dx = Tensor::zeros(input)?;
        let work = self.cost(&[input], &output).flops as usize;
        let dx_values = dx.as_mut_slice::<f32>()?;
        parallel::for_each_chunk(dx_values, plane_in, work, |plane, dx| {
            let g = &g[plane * plane_out..][..plane_out];
            if let Some(x) = x
                && self.takes_squares()
            {
                let x = &x[plane * plane_in..][..plane_in];
                return max_pool_backward(isa, input[3], x, g, dx);
            }
            self.for_each_window(&input, &output, |window| {
                let g = g[window.index];
                match x {
                    Some(x) => dx[window.largest(&x[plane * plane_in..][..plane_in])] += g,
                    None => window.for_each_entry(|at| dx[at] += g * self.share()),
                }
            });
        });
        Ok(vec![Some(dx)])
    }
}

impl Var {
    /// The largest entry of each window of `[batch, channels, height, width]`; padding never wins.
    ///
    /// # Errors
    /// [`GeometryError`](crate::graph::GeometryError) if the window does not fit the image,
    /// [`TensorError::Shape`](crate::tensor::TensorError::Shape) unless there are four dimensions.
    pub fn max_pool2d(&self, geometry: PoolGeometry, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pool::Max(geometry), &[self])
    }

    /// The mean of each window of `[batch, channels, height, width]`, padding included as zeros.
    ///
    /// # Errors
    /// As [`Var::max_pool2d`].
    pub fn avg_pool2d(&self, geometry: PoolGeometry, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pool::Avg(geometry), &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    /// Distinct values at least 0.5 apart, so that no difference quotient changes the maximum.
    fn distinct(shape: [usize; 4]) -> Tensor {
        let mut values: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 * 0.5).collect();
        Rng::seed(4).shuffle(&mut values);
        Tensor::from_vec(values, shape).unwrap()
    }

    #[test]
    fn gradients() {
        let overlapping = PoolGeometry::square(3).with_stride(2).with_padding(1);
        let uneven = PoolGeometry { kernel: [1, 2], stride: [2, 1], ..PoolGeometry::square(1) }
            .with_pads([[0, 0], [1, 1]]);
        for geometry in [PoolGeometry::square(2), overlapping, uneven] {
            let x = [distinct([2, 2, 4, 5])];
            gradcheck(|v, ctx| v[0].max_pool2d(geometry, ctx), &x, 1e-3).unwrap();
            gradcheck(|v, ctx| v[0].avg_pool2d(geometry, ctx), &x, 1e-3).unwrap();
        }
    }

    #[test]
    fn known_windows() {
        let x = Var::from(Tensor::arange(16).unwrap().reshape([1, 1, 4, 4]).unwrap());
        let mut ctx = Ctx::eval();
        let values = |v: Var| v.into_value().to_vec::<f32>().unwrap();
        let max = x.max_pool2d(PoolGeometry::square(2), &mut ctx).unwrap();
        assert_eq!(values(max), [5.0, 7.0, 13.0, 15.0]);
        let avg = x.avg_pool2d(PoolGeometry::square(2), &mut ctx).unwrap();
        assert_eq!(values(avg), [2.5, 4.5, 10.5, 12.5]);
        let padded = PoolGeometry::square(2).with_padding(1);
        assert_eq!(values(x.avg_pool2d(padded, &mut ctx).unwrap())[0], 0.0);
        assert_eq!(values(x.avg_pool2d(padded, &mut ctx).unwrap())[2], 0.75);
        let negative = Var::from(Tensor::full(-1f32, [1, 1, 2, 2]).unwrap());
        assert_eq!(values(negative.max_pool2d(padded, &mut ctx).unwrap()), [-1.0; 4]);
    }

    #[test]
    fn equal_entries_give_the_gradient_to_the_first_and_nan_is_not_hidden() {
        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(&Tensor::ones([1, 1, 2, 2]).unwrap());
        let y = x.max_pool2d(PoolGeometry::square(2), &mut ctx).unwrap();
        let y = y.sum(&mut ctx).unwrap();
        let grads = ctx.backward(&y).unwrap();
        assert_eq!(grads.of_input(&x).unwrap().to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0, 0.0]);

        let x = Tensor::from_vec(vec![5.0, f32::NAN, 1.0, 9.0], [1, 1, 2, 2]).unwrap();
        let y = Var::from(x).max_pool2d(PoolGeometry::square(2), &mut Ctx::eval()).unwrap();
        assert!(y.value().item().unwrap().is_nan());
    }
}
