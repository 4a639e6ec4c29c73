//! Optimizers: what a step does to a model, given its gradients.
//!
//! An [`Optimizer`] changes a model in place. It finds every gradient by the identity of its
//! parameter and keeps what it remembers under the parameter's dotted name, so that the memory can
//! be saved. It checks everything before it writes anything: a parameter that got no gradient, or one
//! that is NaN, is an error that names it, and the model stays as it was.
//!
//! ```
//! use tinytorch::{Rng, Tensor, autograd::{Ctx, Var}, nn::{Forward, Init, Linear}};
//! use tinytorch::optim::{Adam, Optimizer};
//!
//! let mut model = Linear::new(2, 2, &mut Init::seed(0))?;
//! let mut adam = Adam::new(0.1);
//! let (x, class) = (Tensor::ones([1, 2])?, Tensor::from_vec(vec![1i64], [1])?);
//! let mut losses = Vec::new();
//! for step in 0..10 {
//!     let mut ctx = Ctx::train(Rng::seed(step));
//!     let loss = model.forward(&Var::from(&x), &mut ctx)?.cross_entropy(&class, &mut ctx)?;
//!     losses.push(loss.value().item()?);
//!     let grads = ctx.backward(&loss)?;
//!     adam.step(&mut model, grads)?;
//! }
//! assert!(losses[9] < 0.1 * losses[0]);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod adam;
mod check;
mod clip;
mod descent;
mod error;
mod moments;
mod schedule;
mod setting;
mod sgd;
mod state;

pub use adam::{Adam, AdamRule, AdamW};
pub use clip::{clip_grad_norm, clip_grad_value};
pub use descent::{Descent, Rule};
pub use error::OptimError;
pub use moments::Moments;
pub use schedule::Schedule;
pub use setting::Setting;
pub use sgd::{Sgd, SgdRule};
pub use state::OptimizerState;

use crate::Result;
use crate::autograd::Gradients;
use crate::nn::Module;

/// Changes a model's parameters by their gradients.
pub trait Optimizer: Send {
    /// One step: every trainable parameter moves by its gradient, and the running statistics that
    /// the pass has seen move their buffers. Frozen and int8 parameters stay.
    ///
    /// The tensors are updated in place; they are copied only if something else (a clone of the
    /// model, a value of the pass) still refers to them.
    ///
    /// # Errors
    /// An [`OptimError`] that names the parameter; the model and the optimizer are unchanged then.
    fn step(&mut self, model: &mut dyn Module, grads: Gradients) -> Result<()>;

    /// The learning rate.
    fn lr(&self) -> f64;

    /// Sets the learning rate; the next step checks it.
    fn set_lr(&mut self, lr: f64);

    /// What the optimizer remembers, by the parameters' dotted names.
    fn state(&self) -> OptimizerState;

    /// Goes on from a saved state, learning rate included, as the optimizer of `model`.
    ///
    /// # Errors
    /// [`OptimError::StateKind`], [`OptimError::StateSetting`] or [`OptimError::StateTensor`] if the
    /// state is not of such an optimizer of such a model; the optimizer is unchanged then.
    fn load_state(&mut self, model: &dyn Module, state: OptimizerState) -> Result<()>;
}

#[cfg(test)]
mod golden_tests;
