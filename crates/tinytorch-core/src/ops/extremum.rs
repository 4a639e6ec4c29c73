//! The larger or smaller of two values.

use super::{moves, pairs};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, Properties, ViewMut, for_dtype};
use crate::tensor::{Dtype, Element, Shape, Tensor};

/// The larger or the smaller of two values of one type, element by element, broadcasting. NaN wins. The gradient
/// goes to the value that was taken, to the first of two equal ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extremum {
    /// The larger.
    Max,
    /// The smaller.
    Min,
}

impl Extremum {
    /// Whether `a` is taken.
    fn takes_first<T: Element>(self, a: T, b: T) -> bool {
        let is_nan = |v: T| v.partial_cmp(&v).is_none();
        let wins = match self {
            Extremum::Max => a >= b,
            Extremum::Min => a <= b,
        };
        is_nan(a) || (wins && !is_nan(b))
    }
}

impl Compute for Extremum {
    fn name(&self) -> &'static str {
        match self {
            Extremum::Max => "max",
            Extremum::Min => "min",
        }
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, keeps_range: true, ..Properties::default() }
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        Ok(vec![pairs::stretched(inputs, self.name())?])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (a, b) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let output = moves::only(outputs, self.name())?;
        for_dtype!(a.dtype(), T => {
            pairs::pairs(a, b, output, |a: T, b: T| if self.takes_first(a, b) { a } else { b })
        })
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Extremum {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (saved.input(0)?, saved.input(1)?);
        let first = a.zip(b, self.name(), |a, b| f32::from(self.takes_first(a, b)))?;
        let give = |i: usize, share: Tensor| match saved.needs(i) {
            true => grad.mul(&share)?.sum_to(saved.shape(i)).map(Some),
            false => Ok(None),
        };
        let second = first.map(|share| 1.0 - share)?;
        Ok(vec![give(0, first)?, give(1, second)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    #[test]
    fn gradients() {
        let mut rng = Rng::seed(1);
        for (a, b) in [([2, 3], [2, 3]), ([2, 1], [1, 3])] {
            let inputs = [a, b].map(|shape| Tensor::randn(shape, 1.0, &mut rng).unwrap());
            for op in [Extremum::Max, Extremum::Min] {
                gradcheck(|v, ctx| ctx.apply(op, &[&v[0], &v[1]]), &inputs, 1e-3).unwrap();
            }
        }
    }

    #[test]
    fn nan_wins_and_integers_stay() {
        let mut ctx = Ctx::eval();
        let floats = |values: Vec<f32>| Var::from(Tensor::from_vec(values, [2]).unwrap());
        let (a, b) = (floats(vec![f32::NAN, 1.0]), floats(vec![0.0, f32::NAN]));
        for op in [Extremum::Max, Extremum::Min] {
            let y = ctx.apply(op, &[&a, &b]).unwrap().value().to_vec::<f32>().unwrap();
            assert!(y.iter().all(|v| v.is_nan()));
        }
        let bytes = |values: Vec<u8>| Var::from(Tensor::from_vec(values, [2]).unwrap());
        let y = ctx.apply(Extremum::Max, &[&bytes(vec![1, 9]), &bytes(vec![3, 2])]).unwrap();
        assert_eq!(y.value().to_vec::<u8>().unwrap(), [3, 9]);
    }
}
