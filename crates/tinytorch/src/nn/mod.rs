//! Layers and the two traits they are made of: [`Module`] (what a thing is made of) and [`Forward`]
//! (what it computes).
//!
//! Everything that walks a model is a visitor over [`Module`]: counting, saving, freezing,
//! quantizing, profiling. Quantizing changes how a parameter is stored and not what its layer is.
//!
//! ```
//! use tinytorch::{Result, autograd::{Ctx, Var}, nn::{Forward, Init, Linear, Module}};
//!
//! #[derive(Module, Clone)]
//! struct Net {
//!     hidden: Linear,
//!     head: Linear,
//! }
//!
//! impl Forward for Net {
//!     type Output = Var;
//!     fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
//!         let h = self.hidden.forward(x, ctx)?.relu(ctx)?;
//!         self.head.forward(&h, ctx)
//!     }
//! }
//!
//! let mut init = Init::seed(0);
//! let net = Net { hidden: Linear::new(4, 8, &mut init)?, head: Linear::new(8, 2, &mut init)? };
//! assert_eq!(net.named_params()[0].0, "hidden.weight");
//! assert_eq!(net.param_count(), 4 * 8 + 8 + 8 * 2 + 2);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod activation;
mod attention;
mod batch_norm;
mod chain;
mod conv1d;
mod conv2d;
mod dropout;
mod embedding;
mod error;
mod feed_forward;
mod flatten;
mod given;
mod init;
#[cfg(test)]
mod joined_cache;
mod keep;
mod layer_norm;
mod linear;
#[cfg(test)]
mod module_tests;
mod normalize;
mod pad_shortcut;
mod pads;
mod pattern;
mod pool;
mod positions;
mod rms_norm;
mod sequential;
mod transformer;

pub use activation::{Gelu, GeluSigmoid, GeluTanh, Relu, Sigmoid, Silu, Softmax, Tanh};
pub use attention::{AttentionConfig, AttentionInputs, KeyValueCache, MultiHeadAttention};
pub use batch_norm::BatchNorm2d;
pub use chain::{Chain, Link};
pub use conv1d::Conv1d;
pub use conv2d::Conv2d;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use error::LayerError;
pub use feed_forward::{Activation, FeedForward, SwiGlu};
pub use flatten::Flatten;
pub use init::Init;
#[cfg(test)]
pub(crate) use joined_cache::JoinedCache;
pub use layer_norm::LayerNorm;
pub use linear::{Dense, Linear};
pub use normalize::Normalize;
pub use pad_shortcut::PadShortcut;
pub(crate) use pattern::{linear_layers, matches};
pub use pool::{AvgPool1d, AvgPool2d, GlobalAvgPool2d, MaxPool1d, MaxPool2d};
pub use positions::{PositionalEncoding, SinusoidalEncoding};
pub use rms_norm::RmsNorm;
pub use sequential::{Layer, Sequential};
pub use tinytorch_core::module::{Forward, LayerInfo, Module, Outputs, Path, Visitor, VisitorMut};
pub use tinytorch_derive::Module;
pub use transformer::TransformerBlock;
