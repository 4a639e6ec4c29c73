//! Values laid side by side.

use super::moves;
use super::sources::{self, Each, for_each_index, rows_of};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, ViewMut, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// A value of any type repeated as a whole along each axis, as often as a list of integers says. An entry's gradient is
/// the sum over its copies.
#[derive(Clone, Copy, Debug)]
pub struct Tile;

fn tiled(x: &Shape, times: &[i64]) -> Result<Shape> {
    let wrong = || TensorError::Shape {
        op: "tile",
        shape: *x,
        expected: "it needs a number of copies for each axis, none negative".into(),
    };
    if times.len() != x.rank() {
        return Err(wrong().into());
    }
    let size = |(&len, &times): (&usize, &i64)| usize::try_from(times).ok()?.checked_mul(len);
    let sizes = x.iter().zip(times).map(size).collect::<Option<Vec<_>>>();
    Ok(Shape::new(&sizes.ok_or_else(wrong)?)?)
}

fn for_each(x: &Shape, output: &Shape, each: Each<'_>) {
    let Some(last) = x.rank().checked_sub(1) else { return each(Some(0), 1) };
    let strides = x.strides();
    for_each_index(&rows_of(output), |index| {
        let places = index[..last].iter().zip(x.iter()).zip(strides);
        let row = places.map(|((at, len), stride)| at % len * stride).sum();
        for _ in 0..output[last].checked_div(x[last]).unwrap_or(0) {
            each(Some(row), x[last]);
        }
    });
}

impl Compute for Tile {
    fn name(&self) -> &'static str {
        "tile"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (x, times) = (known(inputs, 0, self.name())?, known(inputs, 1, self.name())?);
        Ok(vec![(tiled(&x.shape, &times.integers(self.name())?)?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (x, output) = (inputs.need(0, self.name())?, moves::only(outputs, self.name())?);
        let shape = output.shape;
        sources::gather(x, None, output, |each| for_each(&x.shape, &shape, each))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for Tile {
    fn saves(&self) -> Saves {
        Saves::Shapes
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (x, output) = (*saved.shape(0), *grad.shape());
        Ok(vec![Some(sources::give_back(&x, grad, |each| for_each(&x, &output, each))?), None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    fn list(values: &[i64]) -> Var {
        Var::from(Tensor::from_vec(values.to_vec(), [values.len()]).unwrap())
    }

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 3], 1.0, &mut Rng::seed(1)).unwrap()];
        gradcheck(|v, ctx| ctx.apply(Tile, &[&v[0], &list(&[2, 3])]), &x, 1e-3).unwrap();
    }

    #[test]
    fn copies_lie_side_by_side() {
        let x = Var::from(Tensor::from_vec(vec![1i64, 2], [1, 2]).unwrap());
        let mut ctx = Ctx::eval();
        let y = ctx.apply(Tile, &[&x, &list(&[2, 2])]).unwrap();
        assert_eq!(y.value().to_vec::<i64>().unwrap(), [1, 2, 1, 2, 1, 2, 1, 2]);
        assert_eq!(ctx.apply(Tile, &[&x, &list(&[0, 2])]).unwrap().shape().dims(), [0, 4]);
        assert!(ctx.apply(Tile, &[&x, &list(&[2])]).is_err());
        assert!(ctx.apply(Tile, &[&x, &list(&[-1, 1])]).is_err());
        assert!(ctx.apply(Tile, &[&x, &list(&[i64::MAX, i64::MAX])]).is_err());
    }
}
