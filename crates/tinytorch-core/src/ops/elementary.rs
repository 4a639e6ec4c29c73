//! Elementary functions of every element, and arithmetic with a number.

use super::pointwise::Pointwise;
use crate::Result;
use crate::autograd::{Ctx, Var};
use tinytorch_kernels::f32::Function;
use tinytorch_kernels::f32::functions::{Abs, Affine, Exp, Log, Neg, Sqrt};
use tinytorch_kernels::isa::Simd;

/// `min(max(x, low), high)`; the derivative is 1 from `low` to `high` and 0 outside. NaN stays NaN.
#[derive(Clone, Copy, Debug)]
pub struct Clamp {
    /// The smallest output.
    pub low: f32,
    /// The largest output.
    pub high: f32,
}

impl Function for Clamp {
    const COST: usize = 2;

    #[inline(always)]
    fn value<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        s.min(s.splat(self.high), s.max(s.splat(self.low), x))
    }

    #[inline(always)]
    fn derivative<S: Simd>(self, s: S, x: S::F32) -> S::F32 {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        let below = s.select(s.le(x, s.splat(self.high)), one, zero);
        s.select(s.le(s.splat(self.low), x), below, zero)
    }

    fn bounds(self) -> Option<[f32; 2]> {
        Some([self.low, self.high])
    }
}

impl Var {
    /// `e^x` of every element.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the value is f32.
    pub fn exp(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "exp", f: Exp }, &[self])
    }

    /// The natural logarithm of every element: minus infinity at 0, NaN below.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn ln(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "ln", f: Log }, &[self])
    }

    /// The square root of every element: NaN below 0.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn sqrt(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "sqrt", f: Sqrt }, &[self])
    }

    /// The absolute value of every element; the derivative at 0 is 0.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn abs(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "abs", f: Abs }, &[self])
    }

    /// Every element negated.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn neg(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "neg", f: Neg }, &[self])
    }

    /// Every element plus a number.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn add_scalar(&self, shift: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "add_scalar", f: Affine { scale: 1.0, shift } }, &[self])
    }

    /// Every element times a number.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn mul_scalar(&self, scale: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "mul_scalar", f: Affine { scale, shift: 0.0 } }, &[self])
    }

    /// Every element moved into `low..=high`; NaN stays NaN.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn clamp(&self, low: f32, high: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "clamp", f: Clamp { low, high } }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointwise::check;
    use super::*;
    use crate::Tensor;

    #[test]
    fn gradients() {
        const BOTH_SIGNS: [f32; 5] = [-2.0, -0.7, 0.4, 1.0, 2.5];
        const POSITIVE: [f32; 4] = [0.4, 0.9, 1.5, 3.0];
        check(|x, ctx| x.exp(ctx), &BOTH_SIGNS);
        check(|x, ctx| x.ln(ctx), &POSITIVE);
        check(|x, ctx| x.sqrt(ctx), &POSITIVE);
        check(|x, ctx| x.abs(ctx), &BOTH_SIGNS);
        check(|x, ctx| x.neg(ctx), &BOTH_SIGNS);
        check(|x, ctx| x.add_scalar(3.0, ctx), &BOTH_SIGNS);
        check(|x, ctx| x.mul_scalar(-3.0, ctx), &BOTH_SIGNS);
        check(|x, ctx| x.clamp(-1.0, 1.5, ctx), &BOTH_SIGNS);
    }

    #[test]
    fn clamping_keeps_what_is_inside_and_does_not_hide_nan() {
        let x = Tensor::from_vec(vec![-3.0, -1.0, 0.5, 2.0, f32::NAN], [5]).unwrap();
        let y = Var::from(x).clamp(-1.0, 1.0, &mut Ctx::eval()).unwrap();
        let values = y.value().to_vec::<f32>().unwrap();
        assert_eq!(values[..4], [-1.0, -1.0, 0.5, 1.0]);
        assert!(values[4].is_nan());
    }
}
