//! Comparisons.

use super::{moves, pairs};
use crate::Result;
use crate::autograd::Op;
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, for_dtype};
use crate::tensor::{Dtype, Element, Shape};

/// Whether two values of one type compare like this, element by element, broadcasting: truth values. Nothing
/// compares with NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `a = b`.
    Equal,
    /// `a < b`.
    Less,
    /// `a <= b`.
    LessOrEqual,
    /// `a > b`.
    Greater,
    /// `a >= b`.
    GreaterOrEqual,
}

impl Compare {
    fn holds<T: Element>(self, a: T, b: T) -> bool {
        match self {
            Compare::Equal => a == b,
            Compare::Less => a < b,
            Compare::LessOrEqual => a <= b,
            Compare::Greater => a > b,
            Compare::GreaterOrEqual => a >= b,
        }
    }
}

impl Compute for Compare {
    fn name(&self) -> &'static str {
        match self {
            Compare::Equal => "equal",
            Compare::Less => "less",
            Compare::LessOrEqual => "less_or_equal",
            Compare::Greater => "greater",
            Compare::GreaterOrEqual => "greater_or_equal",
        }
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (shape, _) = pairs::stretched(inputs, self.name())?;
        Ok(vec![(shape, Dtype::Bool)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (a, b) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let output = moves::only(outputs, self.name())?;
        for_dtype!(a.dtype(), T => pairs::pairs(a, b, output, |a: T, b: T| self.holds(a, b)))
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Compare {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Var};
    use crate::tensor::Tensor;

    #[test]
    fn comparisons_of_any_type_and_nan() {
        let mut ctx = Ctx::eval();
        let mut holds = |op: Compare, a: &Tensor, b: &Tensor| {
            let y = ctx.apply(op, &[&Var::from(a), &Var::from(b)]).unwrap();
            y.value().to_vec::<bool>().unwrap()
        };
        let a = Tensor::from_vec(vec![1i64, 2, 3], [3]).unwrap();
        let b = Tensor::from_vec(vec![2i64], [1]).unwrap();
        assert_eq!(holds(Compare::Equal, &a, &b), [false, true, false]);
        assert_eq!(holds(Compare::Less, &a, &b), [true, false, false]);
        assert_eq!(holds(Compare::LessOrEqual, &a, &b), [true, true, false]);
        assert_eq!(holds(Compare::Greater, &a, &b), [false, false, true]);
        assert_eq!(holds(Compare::GreaterOrEqual, &a, &b), [false, true, true]);
        let nan = Tensor::scalar(f32::NAN);
        assert_eq!(holds(Compare::Equal, &nan, &nan), [false]);
        let wrong = ctx.apply(Compare::Equal, &[&Var::from(a), &Var::from(nan)]);
        assert!(wrong.unwrap_err().to_string().contains("expected a tensor of i64"));
    }
}
