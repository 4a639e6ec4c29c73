//! Positions as vectors.

use super::moves;
use crate::Result;
use crate::autograd::Op;
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, Shape, TensorError};

/// For each of some positions, a vector along a new axis with one value there and another elsewhere. Inputs: positions
/// (any numbers, negative ones counted from the end; one outside of the vector is nowhere), the length of the vectors
/// (one integer), and the two values, first that of elsewhere, of any type.
#[derive(Clone, Copy, Debug)]
pub struct OneHot {
    /// Where the new axis stands, counted from the end of the result if it is negative.
    pub axis: i64,
}

impl OneHot {
    fn result(self, positions: &Shape, depth: &[i64]) -> Result<(Shape, usize)> {
        let op = self.name();
        let rank = positions.rank() + 1;
        let axis = moves::position(self.axis, rank, op)?;
        let &[depth] = depth else {
            return Err(TensorError::NotScalar { shape: Shape::new(&[depth.len()])? }.into());
        };
        let depth = usize::try_from(depth).map_err(|_| {
            let expected = format!("vectors cannot be of length {depth}");
            TensorError::Shape { op, shape: *positions, expected }
        })?;
        let mut sizes = positions.to_vec();
        sizes.insert(axis, depth);
        Ok((Shape::new(&sizes)?, axis))
    }
}

impl Compute for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn inputs_needed(&self) -> usize {
        3
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let op = self.name();
        let (positions, depth, values) =
            (known(inputs, 0, op)?, known(inputs, 1, op)?, known(inputs, 2, op)?);
        if values.shape.len() != 2 {
            let expected = "there are two values, of elsewhere and of the position".into();
            return Err(TensorError::Shape { op, shape: values.shape, expected }.into());
        }
        let (shape, _) = self.result(&positions.shape, &depth.integers(op)?)?;
        Ok(vec![(shape, values.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed, P: Viewed>(
            axis: usize,
            positions: &View<'_>,
            values: &View<'_>,
            output: &mut ViewMut<'_>,
        ) -> Result<()> {
            let (shape, values) = (output.shape, values.values::<T>()?);
            let (depth, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
            let out = output.values::<T>()?;
            out.fill(values[0]);
            for (i, position) in positions.values::<P>()?.iter().enumerate() {
                let (outer, within) = (i / inner.max(1), i % inner.max(1));
                if let Ok(at) = moves::position(position.to_i64(), depth, "one_hot") {
                    out[(outer * depth + at) * inner + within] = values[1];
                }
            }
            Ok(())
        }
        let op = self.name();
        let (positions, values) = (inputs.need(0, op)?, inputs.need(2, op)?);
        let depth = moves::integers(inputs.need(1, op)?)?;
        let (_, axis) = self.result(&positions.shape, &depth)?;
        let output = moves::only(outputs, op)?;
        for_dtype!(values.dtype(), T => {
            for_dtype!(positions.dtype(), P => of::<T, P>(axis, positions, values, output))
        })
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }
}

impl Op for OneHot {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Var};
    use crate::tensor::Tensor;

    #[test]
    fn positions_of_both_ends_and_of_none() {
        let positions = Var::from(Tensor::from_vec(vec![0i64, -1, 5], [3]).unwrap());
        let depth = |n: i64| Var::from(Tensor::from_vec(vec![n], []).unwrap());
        let values = Var::from(Tensor::from_vec(vec![0.0, 1.0], [2]).unwrap());
        let mut ctx = Ctx::eval();
        let y = ctx.apply(OneHot { axis: -1 }, &[&positions, &depth(3), &values]).unwrap();
        assert_eq!(y.shape().dims(), [3, 3]);
        assert_eq!(
            y.value().to_vec::<f32>().unwrap(),
            [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
        );
        let y = ctx.apply(OneHot { axis: 0 }, &[&positions, &depth(2), &values]).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(ctx.apply(OneHot { axis: 2 }, &[&positions, &depth(2), &values]).is_err());
        assert!(ctx.apply(OneHot { axis: 0 }, &[&positions, &depth(-2), &values]).is_err());
    }
}
