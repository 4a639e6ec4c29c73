//! Truth values combined.

use super::{moves, pairs};
use crate::Result;
use crate::autograd::Op;
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut};
use crate::tensor::{Dtype, Shape, TensorError};

/// Two truth values combined element by element, broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// Both.
    And,
    /// At least one.
    Or,
    /// One of them.
    Xor,
}

impl Compute for Logic {
    fn name(&self) -> &'static str {
        match self {
            Logic::And => "and",
            Logic::Or => "or",
            Logic::Xor => "xor",
        }
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        match pairs::stretched(inputs, self.name())? {
            (shape, Dtype::Bool) => Ok(vec![(shape, Dtype::Bool)]),
            (_, got) => Err(TensorError::Dtype { expected: Dtype::Bool, got }.into()),
        }
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (a, b) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let output = moves::only(outputs, self.name())?;
        pairs::pairs(a, b, output, |a: bool, b: bool| match self {
            Logic::And => a & b,
            Logic::Or => a | b,
            Logic::Xor => a ^ b,
        })
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Logic {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Var};
    use crate::tensor::Tensor;

    #[test]
    fn the_truth_tables() {
        let a = Var::from(Tensor::from_vec(vec![false, true], [2, 1]).unwrap());
        let b = Var::from(Tensor::from_vec(vec![false, true], [2]).unwrap());
        let mut ctx = Ctx::eval();
        let mut table = |op| ctx.apply(op, &[&a, &b]).unwrap().value().to_vec::<bool>().unwrap();
        assert_eq!(table(Logic::And), [false, false, false, true]);
        assert_eq!(table(Logic::Or), [false, true, true, true]);
        assert_eq!(table(Logic::Xor), [false, true, true, false]);
        assert!(ctx.apply(Logic::And, &[&a, &Tensor::scalar(1.0).into()]).is_err());
    }
}
