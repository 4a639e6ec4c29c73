//! One value or another.

use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{
    Compute, Cost, Exec, Inputs, Known, Properties, View, ViewMut, Viewed, for_dtype, known,
};
use crate::tensor::{Dtype, Shape, Tensor, TensorError, view};

/// The second input where the first, truth values, is true, else the third; all stretch to one shape, and
/// the values are of one type. The gradient goes where the value came from.
#[derive(Clone, Copy, Debug)]
pub struct Where;

/// Calls `f(condition, a, b)` with the offsets of every element of `shape`.
fn for_each(shape: &Shape, inputs: [&Shape; 3], mut f: impl FnMut(usize, usize, usize)) {
    let strides = inputs.map(|from| view::stretched_strides(from, shape));
    let operands = [(&strides[0], 0), (&strides[1], 0), (&strides[2], 0)];
    view::for_each_row(shape, operands, |[c, a, b], [dc, da, db], n| {
        (0..n).for_each(|i| f(c + i * dc, a + i * da, b + i * db));
    });
}

impl Compute for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn properties(&self) -> Properties {
        Properties { keeps_range: true, ..Properties::default() }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let op = self.name();
        let (c, a, b) = (known(inputs, 0, op)?, known(inputs, 1, op)?, known(inputs, 2, op)?);
        if c.dtype != Dtype::Bool {
            return Err(OpError::Type { op, got: c.dtype }.into());
        }
        if a.dtype != b.dtype {
            return Err(TensorError::Dtype { expected: a.dtype, got: b.dtype }.into());
        }
        let both = a.shape.broadcast(&b.shape, op)?;
        Ok(vec![(c.shape.broadcast(&both, op)?, a.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(views: [&View<'_>; 3], output: &mut ViewMut<'_>) -> Result<()> {
            let (condition, shape) = (views[0].values::<bool>()?, output.shape);
            let (x, y) = (views[1].values::<T>()?, views[2].values::<T>()?);
            let mut out = output.values::<T>()?.iter_mut();
            for_each(&shape, views.map(|v| &v.shape), |c, a, b| {
                if let Some(out) = out.next() {
                    *out = if condition[c] { x[a] } else { y[b] };
                }
            });
            Ok(())
        }
        let op = self.name();
        let views = [inputs.need(0, op)?, inputs.need(1, op)?, inputs.need(2, op)?];
        let output = moves::only(outputs, op)?;
        for_dtype!(views[1].dtype(), T => of::<T>(views, output))
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Where {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let condition = saved.input(0)?.contiguous()?;
        let (condition, shape) = (condition.as_slice::<bool>()?, *grad.shape());
        let dense = grad.contiguous()?;
        let mut g = dense.as_slice::<f32>()?.iter();
        let shapes = [0, 1, 2].map(|i| saved.shape(i));
        let [mut da, mut db] = [1, 2].map(|i| vec![0f32; shapes[i].len()]);
        for_each(&shape, shapes, |c, a, b| {
            let to = if condition[c] { &mut da[a] } else { &mut db[b] };
            *to += g.next().copied().unwrap_or_default();
        });
        let [da, db] = [(da, 1), (db, 2)].map(|(d, i)| Tensor::from_vec(d, *shapes[i]));
        Ok(vec![None, Some(da?), Some(db?)])
    }
}

impl Var {
    /// `a` where this value, truth values, is true, else `b`; all stretch to one shape.
    ///
    /// # Errors
    /// [`OpError::Type`] unless this value is truth values, [`TensorError::Mismatch`] if the shapes do not
    /// broadcast, [`TensorError::Dtype`] if `a` and `b` differ in type.
    pub fn where_true(&self, a: &Var, b: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Where, &[self, a, b])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        let mut rng = Rng::seed(1);
        let x = [[2, 3], [1, 3]].map(|shape| Tensor::randn(shape, 1.0, &mut rng).unwrap());
        let condition = Var::from(Tensor::from_vec(vec![true, false], [2, 1]).unwrap());
        gradcheck(|v, ctx| condition.where_true(&v[0], &v[1], ctx), &x, 1e-3).unwrap();
    }

    #[test]
    fn values_of_any_type_are_chosen() {
        let mut ctx = Ctx::eval();
        let condition = Var::from(Tensor::from_vec(vec![true, false, true], [3]).unwrap());
        let [a, b] = [vec![1i64, 2, 3], vec![9]].map(|v| {
            let len = v.len();
            Var::from(Tensor::from_vec(v, [len]).unwrap())
        });
        let y = condition.where_true(&a, &b, &mut ctx).unwrap();
        assert_eq!(y.value().to_vec::<i64>().unwrap(), [1, 9, 3]);
        assert!(condition.where_true(&a, &Tensor::scalar(1.0).into(), &mut ctx).is_err());
        assert!(a.where_true(&a, &b, &mut ctx).is_err());
    }
}
