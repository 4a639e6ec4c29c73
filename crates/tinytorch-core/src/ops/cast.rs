//! Other element types.

use super::moves;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Compute, Cost, Exec, Inputs, Known, View, ViewMut, Viewed, for_dtype, known};
use crate::tensor::{Dtype, Shape, Tensor};

/// The same values as another element type: integers are the floats without their fraction, saturating at
/// their limits, and every number but 0 is true. Between floats the gradient passes; to and from integers
/// there is none.
#[derive(Clone, Copy, Debug)]
pub struct Cast(pub Dtype);

/// Integers pass to integers exactly, through no float.
fn cast<T: Viewed, U: Viewed>(x: &View<'_>, output: &mut ViewMut<'_>) -> Result<()> {
    let x = x.values::<T>()?;
    let integers = |dtype: Dtype| !matches!(dtype, Dtype::F32 | Dtype::Bool);
    let out = output.values::<U>()?;
    if integers(T::DTYPE) && integers(U::DTYPE) {
        out.iter_mut().zip(x).for_each(|(y, x)| *y = U::from_i64(x.to_i64()));
    } else {
        out.iter_mut().zip(x).for_each(|(y, x)| *y = U::from_f64(x.to_f64()));
    }
    Ok(())
}

impl Compute for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        Ok(vec![(known(inputs, 0, self.name())?.shape, self.0)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let (x, output) = (inputs.need(0, self.name())?, moves::only(outputs, self.name())?);
        for_dtype!(x.dtype(), T => for_dtype!(self.0, U => cast::<T, U>(x, output)))
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 1)
    }
}

impl Op for Cast {
    fn backward(&self, _: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![(self.0 == Dtype::F32).then(|| grad.clone())])
    }
}

impl Var {
    /// The same values as another element type; see [`Cast`].
    ///
    /// # Errors
    /// None in practice.
    pub fn cast(&self, dtype: Dtype, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Cast(dtype), &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_go_limits_hold_and_integers_stay_exact() {
        let mut ctx = Ctx::eval();
        let x = Var::from(Tensor::from_vec(vec![-1.9, 0.0, 2.5, 1e30], [4]).unwrap());
        let i32s = x.cast(Dtype::I32, &mut ctx).unwrap();
        assert_eq!(i32s.value().to_vec::<i32>().unwrap(), [-1, 0, 2, i32::MAX]);
        let flags = x.cast(Dtype::Bool, &mut ctx).unwrap();
        assert_eq!(flags.value().to_vec::<bool>().unwrap(), [true, false, true, true]);
        let back = flags.cast(Dtype::F32, &mut ctx).unwrap();
        assert_eq!(back.value().to_vec::<f32>().unwrap(), [1.0, 0.0, 1.0, 1.0]);
        // 2^53 + 1 is no f64.
        let large = Var::from(Tensor::from_vec(vec![(1i64 << 53) + 1], [1]).unwrap());
        let same = large.cast(Dtype::I64, &mut ctx).unwrap();
        assert_eq!(same.value().to_vec::<i64>().unwrap(), [(1i64 << 53) + 1]);
    }
}
