//! The activations: pointwise functions between layers.

use super::pointwise::Pointwise;
use crate::Result;
use crate::autograd::{Ctx, Var};
use tinytorch_kernels::f32::functions::{Gelu, GeluTanh, Sigmoid, Swish, Tanh};

impl Var {
    /// `1 / (1 + e^-x)` of every element; the derivative is `y (1 - y)`.
    ///
    /// # Errors
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the value is f32.
    pub fn sigmoid(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "sigmoid", f: Sigmoid }, &[self])
    }

    /// The hyperbolic tangent of every element; the derivative is `1 - y^2`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn tanh(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "tanh", f: Tanh }, &[self])
    }

    /// `x sigmoid(x)` of every element; with `s = sigmoid(x)` the derivative is `s + x s (1 - s)`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn silu(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "silu", f: Swish::SILU }, &[self])
    }

    /// GELU of every element, by the error function: `x (1 + erf(x / sqrt 2)) / 2`. The derivative is
    /// `P(X <= x) + x p(x)` for a standard normal `X` with density `p`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn gelu(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "gelu", f: Gelu }, &[self])
    }

    /// GELU of every element in the form of GPT-2: `x (1 + tanh(u)) / 2` with
    /// `u = sqrt(2 / pi) (x + 0.044715 x^3)`. With `t = tanh(u)` the derivative is
    /// `(1 + t) / 2 + x (1 - t^2) u' / 2`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn gelu_tanh(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "gelu_tanh", f: GeluTanh }, &[self])
    }

    /// GELU of every element in the form `x sigmoid(k x)` with `k = 1.702`; with `s = sigmoid(k x)` the
    /// derivative is `s + k x s (1 - s)`.
    ///
    /// # Errors
    /// As [`Var::sigmoid`].
    pub fn gelu_sigmoid(&self, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Pointwise { name: "gelu_sigmoid", f: Swish::GELU }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::pointwise::check;
    use super::*;
    use crate::Tensor;

    type Method = fn(&Var, &mut Ctx<'_>) -> Result<Var>;

    const ALL: [Method; 6] =
        [Var::sigmoid, Var::tanh, Var::silu, Var::gelu, Var::gelu_tanh, Var::gelu_sigmoid];

    fn at(method: Method, x: f32) -> f32 {
        method(&Tensor::scalar(x).into(), &mut Ctx::eval()).unwrap().value().item().unwrap()
    }

    #[test]
    fn gradients() {
        for method in ALL {
            check(method, &[-4.0, -1.5, -0.6, -0.1, 0.0, 0.3, 1.2, 5.0]);
        }
    }

    #[test]
    fn known_values() {
        let known: [(Method, f32, f32); 7] = [
            (Var::sigmoid, 1.0, 0.731_058_6),
            (Var::tanh, 0.5, 0.462_117_2),
            (Var::silu, 2.0, 1.761_594_2),
            (Var::gelu, 1.0, 0.841_344_7),
            (Var::gelu, -2.0, -0.045_500_3),
            (Var::gelu_tanh, 1.0, 0.841_192),
            (Var::gelu_sigmoid, 1.0, 0.845_795_5),
        ];
        for (method, x, want) in known {
            let got = at(method, x);
            assert!((got - want).abs() < 2e-6, "{got} for {want}");
        }
    }

    #[test]
    fn extremes_do_not_become_nan() {
        for method in ALL {
            for x in [f32::MAX, f32::MIN, 1e4, -1e4] {
                assert!(!at(method, x).is_nan(), "{x}");
            }
            assert!(at(method, f32::NAN).is_nan());
        }
    }
}
