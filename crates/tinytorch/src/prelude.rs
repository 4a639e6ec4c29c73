//! What nearly every program needs.
//!
//! ```
//! use tinytorch::prelude::*;
//! let layer = Linear::new(4, 2, &mut Init::seed(0))?;
//! let y = layer.forward(&Tensor::ones([3, 4])?.into(), &mut Ctx::eval())?;
//! assert_eq!(y.shape().dims(), [3, 2]);
//! # Ok::<(), tinytorch::Error>(())
//! ```

pub use crate::autograd::{Ctx, Param, Var};
pub use crate::data::Batch;
pub use crate::nn::{Forward, Init, Linear, Module};
pub use crate::plan::Plan;
pub use crate::{CountingAllocator, Error, Isa, Result, Rng, Tensor};
