//! Elementary functions of every element, and arithmetic with a number.

use super::pointwise::{Function, Pointwise, Slope};
use crate::Result;
use crate::autograd::{Ctx, Var};

/// `e^x`, its own derivative.
#[derive(Clone, Copy, Debug)]
struct Exp;

impl Function for Exp {
    const NAME: &'static str = "exp";
    const OPERATIONS: u64 = 10;
    const SLOPE: Slope = Slope::OfOutput;

    fn value(self, x: f32) -> f32 {
        x.exp()
    }
    fn slope(self, y: f32) -> f32 {
        y
    }
}

/// The natural logarithm; the derivative is `1 / x`.
#[derive(Clone, Copy, Debug)]
struct Ln;

impl Function for Ln {
    const NAME: &'static str = "ln";
    const OPERATIONS: u64 = 10;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        x.ln()
    }
    fn slope(self, x: f32) -> f32 {
        1.0 / x
    }
}

/// The square root; the derivative is `1 / (2 y)`.
#[derive(Clone, Copy, Debug)]
struct Sqrt;

impl Function for Sqrt {
    const NAME: &'static str = "sqrt";
    const OPERATIONS: u64 = 1;
    const SLOPE: Slope = Slope::OfOutput;

    fn value(self, x: f32) -> f32 {
        x.sqrt()
    }
    fn slope(self, y: f32) -> f32 {
        0.5 / y
    }
}

/// `|x|`; the derivative is the sign, 0 at 0.
#[derive(Clone, Copy, Debug)]
struct Abs;

impl Function for Abs {
    const NAME: &'static str = "abs";
    const OPERATIONS: u64 = 1;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        x.abs()
    }
    fn slope(self, x: f32) -> f32 {
        if x == 0.0 { 0.0 } else { x.signum() }
    }
}

/// `x^p`; the derivative is `p x^(p - 1)`.
#[derive(Clone, Copy, Debug)]
struct Pow(f32);

impl Function for Pow {
    const NAME: &'static str = "pow";
    const OPERATIONS: u64 = 20;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        x.powf(self.0)
    }
    fn slope(self, x: f32) -> f32 {
        // At p = 0 the function is constant, but 0 * 0^-1 would be NaN.
        if self.0 == 0.0 { 0.0 } else { self.0 * x.powf(self.0 - 1.0) }
    }
}

/// `x + c`.
#[derive(Clone, Copy, Debug)]
struct AddScalar(f32);

impl Function for AddScalar {
    const NAME: &'static str = "add_scalar";
    const OPERATIONS: u64 = 1;
    const SLOPE: Slope = Slope::OfOutput;

    fn value(self, x: f32) -> f32 {
        x + self.0
    }
    fn slope(self, _: f32) -> f32 {
        1.0
    }
}

/// `c x`.
#[derive(Clone, Copy, Debug)]
struct MulScalar(f32);

impl Function for MulScalar {
    const NAME: &'static str = "mul_scalar";
    const OPERATIONS: u64 = 1;
    const SLOPE: Slope = Slope::OfOutput;

    fn value(self, x: f32) -> f32 {
        x * self.0
    }
    fn slope(self, _: f32) -> f32 {
        self.0
    }
}

/// `min(max(x, low), high)`; the derivative is 1 from `low` to `high` and 0 outside.
#[derive(Clone, Copy, Debug)]
struct Clamp {
    low: f32,
    high: f32,
}

impl Function for Clamp {
    const NAME: &'static str = "clamp";
    const OPERATIONS: u64 = 2;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        match x {
            x if x < self.low => self.low,
            x if x > self.high => self.high,
            x => x,
        }
    }
    fn slope(self, x: f32) -> f32 {
        if (self.low..=self.high).contains(&x) { 1.0 } else { 0.0 }
    }
}

impl Var {
    /// `e^x` of every element.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the value is f32.
    pub fn exp(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Exp), &[self])
    }

    /// The natural logarithm of every element: minus infinity at 0, NaN below.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn ln(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Ln), &[self])
    }

    /// The square root of every element: NaN below 0.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn sqrt(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Sqrt), &[self])
    }

    /// The absolute value of every element.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn abs(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Abs), &[self])
    }

    /// Every element negated.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn neg(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.mul_scalar(-1.0, ctx)
    }

    /// Every element to the power of `exponent`: NaN below 0 unless the exponent is whole.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn pow(&self, exponent: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Pow(exponent)), &[self])
    }

    /// Every element plus a number.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn add_scalar(&self, summand: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(AddScalar(summand)), &[self])
    }

    /// Every element times a number.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn mul_scalar(&self, factor: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(MulScalar(factor)), &[self])
    }

    /// Every element moved into `low..=high`; NaN stays NaN.
    ///
    /// # Errors
    /// As [`Var::exp`].
    pub fn clamp(&self, low: f32, high: f32, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Clamp { low, high }), &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointwise::check;
    use super::*;

    #[test]
    fn gradients() {
        const BOTH_SIGNS: [f32; 5] = [-2.0, -0.7, 0.4, 1.0, 2.5];
        const POSITIVE: [f32; 4] = [0.4, 0.9, 1.5, 3.0];
        check(Exp, &BOTH_SIGNS);
        check(Ln, &POSITIVE);
        check(Sqrt, &POSITIVE);
        check(Abs, &BOTH_SIGNS);
        check(Pow(2.0), &BOTH_SIGNS);
        check(Pow(3.0), &BOTH_SIGNS);
        check(Pow(-0.5), &POSITIVE);
        check(Pow(0.0), &BOTH_SIGNS);
        check(AddScalar(3.0), &BOTH_SIGNS);
        check(MulScalar(-3.0), &BOTH_SIGNS);
        check(Clamp { low: -1.0, high: 1.5 }, &BOTH_SIGNS);
    }

    #[test]
    fn edges() {
        assert_eq!(Abs.slope(0.0), 0.0);
        assert_eq!(Pow(0.0).slope(0.0), 0.0);
        assert!(Clamp { low: 0.0, high: 1.0 }.value(f32::NAN).is_nan());
        assert_eq!(Ln.value(0.0), f32::NEG_INFINITY);
    }
}
