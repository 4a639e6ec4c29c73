//! Functions of each element that the standard library computes, one by one.

use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::tensor::{Shape, Tensor};

/// A function of each element; `dx = g f'(x)`. Those that rounding makes of steps have the derivative 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// The tangent.
    Tan,
    /// The inverse of the sine.
    Asin,
    /// The inverse of the cosine.
    Acos,
    /// The inverse of the tangent.
    Atan,
    /// The hyperbolic sine.
    Sinh,
    /// The hyperbolic cosine.
    Cosh,
    /// The inverse of the hyperbolic sine.
    Asinh,
    /// The inverse of the hyperbolic cosine.
    Acosh,
    /// The inverse of the hyperbolic tangent.
    Atanh,
    /// The next integer below.
    Floor,
    /// The next integer above.
    Ceil,
    /// The nearest integer, of two the even one.
    Round,
    /// -1, 0 or 1.
    Sign,
    /// `1 / x`.
    Reciprocal,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x tanh(ln(1 + e^x))`.
    Mish,
    /// `max(0, min(1, slope x + shift))`.
    HardSigmoid {
        /// The slope.
        slope: f32,
        /// The value at 0.
        shift: f32,
    },
    /// `x max(0, min(1, x / 6 + 1/2))`.
    HardSwish,
    /// `x` above 0, else `slope x`.
    LeakyRelu {
        /// The slope below 0.
        slope: f32,
    },
    /// `x` above 0, else `alpha (e^(x / scale) - 1)`; all times `gamma`.
    Elu {
        /// How low it goes.
        alpha: f32,
        /// By what `x` is divided below 0.
        scale: f32,
        /// By what all is multiplied.
        gamma: f32,
    },
    /// `x` above a threshold, else 0.
    Threshold(f32),
    /// `x` moved towards 0 by `bias` where it is farther than `limit` from it, else 0.
    Shrink {
        /// What is taken off.
        bias: f32,
        /// Up to where all is 0.
        limit: f32,
    },
}

impl Scalar {
    fn value(self, x: f32) -> f32 {
        match self {
            Scalar::Sin => x.sin(),
            Scalar::Cos => x.cos(),
            Scalar::Tan => x.tan(),
            Scalar::Asin => x.asin(),
            Scalar::Acos => x.acos(),
            Scalar::Atan => x.atan(),
            Scalar::Sinh => x.sinh(),
            Scalar::Cosh => x.cosh(),
            Scalar::Asinh => x.asinh(),
            Scalar::Acosh => x.acosh(),
            Scalar::Atanh => x.atanh(),
            Scalar::Floor => x.floor(),
            Scalar::Ceil => x.ceil(),
            Scalar::Round => x.round_ties_even(),
            // Of NaN it is NaN.
            Scalar::Sign => {
                if x == 0.0 {
                    0.0
                } else {
                    x.signum()
                }
            }
            Scalar::Reciprocal => x.recip(),
            Scalar::Softplus => softplus(x),
            Scalar::Softsign => x / (1.0 + x.abs()),
            Scalar::Mish => x * softplus(x).tanh(),
            Scalar::HardSigmoid { slope, shift } => slope.mul_add(x, shift).clamp(0.0, 1.0),
            Scalar::HardSwish => hard_swish(x),
            Scalar::LeakyRelu { slope } => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
            Scalar::Elu { alpha, scale, gamma } => {
                gamma * if x < 0.0 { alpha * (x / scale).exp_m1() } else { x }
            }
            Scalar::Threshold(limit) => {
                if x > limit || x.is_nan() {
                    x
                } else {
                    0.0
                }
            }
            Scalar::Shrink { bias, limit } => {
                if x < -limit {
                    x + bias
                } else if x > limit {
                    x - bias
                } else {
                    0.0
                }
            }
        }
    }

    fn slope(self, x: f32) -> f32 {
        match self {
            Scalar::Sin => x.cos(),
            Scalar::Cos => -x.sin(),
            Scalar::Tan => 1.0 / x.cos().powi(2),
            Scalar::Asin => 1.0 / (1.0 - x * x).sqrt(),
            Scalar::Acos => -1.0 / (1.0 - x * x).sqrt(),
            Scalar::Atan => 1.0 / (1.0 + x * x),
            Scalar::Sinh => x.cosh(),
            Scalar::Cosh => x.sinh(),
            Scalar::Asinh => 1.0 / (1.0 + x * x).sqrt(),
            Scalar::Acosh => 1.0 / (x * x - 1.0).sqrt(),
            Scalar::Atanh => 1.0 / (1.0 - x * x),
            Scalar::Floor | Scalar::Ceil | Scalar::Round | Scalar::Sign => 0.0,
            Scalar::Reciprocal => -1.0 / (x * x),
            Scalar::Softplus => sigmoid(x),
            Scalar::Softsign => 1.0 / (1.0 + x.abs()).powi(2),
            Scalar::Mish => {
                let t = softplus(x).tanh();
                t + x * sigmoid(x) * (1.0 - t * t)
            }
            Scalar::HardSigmoid { slope, shift } => {
                let y = slope.mul_add(x, shift);
                if y > 0.0 && y < 1.0 { slope } else { 0.0 }
            }
            Scalar::HardSwish => match x {
                x if x <= -3.0 => 0.0,
                x if x >= 3.0 => 1.0,
                x => x / 3.0 + 0.5,
            },
            Scalar::LeakyRelu { slope } => {
                if x < 0.0 {
                    slope
                } else {
                    1.0
                }
            }
            Scalar::Elu { alpha, scale, gamma } => {
                gamma * if x < 0.0 { alpha / scale * (x / scale).exp() } else { 1.0 }
            }
            Scalar::Threshold(limit) => {
                if x > limit {
                    1.0
                } else {
                    0.0
                }
            }
            Scalar::Shrink { limit, .. } => {
                if x.abs() > limit {
                    1.0
                } else {
                    0.0
                }
            }
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Without overflow where `e^x` is large.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

impl Compute for Scalar {
    fn name(&self) -> &'static str {
        match self {
            Scalar::Sin => "sin",
            Scalar::Cos => "cos",
            Scalar::Tan => "tan",
            Scalar::Asin => "asin",
            Scalar::Acos => "acos",
            Scalar::Atan => "atan",
            Scalar::Sinh => "sinh",
            Scalar::Cosh => "cosh",
            Scalar::Asinh => "asinh",
            Scalar::Acosh => "acosh",
            Scalar::Atanh => "atanh",
            Scalar::Floor => "floor",
            Scalar::Ceil => "ceil",
            Scalar::Round => "round",
            Scalar::Sign => "sign",
            Scalar::Reciprocal => "reciprocal",
            Scalar::Softplus => "softplus",
            Scalar::Softsign => "softsign",
            Scalar::Mish => "mish",
            Scalar::HardSigmoid { .. } => "hard_sigmoid",
            Scalar::HardSwish => "hard_swish",
            Scalar::LeakyRelu { .. } => "leaky_relu",
            Scalar::Elu { .. } => "elu",
            Scalar::Threshold(_) => "threshold",
            Scalar::Shrink { .. } => "shrink",
        }
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, ..Properties::default() }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let pairs = out.iter_mut().zip(inputs[0].f32()?);
        match self {
            // A loop of its own becomes vectors.
            Scalar::HardSwish => pairs.for_each(|(y, x)| *y = hard_swish(*x)),
            _ => pairs.for_each(|(y, x)| *y = self.value(*x)),
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 10)
    }
}

impl Op for Scalar {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(grad.zip(saved.input(0)?, self.name(), |g, x| g * self.slope(x))?)])
    }
}

fn hard_swish(x: f32) -> f32 {
    x * (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::pointwise::check;
    use super::*;

    #[test]
    fn gradients() {
        const BOTH_SIGNS: [f32; 6] = [-4.1, -2.1, -0.7, 0.4, 1.2, 4.6];
        const BELOW_1: [f32; 4] = [-0.8, -0.3, 0.2, 0.7];
        const ABOVE_1: [f32; 3] = [1.3, 2.0, 3.0];
        for op in [
            Scalar::Sin,
            Scalar::Cos,
            Scalar::Atan,
            Scalar::Sinh,
            Scalar::Cosh,
            Scalar::Asinh,
            Scalar::Floor,
            Scalar::Ceil,
            Scalar::Round,
            Scalar::Sign,
            Scalar::Softplus,
            Scalar::Softsign,
            Scalar::Mish,
            Scalar::HardSigmoid { slope: 0.2, shift: 0.5 },
            Scalar::HardSwish,
            Scalar::LeakyRelu { slope: 0.1 },
            Scalar::Elu { alpha: 1.6, scale: 2.0, gamma: 1.1 },
            Scalar::Threshold(1.0),
            Scalar::Shrink { bias: 0.5, limit: 1.5 },
        ] {
            check(|x, ctx| ctx.apply(op, &[x]), &BOTH_SIGNS);
        }
        for op in [Scalar::Tan, Scalar::Asin, Scalar::Acos, Scalar::Atanh] {
            check(|x, ctx| ctx.apply(op, &[x]), &BELOW_1);
        }
        for op in [Scalar::Acosh, Scalar::Reciprocal] {
            check(|x, ctx| ctx.apply(op, &[x]), &ABOVE_1);
        }
    }

    #[test]
    fn edges() {
        assert_eq!(Scalar::Round.value(2.5), 2.0);
        assert_eq!(Scalar::Sign.value(-0.0), 0.0);
        assert!(
            Scalar::Sign.value(f32::NAN).is_nan()
                && Scalar::Threshold(0.0).value(f32::NAN).is_nan()
        );
        assert_eq!(Scalar::Softplus.value(1e4), 1e4);
        assert_eq!(Scalar::Shrink { bias: 0.5, limit: 1.0 }.value(-2.0), -1.5);
    }
}
