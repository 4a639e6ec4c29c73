//! Remainders.

use super::{OpError, moves, pairs};
use crate::Result;
use crate::autograd::Op;
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, Viewed};
use crate::tensor::{Dtype, Shape};

/// What is left of `a / b`, element by element, broadcasting: with the sign of `b`, as Python's `%`, or with that
/// of `a`, as C's `fmod`.
#[derive(Clone, Copy, Debug)]
pub struct Remainder {
    /// Whether the sign is that of the first operand.
    pub like_first: bool,
}

impl Remainder {
    fn integer<T: Viewed>(self, a: T, b: T) -> T {
        let (a, b) = (a.to_i64(), b.to_i64());
        // Division by 0 leaves 0, as in NumPy; it is refused before for the elements of a list of sizes.
        let rest = a.checked_rem(b).unwrap_or(0);
        let turned = !self.like_first && rest != 0 && (rest < 0) != (b < 0);
        T::from_i64(if turned { rest + b } else { rest })
    }

    fn float(self, a: f32, b: f32) -> f32 {
        let rest = a % b;
        let turned = !self.like_first && rest != 0.0 && (rest < 0.0) != (b < 0.0);
        if turned { rest + b } else { rest }
    }
}

impl Compute for Remainder {
    fn name(&self) -> &'static str {
        "remainder"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        match pairs::stretched(inputs, self.name())? {
            (_, got @ Dtype::Bool) => Err(OpError::Type { op: self.name(), got }.into()),
            output => Ok(vec![output]),
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
        match a.dtype() {
            Dtype::I64 => pairs::pairs(a, b, output, |a: i64, b| self.integer(a, b)),
            Dtype::I32 => pairs::pairs(a, b, output, |a: i32, b| self.integer(a, b)),
            Dtype::U8 => pairs::pairs(a, b, output, |a: u8, b| self.integer(a, b)),
            Dtype::I8 => pairs::pairs(a, b, output, |a: i8, b| self.integer(a, b)),
            Dtype::F32 | Dtype::Bool => pairs::pairs(a, b, output, |a: f32, b| self.float(a, b)),
        }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 4)
    }
}

impl Op for Remainder {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Var};
    use crate::tensor::Tensor;

    /// Values of Python's `%` and of `math.fmod`.
    #[test]
    fn signs() {
        let mut ctx = Ctx::eval();
        let ints = |v: [i64; 4]| Var::from(Tensor::from_vec(v.to_vec(), [4]).unwrap());
        let (a, b) = (ints([7, -7, 7, -7]), ints([3, 3, -3, -3]));
        let mut rest = |like_first| {
            let y = ctx.apply(Remainder { like_first }, &[&a, &b]).unwrap();
            y.value().to_vec::<i64>().unwrap()
        };
        assert_eq!(rest(false), [1, 2, -2, -1]);
        assert_eq!(rest(true), [1, -1, 1, -1]);
        let (a, b) = (Var::from(Tensor::scalar(-7.5)), Var::from(Tensor::scalar(2.0)));
        let y = ctx.apply(Remainder { like_first: false }, &[&a, &b]).unwrap();
        assert_eq!(y.value().item().unwrap(), 0.5);
    }
}
