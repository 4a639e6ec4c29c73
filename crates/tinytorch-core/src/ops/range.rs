//! Numbers at equal distances.

use super::{OpError, moves};
use crate::Result;
use crate::autograd::Op;
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, known};
use crate::tensor::{Dtype, Shape, TensorError};

/// The integers from the first input on, up to but without the second, at distances of the third: each is
/// one i64.
#[derive(Clone, Copy, Debug)]
pub struct Range;

fn single(list: &[i64]) -> Result<i64> {
    match list {
        [value] => Ok(*value),
        _ => Err(TensorError::NotScalar { shape: Shape::new(&[list.len()])? }.into()),
    }
}

impl Compute for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let number = |i: usize| single(&known(inputs, i, self.name())?.integers(self.name())?);
        let (start, end, step) = (number(0)?, number(1)?, number(2)?);
        if step == 0 {
            return Err(OpError::Integers { op: self.name(), left: start, right: step }.into());
        }
        // In 128 bits no difference overflows.
        let (span, step) = (i128::from(end) - i128::from(start), i128::from(step));
        let count =
            if span.signum() == step.signum() { (span - step.signum()) / step + 1 } else { 0 };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(vec![(Shape::new(&[count])?, Dtype::I64)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let number = |i: usize| single(&moves::integers(inputs.need(i, self.name())?)?);
        let (start, step) = (number(0)?, number(2)?);
        let out = moves::only(outputs, self.name())?.values::<i64>()?.iter_mut();
        // All lie between the first and the end.
        out.enumerate().for_each(|(i, out)| *out = start.wrapping_add(step.wrapping_mul(i as i64)));
        Ok(())
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        Cost { flops: 0, read: 0, written: 8 * output.len() as u64 }
    }
}

impl Op for Range {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::autograd::{Ctx, Var};

    fn range(numbers: [i64; 3]) -> Result<Vec<i64>> {
        let [a, b, c] = numbers.map(|v| Var::from(Tensor::from_vec(vec![v], []).unwrap()));
        Ctx::eval().apply(Range, &[&a, &b, &c])?.value().to_vec()
    }

    #[test]
    fn numbers_are_pythons() {
        assert_eq!(range([0, 7, 3]).unwrap(), [0, 3, 6]);
        assert_eq!(range([5, -1, -2]).unwrap(), [5, 3, 1]);
        assert_eq!(range([3, 3, 1]).unwrap(), [0i64; 0]);
        assert_eq!(range([3, 9, -1]).unwrap(), [0i64; 0]);
        assert_eq!(range([i64::MAX - 1, i64::MAX, 5]).unwrap(), [i64::MAX - 1]);
        assert!(range([0, 1, 0]).is_err());
        assert!(range([i64::MIN, i64::MAX, 1]).is_err());
    }
}
