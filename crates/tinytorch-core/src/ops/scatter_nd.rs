//! Parts of a value replaced.

use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{
    Compute, Cost, Exec, GraphError, Inputs, Known, View, ViewMut, Viewed, for_dtype, known,
};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// What becomes of an entry that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// It is replaced.
    Replace,
    /// The new one is added.
    Add,
    /// It is multiplied by the new one.
    Mul,
    /// The larger stays.
    Max,
    /// The smaller stays.
    Min,
}

/// A value of any type with parts replaced: indices `[.., k]` name `k` leading positions each, and updates
/// `[.., rest of the axes]` what stands there. Replaced parts give their gradient to the updates, sums to both; the others
/// have none.
#[derive(Clone, Copy, Debug)]
pub struct ScatterNd(pub Update);

impl ScatterNd {
    /// Positions that each entry of the indices names, and the elements behind one.
    fn depth(self, x: &Shape, indices: &Shape, updates: &Shape) -> Result<(usize, usize)> {
        let op = self.name();
        let expected =
            "updates are [indices without their last axis, what the indices leave of the value]";
        let depth = if indices.rank() == 0 { usize::MAX } else { indices.last_dim() };
        if depth > x.rank() {
            let expected = "indices name at most as many positions as the value has axes";
            return Err(TensorError::Mismatch { op, left: *x, right: *indices, expected }.into());
        }
        let want = [&indices[..indices.rank() - 1], &x[depth..]].concat();
        if updates.dims() != want {
            return Err(
                TensorError::Mismatch { op, left: *indices, right: *updates, expected }.into()
            );
        }
        Ok((depth, x[depth..].iter().product()))
    }

    /// Calls `f` with the start of each part in the value, in the order of the updates.
    fn for_each(
        self,
        x: &Shape,
        depth: usize,
        indices: &[i64],
        mut f: impl FnMut(usize),
    ) -> Result<()> {
        let strides = x.strides();
        if depth == 0 {
            f(0);
            return Ok(());
        }
        for index in indices.chunks_exact(depth) {
            let mut start = 0;
            for (axis, &at) in index.iter().enumerate() {
                start += moves::position(at, x[axis], self.name())? * strides[axis];
            }
            f(start);
        }
        Ok(())
    }
}

/// An update of one element.
fn updated<T: Viewed>(update: Update, old: T, new: T) -> T {
    let is_float = T::DTYPE == Dtype::F32;
    let joined = |float: fn(f64, f64) -> f64, integer: fn(i64, i64) -> i64| {
        if is_float {
            T::from_f64(float(old.to_f64(), new.to_f64()))
        } else {
            T::from_i64(integer(old.to_i64(), new.to_i64()))
        }
    };
    match update {
        Update::Replace => new,
        Update::Add => joined(|a, b| f64::from(a as f32 + b as f32), i64::wrapping_add),
        Update::Mul => joined(|a, b| f64::from(a as f32 * b as f32), i64::wrapping_mul),
        Update::Max => {
            if new > old {
                new
            } else {
                old
            }
        }
        Update::Min => {
            if new < old {
                new
            } else {
                old
            }
        }
    }
}

impl Compute for ScatterNd {
    fn name(&self) -> &'static str {
        "scatter_nd"
    }

    fn inputs_needed(&self) -> usize {
        3
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let op = self.name();
        let (x, indices, updates) =
            (known(inputs, 0, op)?, known(inputs, 1, op)?, known(inputs, 2, op)?);
        if x.dtype != updates.dtype {
            return Err(TensorError::Dtype { expected: x.dtype, got: updates.dtype }.into());
        }
        self.depth(&x.shape, &indices.shape, &updates.shape)?;
        Ok(vec![(x.shape, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(
            op: ScatterNd,
            [x, indices, updates]: [&View<'_>; 3],
            output: &mut ViewMut<'_>,
        ) -> Result<()> {
            let (depth, len) = op.depth(&x.shape, &indices.shape, &updates.shape)?;
            let (out, new) = (output.values::<T>()?, updates.values::<T>()?);
            out.copy_from_slice(x.values()?);
            if len == 0 {
                return Ok(());
            }
            let mut parts = new.chunks_exact(len);
            op.for_each(&x.shape, depth, &moves::integers(indices)?, |start| {
                let part = parts.next().unwrap_or_default();
                for (old, new) in out[start..].iter_mut().zip(part) {
                    *old = updated(op.0, *old, *new);
                }
            })
        }
        let op = self.name();
        let views = [inputs.need(0, op)?, inputs.need(1, op)?, inputs.need(2, op)?];
        let output = moves::only(outputs, op)?;
        for_dtype!(views[0].dtype(), T => of::<T>(*self, views, output))
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }
}

impl Op for ScatterNd {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        if !matches!(self.0, Update::Replace | Update::Add) {
            return Err(OpError::Type { op: self.name(), got: Dtype::F32 }.into());
        }
        let (x, updates) = (*saved.shape(0), *saved.shape(2));
        let indices = saved.input(1)?.to_dtype::<i64>()?.to_vec::<i64>()?;
        let (depth, len) = self.depth(&x, saved.shape(1), &updates)?;
        let g = grad.to_vec::<f32>()?;
        let (mut dx, mut parts) = (g.clone(), Vec::with_capacity(updates.len()));
        let mut starts = Vec::new();
        self.for_each(&x, depth, &indices, |start| starts.push(start))?;
        // Of several that replace one entry the last counts.
        let mut taken = vec![false; g.len()];
        for &start in starts.iter().rev() {
            for at in (start..start + len).rev() {
                let counts = self.0 == Update::Add || !std::mem::replace(&mut taken[at], true);
                parts.push(if counts { g[at] } else { 0.0 });
                if self.0 == Update::Replace {
                    dx[at] = 0.0;
                }
            }
        }
        parts.reverse();
        let missing = GraphError::MissingInput { op: self.name(), input: 2 };
        if parts.len() != updates.len() {
            return Err(missing.into());
        }
        Ok(vec![Some(Tensor::from_vec(dx, x)?), None, Some(Tensor::from_vec(parts, updates)?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    fn indices(values: Vec<i64>, shape: &[usize]) -> Var {
        Var::from(Tensor::from_vec(values, shape).unwrap())
    }

    #[test]
    fn gradients() {
        let mut rng = Rng::seed(1);
        let x = Tensor::randn([3, 4], 1.0, &mut rng).unwrap();
        for (index, updates) in [
            (indices(vec![2, 0, 2], &[3, 1]), vec![3, 4]),
            (indices(vec![0, 1, -1, 3], &[2, 2]), vec![2]),
        ] {
            let updates = Tensor::randn(updates.as_slice(), 1.0, &mut rng).unwrap();
            for update in [Update::Replace, Update::Add] {
                let op = |v: &[Var], ctx: &mut Ctx<'_>| {
                    ctx.apply(ScatterNd(update), &[&v[0], &index, &v[1]])
                };
                gradcheck(op, &[x.clone(), updates.clone()], 1e-3).unwrap();
            }
        }
    }

    #[test]
    fn updates() {
        let x = Var::from(Tensor::from_vec(vec![1i64, 2, 3, 4], [4]).unwrap());
        let new = Var::from(Tensor::from_vec(vec![9i64, 2, 5], [3]).unwrap());
        let index = indices(vec![0, 3, -4], &[3, 1]);
        let result = |update| {
            let y = Ctx::eval().apply(ScatterNd(update), &[&x, &index, &new]).unwrap();
            y.value().to_vec::<i64>().unwrap()
        };
        assert_eq!(result(Update::Replace), [5, 2, 3, 2]);
        assert_eq!(result(Update::Add), [15, 2, 3, 6]);
        assert_eq!(result(Update::Mul), [45, 2, 3, 8]);
        assert_eq!(result(Update::Max), [9, 2, 3, 4]);
        assert_eq!(result(Update::Min), [1, 2, 3, 2]);
        let outside = indices(vec![0, 3, 4], &[3, 1]);
        assert!(Ctx::eval().apply(ScatterNd(Update::Add), &[&x, &outside, &new]).is_err());
        let deep = indices(vec![0, 3], &[1, 2]);
        assert!(Ctx::eval().apply(ScatterNd(Update::Add), &[&x, &deep, &new]).is_err());
    }
}
