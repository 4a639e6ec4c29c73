//! An entry for each place, which an index at that place names.

use super::moves;
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};

/// For each place of the indices the entry of the same place but along an axis, where the index says which, negative ones
/// counted from the end; of values of any type. Indices have as many axes as the values, and no more entries along the
/// others. An entry's gradient is the sum over the places that it went to.
#[derive(Clone, Copy, Debug)]
pub struct GatherElements {
    /// The axis.
    pub axis: usize,
}

impl GatherElements {
    fn shape(self, x: &Shape, indices: &Shape) -> Result<Shape> {
        let op = self.name();
        if self.axis >= x.rank() {
            return Err(TensorError::Axis { op, axis: self.axis, shape: *x }.into());
        }
        let mut sizes = indices.iter().zip(x.iter()).enumerate();
        let fits = sizes.all(|(axis, (count, len))| axis == self.axis || count <= len);
        match fits && indices.rank() == x.rank() {
            true => Ok(*indices),
            false => Err(TensorError::Mismatch {
                op,
                left: *x,
                right: *indices,
                expected: "indices have as many axes as the values, and no more entries along others than the one named",
            }
            .into()),
        }
    }

    /// Calls `f(to, from)` with the offsets of every entry.
    fn for_each(
        self,
        x: &Shape,
        indices: &View<'_>,
        mut f: impl FnMut(usize, usize),
    ) -> Result<()> {
        let named = moves::integers(indices)?;
        let mut place = vec![0; x.rank()];
        for (to, &index) in named.iter().enumerate() {
            let at = moves::position(index, x[self.axis], self.name())?;
            let along = |axis: usize| if axis == self.axis { at } else { place[axis] };
            f(to, (0..x.rank()).fold(0, |from, axis| from * x[axis] + along(axis)));
            for axis in (0..place.len()).rev() {
                place[axis] += 1;
                if place[axis] < indices.shape[axis] {
                    break;
                }
                place[axis] = 0;
            }
        }
        Ok(())
    }
}

impl Compute for GatherElements {
    fn name(&self) -> &'static str {
        "gather_elements"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (x, indices) = (known(inputs, 0, self.name())?, known(inputs, 1, self.name())?);
        Ok(vec![(GatherElements::shape(*self, &x.shape, &indices.shape)?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed>(
            op: GatherElements,
            x: &View<'_>,
            indices: &View<'_>,
            output: &mut ViewMut<'_>,
        ) -> Result<()> {
            let (values, out) = (x.values::<T>()?, output.values::<T>()?);
            op.for_each(&x.shape, indices, |to, from| out[to] = values[from])
        }
        let (x, indices) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let output = moves::only(outputs, self.name())?;
        for_dtype!(x.dtype(), T => of::<T>(*self, x, indices, output))
    }

    fn cost(&self, _: &[Shape], output: &Shape) -> Cost {
        let bytes = 4 * output.len() as u64;
        Cost { flops: 0, read: bytes, written: bytes }
    }
}

impl Op for GatherElements {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (shape, indices) = (*saved.shape(0), saved.input(1)?.contiguous()?);
        let dense = grad.contiguous()?;
        let g = dense.as_slice::<f32>()?;
        let mut dx = vec![0f32; shape.len()];
        self.for_each(&shape, &View::of(&indices)?, |to, from| dx[from] += g[to])?;
        Ok(vec![Some(Tensor::from_vec(dx, shape)?), None])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    fn gathered(x: &Var, axis: usize, indices: Vec<i64>, shape: [usize; 2]) -> Result<Var> {
        let indices = Var::from(Tensor::from_vec(indices, shape)?);
        Ctx::eval().apply(GatherElements { axis }, &[x, &indices])
    }

    /// The examples of ONNX's definition.
    #[test]
    fn each_place_names_its_entry() {
        let x = Var::from(Tensor::from_vec(vec![1i64, 2, 3, 4], [2, 2]).unwrap());
        let y = gathered(&x, 1, vec![0, 0, 1, 0], [2, 2]).unwrap();
        assert_eq!(y.value().to_vec::<i64>().unwrap(), [1, 1, 4, 3]);
        let x = Var::from(Tensor::arange(9).unwrap().reshape([3, 3]).unwrap());
        let y = gathered(&x, 0, vec![1, 2, 0, -1, 0, 0], [2, 3]).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [3.0, 7.0, 2.0, 6.0, 1.0, 2.0]);
        assert_eq!(gathered(&x, 0, vec![], [0, 3]).unwrap().shape().dims(), [0, 3]);
    }

    #[test]
    fn what_names_no_entry_is_refused() {
        let x = Var::from(Tensor::arange(6).unwrap().reshape([2, 3]).unwrap());
        for bad in [2, -3, i64::MIN] {
            let error = gathered(&x, 0, vec![bad], [1, 1]).unwrap_err();
            assert!(error.to_string().contains("outside 0..2"), "{error}");
        }
        assert!(gathered(&x, 2, vec![0], [1, 1]).is_err());
        assert!(gathered(&x, 0, vec![0; 4], [1, 4]).is_err(), "more entries along another axis");
        let flat = Var::from(Tensor::from_vec(vec![0i64], [1]).unwrap());
        assert!(Ctx::eval().apply(GatherElements { axis: 0 }, &[&x, &flat]).is_err());
    }

    #[test]
    fn gradients() {
        let x = [Tensor::randn([3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        let indices = Var::from(Tensor::from_vec(vec![1i64, -1, 1, 0], [2, 2]).unwrap());
        for axis in 0..2 {
            let op = GatherElements { axis };
            gradcheck(|v, ctx| ctx.apply(op, &[&v[0], &indices]), &x, 1e-3).unwrap();
        }
    }
}
