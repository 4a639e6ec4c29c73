//! Parts of values, from positions that are values themselves.

use super::moves;
use super::sources::{for_each_index, rows_of};
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, MAX_RANK, Shape, Tensor, TensorError};

/// Every so many entries of some axes, as ONNX has it. Inputs: a value of any type, then lists of integers:
/// the first entry of each axis, the entry before which it ends, the axes (all in order if left out), the
/// steps (1 if left out; negative ones go backwards). Positions count from the end if they are negative, and
/// are clamped to the axis. What is left out gets gradient 0.
#[derive(Clone, Copy, Debug)]
pub struct Slice;

/// What a slice keeps of a contiguous value.
struct Kept {
    shape: Shape,
    /// By how many elements one entry of each axis lies before the next; backwards for negative steps.
    steps: [isize; MAX_RANK],
    start: usize,
}

impl Kept {
    fn new(x: &Shape, lists: [Option<&[i64]>; 4]) -> Result<Kept> {
        let op = "slice";
        let [starts, ends, axes, steps] = lists;
        let missing = |input| crate::graph::GraphError::MissingInput { op, input };
        let (starts, ends) = (starts.ok_or(missing(1))?, ends.ok_or(missing(2))?);
        let count = starts.len();
        let lengths = [Some(ends), axes, steps].into_iter().flatten().map(<[i64]>::len);
        if lengths.into_iter().any(|len| len != count) || count > x.rank() {
            let expected = "starts, ends, axes and steps are lists of one length".into();
            return Err(TensorError::Shape { op, shape: *x, expected }.into());
        }
        let dense = x.strides();
        let mut kept = Kept { shape: *x, steps: dense.map(|stride| stride as isize), start: 0 };
        for i in 0..count {
            let axis = match axes {
                Some(axes) => moves::position(axes[i], x.rank(), op)?,
                None => i,
            };
            let (len, step) = (x[axis] as i64, steps.map_or(1, |steps| steps[i]));
            if step == 0 {
                let expected = "a step must not be 0".into();
                return Err(TensorError::Shape { op, shape: *x, expected }.into());
            }
            let from_start = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
            let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
            let start = from_start(starts[i]).clamp(low.max(0), high.max(0));
            let end = from_start(ends[i]).clamp(low, high);
            let span = if step > 0 { end - start } else { start - end };
            let count = if len == 0 {
                0
            } else {
                (span.max(0) as u64).div_ceil(step.unsigned_abs()) as usize
            };
            kept.shape = kept.shape.with(axis, count);
            if count > 0 {
                kept.start += start as usize * dense[axis];
            }
            kept.steps[axis] = (step as isize).saturating_mul(dense[axis] as isize);
        }
        Ok(kept)
    }

    /// Calls `f` with the kept elements of every row, in order.
    fn for_each_row(&self, mut f: impl FnMut(Row)) {
        let (outer, count, step) = match self.shape.rank().checked_sub(1) {
            Some(last) => (last, self.shape[last], self.steps[last]),
            None => (0, 1, 1),
        };
        for_each_index(&rows_of(&self.shape), |index| {
            // Only a step to an entry that is there is added, so that the sum stays in the value.
            let places = index[..outer].iter().zip(self.steps);
            let offset: isize = places.map(|(&at, step)| at as isize * step).sum();
            f(Row { start: self.start.wrapping_add_signed(offset), count, step });
        });
    }
}

/// Elements of a contiguous value at equal distances.
struct Row {
    start: usize,
    count: usize,
    step: isize,
}

impl Row {
    /// The offset of one of the elements.
    fn at(&self, i: usize) -> usize {
        self.start.wrapping_add_signed(i as isize * self.step)
    }

    fn copy<T: Copy>(&self, values: &[T], to: &mut [T]) {
        match usize::try_from(self.step) {
            Ok(1) => to.copy_from_slice(&values[self.start..][..self.count]),
            Ok(step @ 2..) if self.count > 1 => {
                let values = values[self.start..].iter().step_by(step);
                to.iter_mut().zip(values).for_each(|(to, value)| *to = *value);
            }
            _ => to.iter_mut().enumerate().for_each(|(i, to)| *to = values[self.at(i)]),
        }
    }
}

impl Compute for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        let list = |i: usize| match inputs.get(i).and_then(Option::as_ref) {
            Some(list) => list.integers(self.name()).map(Some),
            None => Ok(None),
        };
        let lists = [list(1)?, list(2)?, list(3)?, list(4)?];
        let kept = Kept::new(&x.shape, lists.each_ref().map(Option::as_deref))?;
        Ok(vec![(kept.shape, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(x: &View<'_>, kept: &Kept, output: &mut ViewMut<'_>) -> Result<()> {
            let (values, mut out) = (x.values::<T>()?, output.values::<T>()?);
            kept.for_each_row(|row| {
                let (now, later) = std::mem::take(&mut out).split_at_mut(row.count);
                row.copy(values, now);
                out = later;
            });
            Ok(())
        }
        let x = inputs.need(0, self.name())?;
        let list = |i: usize| inputs.get(i).map(moves::integers).transpose();
        let lists = [list(1)?, list(2)?, list(3)?, list(4)?];
        let kept = Kept::new(&x.shape, lists.each_ref().map(Option::as_deref))?;
        let output = moves::only(outputs, self.name())?;
        for_dtype!(x.dtype(), T => of::<T>(x, &kept, output))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Slice {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let list = |i: usize| match saved.has(i) {
            true => saved.input(i)?.to_dtype::<i64>()?.to_vec::<i64>().map(Some),
            false => Ok(None),
        };
        let lists = [list(1)?, list(2)?, list(3)?, list(4)?];
        let kept = Kept::new(&shape, lists.each_ref().map(Option::as_deref))?;
        let dense = grad.contiguous()?;
        let mut g = dense.as_slice::<f32>()?.iter();
        let mut dx = vec![0f32; shape.len()];
        kept.for_each_row(|row| {
            (0..row.count).zip(g.by_ref()).for_each(|(i, g)| dx[row.at(i)] = *g);
        });
        let mut grads = vec![None; saved.inputs_len()];
        grads[0] = Some(Tensor::from_vec(dx, shape)?);
        Ok(grads)
    }
}

impl Var {
    /// The entries of `axis` from `start` to `end`, both values of the pass, lists of one integer: in a
    /// traced model they may follow the input's sizes. See [`Slice`] for other axes and steps.
    ///
    /// # Errors
    /// [`TensorError::Index`] for an axis outside the shape.
    pub fn slice_between(
        &self,
        axis: usize,
        start: &Var,
        end: &Var,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let axes = Var::from(Tensor::from_vec(vec![axis as i64], [1])?);
        ctx.apply(Slice, &[self, start, end, &axes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    fn list(values: &[i64]) -> Var {
        Var::from(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap())
    }

    fn slice(x: &Var, lists: [&[i64]; 4], ctx: &mut Ctx<'_>) -> Result<Var> {
        let lists = lists.map(list);
        ctx.apply(Slice, &[x, &lists[0], &lists[1], &lists[2], &lists[3]])
    }

    #[test]
    fn gradients() {
        let x = [Tensor::randn([4, 5], 1.0, &mut Rng::seed(1)).unwrap()];
        gradcheck(|v, ctx| slice(&v[0], [&[-1, 1], &[-9, 9], &[0, 1], &[-2, 3]], ctx), &x, 1e-3)
            .unwrap();
        let between =
            |v: &[Var], ctx: &mut Ctx<'_>| v[0].slice_between(1, &list(&[1]), &list(&[3]), ctx);
        gradcheck(between, &x, 1e-3).unwrap();
    }

    /// Python's own slices of `range(6)`.
    #[test]
    fn entries_are_pythons() {
        let x = Var::from(Tensor::arange(6).unwrap());
        let cases: [(i64, i64, i64, &[f32]); 8] = [
            (1, 4, 1, &[1.0, 2.0, 3.0]),
            (-2, i64::MAX, 1, &[4.0, 5.0]),
            (0, -1, 2, &[0.0, 2.0, 4.0]),
            (-1, i64::MIN, -1, &[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]),
            (4, 1, -2, &[4.0, 2.0]),
            (3, 3, 1, &[]),
            (9, 12, 1, &[]),
            (9, -7, -4, &[5.0, 1.0]),
        ];
        for (start, end, step, want) in cases {
            let y = slice(&x, [&[start], &[end], &[0], &[step]], &mut Ctx::eval()).unwrap();
            assert_eq!(y.value().to_vec::<f32>().unwrap(), want, "{start}:{end}:{step}");
        }
        let empty = Var::from(Tensor::zeros([0]).unwrap());
        for step in [1, -1] {
            let y = slice(&empty, [&[0], &[5], &[0], &[step]], &mut Ctx::eval()).unwrap();
            assert_eq!(y.shape().dims(), [0]);
        }
        assert!(slice(&x, [&[0], &[1], &[0], &[0]], &mut Ctx::eval()).is_err());
        assert!(slice(&x, [&[0], &[1], &[1], &[1]], &mut Ctx::eval()).is_err());
        assert!(slice(&x, [&[0, 0], &[1], &[0], &[1]], &mut Ctx::eval()).is_err());
    }
}
