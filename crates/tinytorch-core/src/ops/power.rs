//! Powers of values by values.

use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{
    Compute, Cost, Exec, Inputs, Known, Properties, View, ViewMut, Viewed, for_dtype, known,
};
use crate::tensor::{Dtype, Shape, Tensor, view};

/// `a^b` element by element, broadcasting; the operands may be of different types, and the result has that of
/// the first. `da = g b a^(b - 1)`, `db = g a^b ln a`.
#[derive(Clone, Copy, Debug)]
pub struct Power;

/// `a^b`; of integers exactly, as long as the result fits.
fn power<T: Viewed, U: Viewed>(a: T, b: U) -> T {
    let is_integer = |dtype: Dtype| dtype != Dtype::F32;
    if is_integer(T::DTYPE) && is_integer(U::DTYPE) {
        let (base, exponent) = (a.to_i64(), b.to_i64());
        return match u32::try_from(exponent) {
            Ok(exponent) => T::from_i64(base.wrapping_pow(exponent)),
            Err(_) => T::from_f64((base as f64).powf(exponent as f64)),
        };
    }
    if T::DTYPE == Dtype::F32 {
        return T::from_f64(f64::from((a.to_f64() as f32).powf(b.to_f64() as f32)));
    }
    T::from_f64(a.to_f64().powf(b.to_f64()))
}

impl Compute for Power {
    fn name(&self) -> &'static str {
        "power"
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, ..Properties::default() }
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let op = self.name();
        let (a, b) = (known(inputs, 0, op)?, known(inputs, 1, op)?);
        if let Some(got) = [a.dtype, b.dtype].into_iter().find(|dtype| *dtype == Dtype::Bool) {
            return Err(OpError::Type { op, got }.into());
        }
        Ok(vec![(a.shape.broadcast(&b.shape, op)?, a.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        fn of<T: Viewed, U: Viewed>(
            a: &View<'_>,
            b: &View<'_>,
            output: &mut ViewMut<'_>,
        ) -> Result<()> {
            let (x, y, shape) = (a.values::<T>()?, b.values::<U>()?, output.shape);
            let strides = [&a.shape, &b.shape].map(|from| view::stretched_strides(from, &shape));
            let mut out = output.values::<T>()?.iter_mut();
            let operands = [(&strides[0], 0), (&strides[1], 0)];
            view::for_each_row(&shape, operands, |[i, j], [si, sj], n| {
                for (k, out) in (0..n).zip(&mut out) {
                    *out = power(x[i + k * si], y[j + k * sj]);
                }
            });
            Ok(())
        }
        let (a, b) = (inputs.need(0, self.name())?, inputs.need(1, self.name())?);
        let output = moves::only(outputs, self.name())?;
        for_dtype!(a.dtype(), T => for_dtype!(b.dtype(), U => of::<T, U>(a, b, output)))
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 20)
    }
}

impl Op for Power {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (a, b) = (saved.input(0)?, saved.input(1)?.to_dtype::<f32>()?);
        let give = |i: usize, slope: &dyn Fn(f32, f32) -> f32| match saved.needs(i) {
            true => {
                let slope = a.zip(&b, self.name(), slope)?;
                grad.mul(&slope)?.sum_to(saved.shape(i)).map(Some)
            }
            false => Ok(None),
        };
        let of_base = |a: f32, b: f32| if b == 0.0 { 0.0 } else { b * a.powf(b - 1.0) };
        let of_exponent = |a: f32, b: f32| if a > 0.0 { a.powf(b) * a.ln() } else { 0.0 };
        Ok(vec![give(0, &of_base)?, give(1, &of_exponent)?])
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
        let x = Tensor::rand([2, 3], 0.5, 2.0, &mut rng).unwrap();
        let y = Tensor::randn([1, 3], 1.0, &mut rng).unwrap();
        gradcheck(|v, ctx| ctx.apply(Power, &[&v[0], &v[1]]), &[x, y], 1e-3).unwrap();
    }

    #[test]
    fn the_first_operand_gives_the_type() {
        let mut ctx = Ctx::eval();
        let a = Var::from(Tensor::from_vec(vec![2i64, -3], [2]).unwrap());
        let b = Var::from(Tensor::from_vec(vec![3f32, 2.0], [2]).unwrap());
        let y = ctx.apply(Power, &[&a, &b]).unwrap();
        assert_eq!(y.value().to_vec::<i64>().unwrap(), [8, 9]);
        let y = ctx.apply(Power, &[&b, &a]).unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [9.0, 0.125]);
        let flag = Var::from(Tensor::from_vec(vec![true], [1]).unwrap());
        assert!(ctx.apply(Power, &[&a, &flag]).is_err());
    }
}
