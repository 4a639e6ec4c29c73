//! Triangles of matrices.

use super::moves;
use super::sources::{self, Each, for_each_index};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// The entries of matrices `[.., m, n]` of any type on one side of a diagonal and on it; the others are 0. The second
/// input, if it is given, is one integer, how far to the right of the main diagonal it lies. Entries that stay get their
/// gradient.
#[derive(Clone, Copy, Debug)]
pub struct Triangle {
    /// Whether what lies above and right stays, rather than what lies below and left.
    pub upper: bool,
}

impl Triangle {
    fn for_each(self, x: &Shape, diagonal: i64, each: Each<'_>) {
        let mut from = 0;
        for_each_index(x, |index| {
            if let [.., row, column] = index {
                let right = (*column as i64).saturating_sub(*row as i64).saturating_sub(diagonal);
                let stays = if self.upper { right >= 0 } else { right <= 0 };
                each(stays.then_some(from), 1);
            }
            from += 1;
        });
    }
}

fn single(values: &[i64]) -> Result<i64> {
    match values {
        [one] => Ok(*one),
        _ => Err(TensorError::NotScalar { shape: Shape::new(&[values.len()])? }.into()),
    }
}

impl Compute for Triangle {
    fn name(&self) -> &'static str {
        "triangle"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let x = known(inputs, 0, self.name())?;
        if x.shape.rank() < 2 {
            let expected = "matrices have two dimensions".into();
            return Err(TensorError::Shape { op: self.name(), shape: x.shape, expected }.into());
        }
        Ok(vec![(x.shape, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (x, output) = (inputs.need(0, self.name())?, moves::only(outputs, self.name())?);
        let diagonal = match inputs.get(1) {
            Some(diagonal) => single(&moves::integers(diagonal)?)?,
            None => 0,
        };
        sources::gather(x, None, output, |each| self.for_each(&x.shape, diagonal, each))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Triangle {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let x = *saved.shape(0);
        let has = saved.inputs_len() > 1 && saved.has(1);
        let diagonal = if has { single(&saved.input(1)?.to_vec::<i64>()?)? } else { 0 };
        let mut grads = vec![None; saved.inputs_len()];
        grads[0] = Some(sources::give_back(&x, grad, |each| self.for_each(&x, diagonal, each))?);
        Ok(grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        let one = Var::from(Tensor::from_vec(vec![-1i64], []).unwrap());
        for upper in [false, true] {
            gradcheck(|v, ctx| ctx.apply(Triangle { upper }, &[&v[0], &one]), &x, 1e-3).unwrap();
        }
    }

    /// Values of `numpy.triu` and `numpy.tril`.
    #[test]
    fn sides() {
        let x = Var::from(Tensor::from_vec((1..7i64).collect(), [2, 3]).unwrap());
        let side = |upper, diagonal: i64| {
            let diagonal = Var::from(Tensor::from_vec(vec![diagonal], [1]).unwrap());
            let y = Ctx::eval().apply(Triangle { upper }, &[&x, &diagonal]).unwrap();
            y.value().to_vec::<i64>().unwrap()
        };
        assert_eq!(side(true, 0), [1, 2, 3, 0, 5, 6]);
        assert_eq!(side(true, 1), [0, 2, 3, 0, 0, 6]);
        assert_eq!(side(false, 0), [1, 0, 0, 4, 5, 0]);
        assert_eq!(side(false, i64::MIN), [0; 6]);
        assert!(
            Ctx::eval()
                .apply(Triangle { upper: true }, &[&Tensor::ones([3]).unwrap().into()])
                .is_err()
        );
    }
}
