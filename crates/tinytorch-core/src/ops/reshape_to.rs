//! Another shape, which is a value itself.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, GraphError, Inputs, Known, Properties, ViewMut, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// The elements of a value of any type in the shape that a list of integers names, as ONNX has it: 0 keeps
/// the dimension of the value in the same place, and -1, once, takes what is left.
#[derive(Clone, Copy, Debug)]
pub struct ReshapeTo;

fn target(x: &Shape, sizes: &[i64]) -> Result<Shape> {
    let op = "reshape";
    let wrong = |expected: &str| TensorError::Shape { op, shape: *x, expected: expected.into() };
    let mut dims = Vec::with_capacity(sizes.len());
    let mut open = None;
    for (axis, &size) in sizes.iter().enumerate() {
        dims.push(match usize::try_from(size) {
            Ok(0) => *x.get(axis).ok_or_else(|| wrong("a 0 must stand for a dimension it has"))?,
            Ok(size) => size,
            Err(_) if size == -1 && open.is_none() => {
                open = Some(axis);
                1
            }
            Err(_) => return Err(wrong("sizes are at least 0, but for one -1").into()),
        });
    }
    if let Some(axis) = open {
        let rest = Shape::new(&dims)?.len();
        dims[axis] = x.len().checked_div(rest).unwrap_or(0);
    }
    let shape = Shape::new(&dims)?;
    match shape.len() == x.len() {
        true => Ok(shape),
        false => Err(TensorError::Length { len: x.len(), shape }.into()),
    }
}

impl Compute for ReshapeTo {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn properties(&self) -> Properties {
        Properties { reshapes: true, selects: true, keeps_range: true, ..Properties::default() }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (x, sizes) = (known(inputs, 0, self.name())?, known(inputs, 1, self.name())?);
        Ok(vec![(target(&x.shape, &sizes.integers(self.name())?)?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        moves::copy(inputs.need(0, self.name())?, outputs, self.name())
    }

    fn cost(&self, _: &[Shape], _: &Shape) -> Cost {
        Cost::default()
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Exec) -> Result<Tensor> {
        let [x, sizes] = inputs else {
            let input = inputs.len().min(1);
            return Err(GraphError::MissingInput { op: self.name(), input }.into());
        };
        let dense = sizes.contiguous()?;
        x.reshape(target(x.shape(), &Known::all(&dense).integers(self.name())?)?)
    }
}

impl Op for ReshapeTo {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.reshape(*saved.shape(0))?), None])
    }
}

impl Var {
    /// The same elements in the shape that `sizes`, a list of integers, names: 0 keeps the dimension in the
    /// same place, and -1, once, takes what is left. In a traced model the sizes may follow the input's.
    ///
    /// # Errors
    /// [`TensorError::Length`] if the sizes differ, [`TensorError::Shape`] for a list that names none.
    pub fn reshape_to(&self, sizes: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(ReshapeTo, &[self, sizes])
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

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        gradcheck(|v, ctx| v[0].reshape_to(&list(&[0, -1, 2]), ctx), &x, 1e-3).unwrap();
    }

    #[test]
    fn zeros_keep_and_minus_1_takes_the_rest() {
        let x = Var::from(Tensor::zeros([2, 3, 4]).unwrap());
        let to = |sizes: &[i64]| {
            x.reshape_to(&list(sizes), &mut Ctx::eval()).map(|y| y.shape().dims().to_vec())
        };
        assert_eq!(to(&[0, -1]).unwrap(), [2, 12]);
        assert_eq!(to(&[-1]).unwrap(), [24]);
        assert_eq!(to(&[6, 0, 0]).err().map(|e| e.to_string().contains("fill")), Some(true));
        for bad in [&[-1, -1][..], &[5, -1], &[2, 3, 4, 0], &[-2, 12], &[i64::MAX, i64::MAX]] {
            assert!(to(bad).is_err(), "{bad:?}");
        }
    }
}
