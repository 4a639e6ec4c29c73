//! Values with a border.

use super::sources::{self, Each};
use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, GraphError, Inputs, Known, ViewMut, known};
use crate::tensor::{Dtype, MAX_RANK, Shape, Tensor, TensorError};

/// What a border is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// One value.
    Constant,
    /// The value mirrored at its edge, which is not repeated.
    Reflect,
    /// The edge repeated.
    Edge,
    /// The value again from its other end.
    Wrap,
}

/// A value of any type with a border, as ONNX has it. Inputs: the value; a list of integers, how many entries come
/// before each axis and then how many after each, negative ones cut entries off; the one element that a constant
/// border is made of (0 if left out); a list of the axes (all if left out). An element's gradient is the sum over the places
/// that it went to.
#[derive(Clone, Copy, Debug)]
pub struct Pad(pub Border);

/// How many entries come before each axis, and the shape with the border.
struct Padded {
    before: [i64; MAX_RANK],
    shape: Shape,
}

impl Pad {
    fn padded(self, x: &Shape, pads: &[i64], axes: Option<&[i64]>) -> Result<Padded> {
        let op = self.name();
        let wrong =
            |expected: &str| TensorError::Shape { op, shape: *x, expected: expected.into() };
        let count = axes.map_or(x.rank(), <[i64]>::len);
        if pads.len() != 2 * count {
            return Err(wrong("the list of borders needs two entries for each axis").into());
        }
        let mut padded = Padded { before: [0; MAX_RANK], shape: *x };
        for i in 0..count {
            let axis = match axes {
                Some(axes) => moves::position(axes[i], x.rank(), op)?,
                None => i,
            };
            let (before, after, len) = (pads[i], pads[count + i], x[axis] as i64);
            let size = len.checked_add(before).and_then(|size| size.checked_add(after));
            let size = size.and_then(|size| usize::try_from(size).ok());
            let size =
                size.ok_or_else(|| wrong("borders must leave an axis of a possible size"))?;
            if len == 0 && size > 0 && self.0 != Border::Constant {
                return Err(wrong("an axis without entries has nothing to repeat").into());
            }
            padded.before[axis] = before;
            padded.shape = padded.shape.with(axis, size);
        }
        padded.shape = Shape::new(&padded.shape)?;
        Ok(padded)
    }

    /// The entry of an axis of `len` entries that stands at `at`, counted from its first.
    fn entry(self, at: i64, len: i64) -> Option<usize> {
        let inside = match self.0 {
            Border::Constant => (0..len).contains(&at).then_some(at),
            Border::Edge => Some(at.clamp(0, len - 1)),
            Border::Wrap => Some(at.rem_euclid(len)),
            Border::Reflect if len == 1 => Some(0),
            Border::Reflect => {
                let turn = at.rem_euclid(2 * (len - 1));
                Some(turn.min(2 * (len - 1) - turn))
            }
        };
        inside.and_then(|at| usize::try_from(at).ok())
    }

    /// A row, as runs of entries that lie side by side in the value's row, or that are border.
    fn runs(self, len: usize, before: i64, padded: usize) -> Vec<(Option<usize>, usize)> {
        let mut runs: Vec<(Option<usize>, usize)> = Vec::new();
        for at in 0..padded {
            let entry = self.entry(at as i64 - before, len as i64);
            match runs.last_mut() {
                Some((from, count)) if from.map(|from| from + *count) == entry => *count += 1,
                _ => runs.push((entry, 1)),
            }
        }
        runs
    }

    fn for_each(self, x: &Shape, padded: &Padded, each: Each<'_>) {
        let Some(last) = x.rank().checked_sub(1) else { return each(Some(0), 1) };
        let (strides, shape) = (x.strides(), padded.shape);
        let runs = self.runs(x[last], padded.before[last], shape[last]);
        sources::for_each_index(&sources::rows_of(&shape), |index| {
            let row = index[..last].iter().enumerate().try_fold(0, |sum, (axis, &at)| {
                let entry = self.entry(at as i64 - padded.before[axis], x[axis] as i64)?;
                Some(sum + entry * strides[axis])
            });
            match row {
                None => each(None, shape[last]),
                Some(row) => {
                    for &(from, count) in &runs {
                        each(from.map(|from| row + from), count);
                    }
                }
            }
        });
    }
}

impl Compute for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let op = self.name();
        let (x, pads) = (known(inputs, 0, op)?, known(inputs, 1, op)?.integers(op)?);
        if let Some(value) = inputs.get(2).and_then(Option::as_ref) {
            if value.dtype != x.dtype {
                return Err(TensorError::Dtype { expected: x.dtype, got: value.dtype }.into());
            }
            if value.shape.len() != 1 {
                return Err(TensorError::NotScalar { shape: value.shape }.into());
            }
        }
        let axes = inputs.get(3).and_then(Option::as_ref);
        let axes = axes.map(|axes| axes.integers(op)).transpose()?;
        Ok(vec![(self.padded(&x.shape, &pads, axes.as_deref())?.shape, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (x, pads) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let axes = inputs.get(3).map(moves::integers).transpose()?;
        let padded = self.padded(&x.shape, &moves::integers(pads)?, axes.as_deref())?;
        let output = moves::only(outputs, self.name())?;
        sources::gather(x, inputs.get(2), output, |each| self.for_each(&x.shape, &padded, each))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Pad {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let x = *saved.shape(0);
        if saved.has(2) && saved.needs(2) {
            return Err(OpError::Type { op: self.name(), got: Dtype::F32 }.into());
        }
        let list = |i: usize| match saved.has(i) {
            true => saved.input(i)?.to_dtype::<i64>()?.to_vec::<i64>().map(Some),
            false => Ok(None),
        };
        let pads = list(1)?.ok_or(GraphError::MissingInput { op: self.name(), input: 1 })?;
        let axes = if saved.inputs_len() > 3 { list(3)? } else { None };
        let padded = self.padded(&x, &pads, axes.as_deref())?;
        let mut grads = vec![None; saved.inputs_len()];
        grads[0] = Some(sources::give_back(&x, grad, |each| self.for_each(&x, &padded, each))?);
        Ok(grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    fn list(values: &[i64]) -> Var {
        Var::from(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap())
    }

    #[test]
    fn gradients() {
        let x = [Tensor::randn([3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        for border in [Border::Constant, Border::Reflect, Border::Edge, Border::Wrap] {
            let pads = list(&[1, -1, 2, 3]);
            gradcheck(|v, ctx| ctx.apply(Pad(border), &[&v[0], &pads]), &x, 1e-3).unwrap();
        }
    }

    /// Values of `numpy.pad`.
    #[test]
    fn borders_are_numpys() {
        let x = Var::from(Tensor::from_vec(vec![1i64, 2, 3], [3]).unwrap());
        let mut ctx = Ctx::eval();
        let nine = Var::from(Tensor::from_vec(vec![9i64], []).unwrap());
        let cases: [(Border, &[i64]); 4] = [
            (Border::Constant, &[9, 9, 1, 2, 3, 9, 9, 9]),
            (Border::Reflect, &[3, 2, 1, 2, 3, 2, 1, 2]),
            (Border::Edge, &[1, 1, 1, 2, 3, 3, 3, 3]),
            (Border::Wrap, &[2, 3, 1, 2, 3, 1, 2, 3]),
        ];
        for (border, want) in cases {
            let y = ctx.apply(Pad(border), &[&x, &list(&[2, 3]), &nine]).unwrap();
            assert_eq!(y.value().to_vec::<i64>().unwrap(), want, "{border:?}");
        }
        assert!(ctx.apply(Pad(Border::Edge), &[&x, &list(&[2])]).is_err());
        assert!(ctx.apply(Pad(Border::Edge), &[&x, &list(&[-2, -2])]).is_err());
        assert!(ctx.apply(Pad(Border::Constant), &[&x, &list(&[i64::MAX, 1])]).is_err());
    }
}
