//! The activations: pointwise functions between layers.

use super::pointwise::{Function, Pointwise, Slope};
use crate::Result;
use crate::autograd::{Ctx, Var};

/// `1 / (1 + e^-x)`; the derivative is `y (1 - y)`.
#[derive(Clone, Copy, Debug)]
struct Sigmoid;

/// The logistic function, which cannot overflow: `e^-x` becomes infinite and the quotient 0.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const OPERATIONS: u64 = 12;
    const SLOPE: Slope = Slope::OfOutput;

    fn value(self, x: f32) -> f32 {
        sigmoid(x)
    }
    fn slope(self, y: f32) -> f32 {
        y * (1.0 - y)
    }
}

/// The hyperbolic tangent; the derivative is `1 - y^2`.
#[derive(Clone, Copy, Debug)]
struct Tanh;

impl Function for Tanh {
    const NAME: &'static str = "tanh";
    const OPERATIONS: u64 = 14;
    const SLOPE: Slope = Slope::OfOutput;

    fn value(self, x: f32) -> f32 {
        x.tanh()
    }
    fn slope(self, y: f32) -> f32 {
        1.0 - y * y
    }
}

/// `x sigmoid(k x)`; with `s = sigmoid(k x)` the derivative is `s + k x s (1 - s)`.
fn gated(x: f32, k: f32) -> f32 {
    x * sigmoid(k * x)
}

fn gated_slope(x: f32, k: f32) -> f32 {
    let s = sigmoid(k * x);
    s + k * x * s * (1.0 - s)
}

/// SiLU, also called swish: `x sigmoid(x)` (Elfwing et al., 2017).
#[derive(Clone, Copy, Debug)]
struct Silu;

impl Function for Silu {
    const NAME: &'static str = "silu";
    const OPERATIONS: u64 = 13;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        gated(x, 1.0)
    }
    fn slope(self, x: f32) -> f32 {
        gated_slope(x, 1.0)
    }
}

/// GELU as `x P(X <= x)` for a standard normal `X` (Hendrycks and Gimpel, 2016):
/// `x (1 + erf(x / sqrt 2)) / 2`. With the normal density `p` the derivative is `P(X <= x) + x p(x)`.
#[derive(Clone, Copy, Debug)]
struct Gelu;

/// `erf(x)` to 1.5e-7 (Abramowitz and Stegun 7.1.26).
fn erf(x: f32) -> f32 {
    const TERMS: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let sum = TERMS.iter().rev().fold(0.0, |sum, a| (sum + a) * t);
    (1.0 - sum * (-x * x).exp()).copysign(x)
}

fn normal_below(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

impl Function for Gelu {
    const NAME: &'static str = "gelu";
    const OPERATIONS: u64 = 26;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        x * normal_below(x)
    }
    fn slope(self, x: f32) -> f32 {
        const PEAK: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
        normal_below(x) + x * PEAK * (-0.5 * x * x).exp()
    }
}

/// GELU's approximation by `tanh`: `x (1 + tanh(u)) / 2` with `u = sqrt(2 / pi) (x + 0.044715 x^3)`.
/// Its derivative is `(1 + t) / 2 + x (1 - t^2) u' / 2` with `t = tanh(u)`.
#[derive(Clone, Copy, Debug)]
struct GeluTanh;

impl GeluTanh {
    const ROOT: f32 = 0.797_884_6; // sqrt(2 / pi)
    const CUBIC: f32 = 0.044_715;

    fn tanh(x: f32) -> f32 {
        (Self::ROOT * (x + Self::CUBIC * x * x * x)).tanh()
    }
}

impl Function for GeluTanh {
    const NAME: &'static str = "gelu_tanh";
    const OPERATIONS: u64 = 22;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        0.5 * x * (1.0 + GeluTanh::tanh(x))
    }
    fn slope(self, x: f32) -> f32 {
        let t = GeluTanh::tanh(x);
        let inner = Self::ROOT * (1.0 + 3.0 * Self::CUBIC * x * x);
        0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
    }
}

/// GELU's coarser approximation `x sigmoid(1.702 x)`, from the same paper.
#[derive(Clone, Copy, Debug)]
struct GeluSigmoid;

impl Function for GeluSigmoid {
    const NAME: &'static str = "gelu_sigmoid";
    const OPERATIONS: u64 = 14;
    const SLOPE: Slope = Slope::OfInput;

    fn value(self, x: f32) -> f32 {
        gated(x, 1.702)
    }
    fn slope(self, x: f32) -> f32 {
        gated_slope(x, 1.702)
    }
}

impl Var {
    /// `1 / (1 + e^-x)` of every element.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the value is f32.
    pub fn sigmoid(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Sigmoid), &[self])
    }

    /// The hyperbolic tangent of every element.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn tanh(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Tanh), &[self])
    }

    /// `x sigmoid(x)` of every element.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn silu(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Silu), &[self])
    }

    /// GELU of every element, by the error function: `x (1 + erf(x / sqrt 2)) / 2`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn gelu(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(Gelu), &[self])
    }

    /// GELU of every element in the form of GPT-2:
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn gelu_tanh(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(GeluTanh), &[self])
    }

    /// GELU of every element in the form `x sigmoid(1.702 x)`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn gelu_sigmoid(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise(GeluSigmoid), &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointwise::check;
    use super::*;

    const POINTS: [f32; 8] = [-4.0, -1.5, -0.6, -0.1, 0.0, 0.3, 1.2, 5.0];

    #[test]
    fn gradients() {
        check(Sigmoid, &POINTS);
        check(Tanh, &POINTS);
        check(Silu, &POINTS);
        check(Gelu, &POINTS);
        check(GeluTanh, &POINTS);
        check(GeluSigmoid, &POINTS);
    }

    #[test]
    fn known_values() {
        let near = |got: f32, want: f32| assert!((got - want).abs() < 2e-6, "{got} for {want}");
        near(sigmoid(1.0), 0.731_058_6);
        near(Silu.value(2.0), 1.761_594_2);
        near(Gelu.value(1.0), 0.841_344_7);
        near(Gelu.value(-2.0), -0.045_500_3);
        near(GeluTanh.value(1.0), 0.841_192);
        near(GeluSigmoid.value(1.0), 0.845_795_5);
        near(erf(0.5), 0.520_499_9);
        near(erf(-1.5), -0.966_105_1);
    }

    #[test]
    fn extremes_do_not_become_nan() {
        for x in [f32::MAX, f32::MIN, 1e4, -1e4] {
            let all = [
                Sigmoid.value(x),
                Tanh.value(x),
                Silu.value(x),
                Gelu.value(x),
                GeluTanh.value(x),
                GeluSigmoid.value(x),
                Gelu.slope(x),
                Silu.slope(x),
            ];
            assert!(all.iter().all(|v| !v.is_nan()), "{x}: {all:?}");
        }
    }
}
