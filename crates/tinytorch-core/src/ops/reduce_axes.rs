//! Several axes reduced at once.

use super::sources::for_each_index;
use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, known};
use crate::tensor::{Dtype, MAX_RANK, Shape, Tensor, reduce};
use tinytorch_kernels::Isa;

/// What becomes of the entries that are reduced to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The largest; NaN counts as largest.
    Max,
    /// The smallest; NaN counts as smallest.
    Min,
    /// Their product.
    Prod,
    /// The sum of their magnitudes.
    L1,
    /// The root of the sum of their squares.
    L2,
    /// The sum of their squares.
    SumSquare,
    /// The logarithm of their sum.
    LogSum,
    /// The logarithm of the sum of their exponentials, without overflow.
    LogSumExp,
}

/// Axes reduced, of floats or, but for means, norms and logarithms, of any numbers. Nothing reduced to one entry
/// gives what adding, multiplying or comparing begins with. With `y` the result, entries `x` get `g` (sum), `g / n`
/// (mean), `g y / x` (product, as the product of the others), `g sign x` (L1), `g x / y` (L2), `2 g x` (squares),
/// `g / e^y` (logarithm of the sum) and `g e^(x - y)` (of exponentials); the first largest or smallest gets all.
#[derive(Clone, Debug)]
pub struct Reduce {
    /// What becomes of the entries.
    pub reduction: Reduction,
    /// The axes, negative ones counted from the end.
    pub axes: Vec<i64>,
    /// Whether the axes stay, with size 1.
    pub keep: bool,
}

/// Which axes are reduced.
fn chosen(axes: &[i64], x: &Shape, op: &'static str) -> Result<[bool; MAX_RANK]> {
    let mut chosen = [false; MAX_RANK];
    for &axis in axes {
        chosen[moves::position(axis, x.rank(), op)?] = true;
    }
    Ok(chosen)
}

/// The strides with which the result is read along the input's axes: 0 along those that are reduced.
fn strides(x: &Shape, chosen: &[bool; MAX_RANK]) -> [usize; MAX_RANK] {
    let (mut strides, mut step) = ([0; MAX_RANK], 1);
    for axis in (0..x.rank()).rev() {
        if !chosen[axis] {
            strides[axis] = step;
            step *= x[axis];
        }
    }
    strides
}

/// Whether what becomes one entry lies side by side: all axes from one on are reduced, and no others.
fn are_rows(x: &Shape, chosen: &[bool; MAX_RANK]) -> bool {
    let chosen = &chosen[..x.rank()];
    let first = chosen.iter().position(|reduced| *reduced).unwrap_or(x.rank());
    !x.is_empty() && first < x.rank() && chosen[first..].iter().all(|reduced| *reduced)
}

/// Calls `f(place)` with the place in the result of each element of `x`, in order.
fn for_each_place(x: &Shape, strides: &[usize; MAX_RANK], mut f: impl FnMut(usize)) {
    for_each_index(x, |index| {
        f(index.iter().zip(strides).map(|(at, stride)| at * stride).sum());
    });
}

impl Reduce {
    fn result(&self, x: &Shape) -> Result<Shape> {
        let chosen = chosen(&self.axes, x, self.name())?;
        let kept =
            x.iter().enumerate().filter_map(|(axis, &len)| match (chosen[axis], self.keep) {
                (true, true) => Some(1),
                (true, false) => None,
                (false, _) => Some(len),
            });
        Ok(Shape::new(&kept.collect::<Vec<_>>())?)
    }

    fn integers<T: Viewed>(&self, x: &View<'_>, output: &mut ViewMut<'_>) -> Result<()> {
        let op = self.name();
        let places = strides(&x.shape, &chosen(&self.axes, &x.shape, op)?);
        let start = match self.reduction {
            Reduction::Max if T::DTYPE == Dtype::Bool => T::default(),
            Reduction::Max => T::from_i64(i64::MIN),
            Reduction::Min => T::from_i64(i64::MAX),
            Reduction::Prod => T::from_i64(1),
            _ => T::default(),
        };
        let (values, out) = (x.values::<T>()?, output.values::<T>()?);
        out.fill(start);
        let mut values = values.iter();
        let mut fault = None;
        for_each_place(&x.shape, &places, |place| {
            let Some(&x) = values.next() else { return };
            let out = &mut out[place];
            let (a, b) = (out.to_i64(), x.to_i64());
            let exact = match self.reduction {
                Reduction::Max => Some(a.max(b)),
                Reduction::Min => Some(a.min(b)),
                Reduction::Prod => a.checked_mul(b),
                Reduction::L1 => b.checked_abs().and_then(|b| a.checked_add(b)),
                Reduction::SumSquare => b.checked_mul(b).and_then(|b| a.checked_add(b)),
                _ => a.checked_add(b),
            };
            match exact.filter(|z| T::from_i64(*z).to_i64() == *z) {
                Some(z) => *out = T::from_i64(z),
                None => fault = Some(OpError::Integers { op, left: a, right: b }),
            }
        });
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn floats(&self, x: &View<'_>, out: &mut [f32], isa: Isa) -> Result<()> {
        let chosen = chosen(&self.axes, &x.shape, self.name())?;
        let (places, values) = (strides(&x.shape, &chosen), x.f32()?);
        if matches!(self.reduction, Reduction::Sum | Reduction::Mean) && are_rows(&x.shape, &chosen)
        {
            let len = values.len() / out.len().max(1);
            let factor = if self.reduction == Reduction::Mean { len as f32 } else { 1.0 };
            let rows = values.chunks_exact(len.max(1));
            out.iter_mut().zip(rows).for_each(|(y, row)| *y = reduce::sum(isa, row) / factor);
            return Ok(());
        }
        let fold = |start: f32, out: &mut [f32], f: &dyn Fn(f32, f32) -> f32| {
            out.fill(start);
            let mut values = values.iter();
            for_each_place(&x.shape, &places, |place| {
                if let Some(&x) = values.next() {
                    out[place] = f(out[place], x);
                }
            });
        };
        let larger = |a: f32, x: f32| if x > a || x.is_nan() { x } else { a };
        match self.reduction {
            Reduction::Sum => fold(0.0, out, &|a, x| a + x),
            Reduction::Mean => {
                fold(0.0, out, &|a, x| a + x);
                let count = (values.len() / out.len().max(1)) as f32;
                out.iter_mut().for_each(|y| *y /= count);
            }
            Reduction::Max => fold(f32::NEG_INFINITY, out, &larger),
            Reduction::Min => {
                fold(f32::INFINITY, out, &|a, x| if x < a || x.is_nan() { x } else { a });
            }
            Reduction::Prod => fold(1.0, out, &|a, x| a * x),
            Reduction::L1 => fold(0.0, out, &|a, x| a + x.abs()),
            Reduction::L2 => {
                fold(0.0, out, &|a, x| a + x * x);
                out.iter_mut().for_each(|y| *y = y.sqrt());
            }
            Reduction::SumSquare => fold(0.0, out, &|a, x| a + x * x),
            Reduction::LogSum => {
                fold(0.0, out, &|a, x| a + x);
                out.iter_mut().for_each(|y| *y = y.ln());
            }
            Reduction::LogSumExp => {
                fold(f32::NEG_INFINITY, out, &larger);
                let mut sums = vec![0f32; out.len()];
                let mut values = values.iter();
                for_each_place(&x.shape, &places, |place| {
                    let Some(&x) = values.next() else { return };
                    // Equal infinities have no difference.
                    sums[place] += if x == out[place] { 1.0 } else { (x - out[place]).exp() };
                });
                out.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum.ln());
            }
        }
        Ok(())
    }
}

impl Compute for Reduce {
    fn name(&self) -> &'static str {
        match self.reduction {
            Reduction::Sum => "reduce_sum",
            Reduction::Mean => "reduce_mean",
            Reduction::Max => "reduce_max",
            Reduction::Min => "reduce_min",
            Reduction::Prod => "reduce_prod",
            Reduction::L1 => "reduce_l1",
            Reduction::L2 => "reduce_l2",
            Reduction::SumSquare => "reduce_sum_square",
            Reduction::LogSum => "reduce_log_sum",
            Reduction::LogSumExp => "reduce_log_sum_exp",
        }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        let compares = matches!(self.reduction, Reduction::Max | Reduction::Min);
        let of_floats = matches!(
            self.reduction,
            Reduction::Mean | Reduction::L2 | Reduction::LogSum | Reduction::LogSumExp
        );
        if x.dtype != Dtype::F32 && (of_floats || (x.dtype == Dtype::Bool && !compares)) {
            return Err(OpError::Type { op: self.name(), got: x.dtype }.into());
        }
        Ok(vec![(self.result(&x.shape)?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        let (x, output) = (inputs.need(0, self.name())?, moves::only(outputs, self.name())?);
        match x.dtype() {
            Dtype::F32 => self.floats(x, output.f32()?, exec.isa()),
            Dtype::I64 => self.integers::<i64>(x, output),
            Dtype::I32 => self.integers::<i32>(x, output),
            Dtype::U8 => self.integers::<u8>(x, output),
            Dtype::I8 => self.integers::<i8>(x, output),
            Dtype::Bool => self.integers::<bool>(x, output),
        }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let flops = inputs[0].len() as u64;
        Cost { flops, read: 4 * flops, written: 4 * output.len() as u64 }
    }
}

impl Op for Reduce {
    fn saves(&self) -> Saves {
        match self.reduction {
            Reduction::Sum | Reduction::Mean => Saves::Shapes,
            _ => Saves::Both,
        }
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let places = strides(&shape, &chosen(&self.axes, &shape, self.name())?);
        let g = grad.to_vec::<f32>()?;
        let needs_values = self.saves() == Saves::Both;
        let x = if needs_values { saved.input(0)?.to_vec::<f32>()? } else { Vec::new() };
        let y = if needs_values { saved.output()?.to_vec::<f32>()? } else { Vec::new() };
        let count = (shape.len() / g.len().max(1)) as f32;
        // Of products: how many factors are 0, and the product of the others.
        let mut zeros = vec![0usize; g.len()];
        let mut others = vec![1f32; g.len()];
        let mut taken = vec![false; g.len()];
        if self.reduction == Reduction::Prod {
            let mut i = 0;
            for_each_place(&shape, &places, |place| {
                if x[i] == 0.0 {
                    zeros[place] += 1;
                } else {
                    others[place] *= x[i];
                }
                i += 1;
            });
        }
        let mut dx = Vec::with_capacity(shape.len());
        for_each_place(&shape, &places, |place| {
            let (i, g) = (dx.len(), g[place]);
            dx.push(match self.reduction {
                Reduction::Sum => g,
                Reduction::Mean => g / count,
                Reduction::Max | Reduction::Min => {
                    let first = x[i] == y[place] && !taken[place];
                    taken[place] |= first;
                    if first { g } else { 0.0 }
                }
                Reduction::Prod => match (zeros[place], x[i] == 0.0) {
                    (0, _) => g * others[place] / x[i],
                    (1, true) => g * others[place],
                    _ => 0.0,
                },
                Reduction::L1 => g * if x[i] == 0.0 { 0.0 } else { x[i].signum() },
                Reduction::L2 => {
                    if y[place] == 0.0 {
                        0.0
                    } else {
                        g * x[i] / y[place]
                    }
                }
                Reduction::SumSquare => 2.0 * g * x[i],
                Reduction::LogSum => g / y[place].exp(),
                Reduction::LogSumExp => g * (x[i] - y[place]).exp(),
            });
        });
        Ok(vec![Some(Tensor::from_vec(dx, shape)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    const ALL: [Reduction; 10] = [
        Reduction::Sum,
        Reduction::Mean,
        Reduction::Max,
        Reduction::Min,
        Reduction::Prod,
        Reduction::L1,
        Reduction::L2,
        Reduction::SumSquare,
        Reduction::LogSum,
        Reduction::LogSumExp,
    ];

    #[test]
    fn gradients() {
        // Far enough apart that no difference quotient changes which is largest.
        let mut values: Vec<f32> = (0..12).map(|i| 0.5 + 0.125 * i as f32).collect();
        Rng::seed(1).shuffle(&mut values);
        let x = [Tensor::from_vec(values, [2, 3, 2]).unwrap()];
        for reduction in ALL {
            for (axes, keep) in [(vec![0, 2], true), (vec![-2], false), (vec![], false)] {
                let op = Reduce { reduction, axes, keep };
                gradcheck(|v, ctx| ctx.apply(op.clone(), &[&v[0]]), &x, 1e-3).unwrap();
            }
        }
    }

    #[test]
    fn known_values() {
        let x = Var::from(Tensor::from_vec(vec![3.0, -4.0, 0.0, 1.0], [2, 2]).unwrap());
        let values = |reduction| {
            let op = Reduce { reduction, axes: vec![1], keep: false };
            let y = Ctx::eval().apply(op, &[&x]).unwrap();
            y.value().to_vec::<f32>().unwrap()
        };
        assert_eq!(values(Reduction::Sum), [-1.0, 1.0]);
        assert_eq!(values(Reduction::Mean), [-0.5, 0.5]);
        assert_eq!(values(Reduction::Max), [3.0, 1.0]);
        assert_eq!(values(Reduction::Min), [-4.0, 0.0]);
        assert_eq!(values(Reduction::Prod), [-12.0, 0.0]);
        assert_eq!(values(Reduction::L1), [7.0, 1.0]);
        assert_eq!(values(Reduction::L2), [5.0, 1.0]);
        assert_eq!(values(Reduction::SumSquare), [25.0, 1.0]);
        assert!((values(Reduction::LogSumExp)[1] - (1.0 + 1f32.exp()).ln()).abs() < 1e-6);
        let empty = Var::from(Tensor::zeros([2, 0]).unwrap());
        let op = Reduce { reduction: Reduction::Max, axes: vec![1], keep: true };
        let y = Ctx::eval().apply(op, &[&empty]).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [f32::NEG_INFINITY; 2]);
    }

    #[test]
    fn integers_are_exact_or_refused() {
        let x = Var::from(Tensor::from_vec(vec![200u8, 100], [2]).unwrap());
        let reduce = |reduction| {
            let op = Reduce { reduction, axes: vec![0], keep: false };
            Ctx::eval().apply(op, &[&x])
        };
        assert_eq!(reduce(Reduction::Min).unwrap().value().to_vec::<u8>().unwrap(), [100]);
        assert!(reduce(Reduction::Sum).unwrap_err().to_string().contains("fits no integer"));
        assert!(reduce(Reduction::Mean).is_err());
        let flags = Var::from(Tensor::from_vec(vec![false, false], [2]).unwrap());
        for reduction in [Reduction::Max, Reduction::Min] {
            let op = Reduce { reduction, axes: vec![0], keep: false };
            let y = Ctx::eval().apply(op, &[&flags]).unwrap();
            assert_eq!(y.value().to_vec::<bool>().unwrap(), [false]);
        }
    }
}
