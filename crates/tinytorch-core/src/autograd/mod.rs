//! Reverse-mode differentiation: a tape of ops in an explicit context.
//!
//! A pass is a function of values ([`Var`]) and a context ([`Ctx`]). The context's tape records each
//! [`Op`]; [`Ctx::backward`] walks it once, backwards. [Parameters](Param) have an identity by which
//! their gradients are found.
//!
//! ```
//! use tinytorch_core::{Tensor, autograd::Ctx};
//! let mut ctx = Ctx::eval().recording();
//! let x = ctx.input(&Tensor::scalar(3.0));
//! let y = x.mul(&x, &mut ctx)?;
//! let grads = ctx.backward(&y)?;
//! assert_eq!(grads.of_input(&x).unwrap().item()?, 6.0);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod ctx;
mod error;
mod feed;
mod gradcheck;
mod gradients;
mod observer;
mod op;
mod outputs;
mod param;
mod tape;
mod var;

pub use crate::graph::ParamId;
pub use ctx::{Ctx, Mode};
pub use error::AutogradError;
pub use feed::Feed;
pub use gradcheck::gradcheck;
pub use gradients::{BufferUpdate, Gradients};
pub use observer::{Observer, OpRun};
pub use op::{Op, Saved, Saves};
pub use outputs::Outputs;
pub use param::{Param, Role, Stored};
pub use tape::Tape;
pub use var::Var;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    #[test]
    fn shared_values_cost_one_visit_each() {
        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(&Tensor::scalar(1.0));
        let mut z = x.clone();
        for _ in 0..64 {
            z = z.add(&z, &mut ctx).unwrap();
        }
        let grads = ctx.backward(&z).unwrap();
        assert_eq!(grads.of_input(&x).unwrap().item().unwrap(), 2f32.powi(64));
    }

    #[test]
    fn a_parameter_used_twice_gets_both_gradients() {
        let p = Param::new(Tensor::scalar(5.0), Role::Vector);
        let mut ctx = Ctx::eval().recording();
        let (a, b) = (ctx.param(&p).unwrap(), ctx.param(&p).unwrap());
        let y = a.mul(&b, &mut ctx).unwrap();
        assert_eq!(ctx.backward(&y).unwrap().of(&p).unwrap().item().unwrap(), 10.0);
    }

    #[test]
    fn detached_and_frozen_values_get_no_gradient() {
        let mut p = Param::new(Tensor::scalar(5.0), Role::Vector);
        p.set_frozen(true);
        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(&Tensor::scalar(2.0));
        let w = ctx.param(&p).unwrap();
        let y = x.mul(&w, &mut ctx).unwrap().mul(&x.detach(), &mut ctx).unwrap();
        let grads = ctx.backward(&y).unwrap();
        assert!(grads.of(&p).is_none());
        assert_eq!(grads.of_input(&x).unwrap().item().unwrap(), 10.0);
    }

    #[test]
    fn misuse_is_an_error() {
        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(&Tensor::ones([2]).unwrap());
        let err = ctx.backward(&x).unwrap_err();
        assert!(err.to_string().contains("single value"), "{err}");

        let y = ctx.input(&Tensor::scalar(1.0));
        ctx.backward(&y).unwrap();
        assert!(y.add(&y, &mut ctx).unwrap_err().to_string().contains("another pass"));
        assert!(Ctx::eval().backward(&y).unwrap_err().to_string().contains("does not record"));
        let constant = Tensor::scalar(1.0).into();
        assert!(ctx.backward(&constant).unwrap_err().to_string().contains("does not depend"));
    }
}
