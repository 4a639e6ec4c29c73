//! Compression: models made smaller or sparser before they are quantized, by what their weights show
//! ([pruning](magnitude_prune), [removing channels](structured_prune), [factoring](crate::fit::factorize)) or by
//! [learning from a larger model](KnowledgeDistillation).
//!
//! Each leaves an ordinary float model, so that training goes on with it and
//! [`quantize_model`](crate::quant::quantize_model) takes it as any other. A weight that is 0 is 0 in int8 too.
//!
//! ```
//! use tinytorch::compress::{Scope, magnitude_prune, measure_sparsity, structured_prune};
//! use tinytorch::models::{Mlp, MlpConfig};
//! use tinytorch::nn::{Init, Module};
//! use tinytorch::optim::{Adam, Optimizer};
//! let config = MlpConfig { inputs: 64, hidden: vec![32, 16], outputs: 10 };
//! let mut model = Mlp::new(&config, &mut Init::seed(0))?;
//!
//! // Half of the neurons go, with the weights that read them.
//! let before = model.param_count();
//! structured_prune(&mut model, 0.5)?;
//! assert_eq!(model.config().hidden, [16, 8]);
//! assert!(model.param_count() < before / 2);
//!
//! // Most of the other weights become 0, and stay so in training with this optimizer.
//! let masks = magnitude_prune(&mut model, 0.8, Scope::Global)?;
//! assert!((measure_sparsity(&model)?.share() - 0.8).abs() < 0.01);
//! let optimizer = masks.keep(Adam::new(1e-3));
//! assert_eq!(optimizer.lr(), 1e-3);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod distillation;
mod error;
mod magnitude;
mod masks;
mod structured;
mod svd;

pub use distillation::KnowledgeDistillation;
pub use error::CompressError;
pub use magnitude::{Scope, Sparsity, magnitude_prune, measure_sparsity};
pub use masks::{Masked, Masks};
pub use structured::{StructuredReport, structured_prune};
pub(crate) use svd::{Svd, svd};
