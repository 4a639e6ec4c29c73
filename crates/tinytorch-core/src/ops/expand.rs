//! Values repeated to a shape that is a value itself.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError, view};

/// A value of any type stretched together with the shape that a list of integers names, as ONNX has it: axes
/// of size 1 of either take the size of the other. The gradient of what was repeated is the sum.
#[derive(Clone, Copy, Debug)]
pub struct Expand;

/// The shape that a list of sizes names.
pub(super) fn shape_of(sizes: &[i64], op: &'static str) -> Result<Shape> {
    let dims: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    match dims {
        Some(dims) => Ok(Shape::new(&dims)?),
        None => {
            let expected = format!("the sizes {sizes:?} must not be negative");
            Err(TensorError::Shape { op, shape: Shape::new(&[sizes.len()])?, expected }.into())
        }
    }
}

impl Compute for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (x, sizes) = (known(inputs, 0, self.name())?, known(inputs, 1, self.name())?);
        let to = shape_of(&sizes.integers(self.name())?, self.name())?;
        Ok(vec![(x.shape.broadcast(&to, self.name())?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(x: &View<'_>, output: &mut ViewMut<'_>) -> Result<()> {
            let shape = output.shape;
            let strides = view::stretched_strides(&x.shape, &shape);
            view::copy_strided(&shape, &strides, 0, x.values::<T>()?, output.values::<T>()?);
            Ok(())
        }
        let (x, output) = (inputs.need(0, self.name())?, moves::only(outputs, self.name())?);
        for_dtype!(x.dtype(), T => of::<T>(x, output))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Expand {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.sum_to(saved.shape(0))?), None])
    }
}

impl Var {
    /// Stretched together with the shape that `sizes`, a list of integers, names; see [`Expand`].
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if the shapes do not broadcast.
    pub fn expand(&self, sizes: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Expand, &[self, sizes])
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
        let x = [Tensor::randn([3, 1], 1.0, &mut Rng::seed(1)).unwrap()];
        gradcheck(|v, ctx| v[0].expand(&list(&[2, 1, 4]), ctx), &x, 1e-3).unwrap();
    }

    #[test]
    fn both_sides_stretch() {
        let x = Var::from(Tensor::from_vec(vec![true, false], [2, 1]).unwrap());
        let y = x.expand(&list(&[1, 3]), &mut Ctx::eval()).unwrap();
        assert_eq!(y.value().to_vec::<bool>().unwrap(), [true, true, true, false, false, false]);
        assert!(x.expand(&list(&[3, 3]), &mut Ctx::eval()).is_err());
        assert!(x.expand(&list(&[-1, 3]), &mut Ctx::eval()).is_err());
    }
}
