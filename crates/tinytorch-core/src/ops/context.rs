//! Sequences that end within a model's positions.

use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, Properties, ViewMut, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// The same values, if the sequence along the last axis ends within a model's positions. It does
/// nothing but refuse, in a plan as in an eager pass, since both infer shapes.
#[derive(Clone, Copy, Debug)]
pub struct WithinContext {
    /// The position of the first entry.
    pub offset: usize,
    /// How many positions the model has.
    pub positions: usize,
}

impl Compute for WithinContext {
    fn name(&self) -> &'static str {
        "within_context"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let shape = inputs[0];
        if shape.rank() != 2 {
            let expected = "[batch, length] is needed".into();
            return Err(TensorError::Shape { op: self.name(), shape, expected }.into());
        }
        let end = self.offset.saturating_add(shape.last_dim());
        if end > self.positions {
            return Err(OpError::Context { end, positions: self.positions }.into());
        }
        Ok(shape)
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        Ok(vec![(self.shape(&[x.shape])?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        moves::copy(inputs.need(0, self.name())?, outputs, self.name())
    }

    fn properties(&self) -> Properties {
        Properties { reshapes: true, selects: true, keeps_range: true, ..Properties::default() }
    }

    fn cost(&self, _: &[Shape], _: &Shape) -> Cost {
        Cost::default()
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Exec) -> Result<Tensor> {
        self.shape(&[*inputs[0].shape()])?;
        Ok(inputs[0].clone())
    }
}

impl Op for WithinContext {
    fn backward(&self, _: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.clone())])
    }
}

impl Var {
    /// This value, `[batch, length]`, whose first entry stands at position `offset` of `positions`.
    ///
    /// # Errors
    /// [`OpError::Context`] if the sequence ends beyond the positions, [`TensorError::Shape`] for a value
    /// of another rank.
    pub fn within_context(
        &self,
        offset: usize,
        positions: usize,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        ctx.apply(WithinContext { offset, positions }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 3], 1.0, &mut Rng::seed(1)).unwrap()];
        gradcheck(|v, ctx| v[0].within_context(1, 4, ctx), &x, 1e-3).unwrap();
    }

    #[test]
    fn only_what_ends_within_passes() {
        let ids = Var::from(Tensor::from_vec(vec![5i64, 6, 7], [1, 3]).unwrap());
        let mut ctx = Ctx::eval();
        let same = ids.within_context(1, 4, &mut ctx).unwrap();
        assert_eq!(same.value().to_vec::<i64>().unwrap(), [5, 6, 7]);
        for offset in [2, usize::MAX] {
            let error = ids.within_context(offset, 4, &mut ctx).unwrap_err();
            assert!(error.to_string().contains("there are 4 positions"), "{error}");
        }
        let flat = Var::from(Tensor::ones([3]).unwrap());
        assert!(flat.within_context(0, 4, &mut ctx).is_err());
    }
}
