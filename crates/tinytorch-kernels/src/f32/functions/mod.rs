//! Functions for [`map`](super::map()) and [`zip`](super::zip()), one idea a file: the formula, where
//! it comes from, how exact it is.
//!
//! ```
//! use tinytorch_kernels::Isa;
//! use tinytorch_kernels::f32::{functions::Gelu, map_in_place};
//!
//! let mut x = [-1.0, 0.0, 1.0];
//! map_in_place(Isa::active(), Gelu, &mut x);
//! assert!((x[0] + 0.15865526).abs() < 1e-6 && x[1] == 0.0 && (x[2] - 0.8413447).abs() < 1e-6);
//! ```

mod arithmetic;
mod erf;
mod exp;
mod gelu;
mod log;
mod sigmoid;
mod tanh;

pub use arithmetic::{Abs, Add, AddScaled, Affine, Div, Max, Min, Mul, Neg, Relu, Sqrt, Sub};
pub use erf::Erf;
pub use exp::Exp;
pub use gelu::{Gelu, GeluTanh};
pub use log::Log;
pub use sigmoid::{Sigmoid, Swish};
pub use tanh::Tanh;

use crate::isa::Simd;

/// `c[0] x^n + c[1] x^(n-1) + ... + c[n]` by Horner's rule.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::F32, coefficients: [f32; N]) -> S::F32 {
    let mut sum = s.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = s.mul_add(sum, x, s.splat(*coefficient));
    }
    sum
}
