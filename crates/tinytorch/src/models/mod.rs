//! Models that can be kept in files, loaded by name and judged.
//!
//! Whatever is [`Rebuild`] is a [`Model`]: tinytorch's own, which an [`Architecture`] describes, and any
//! struct of yours. A saved file carries the name and the settings, and [`Kinds`] makes the model again.
//!
//! ```
//! use tinytorch::{Tensor, autograd::Ctx, models::Architecture, nn::{Forward, Init, Module}};
//! let model = Architecture::preset("digits-mlp")?.build(&mut Init::seed(0))?;
//! let logits = model.forward(&Tensor::ones([5, 1, 8, 8])?.into(), &mut Ctx::eval())?;
//! assert_eq!(logits.shape().dims(), [5, 10]);
//! assert_eq!(model.param_count(), 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod architecture;
mod bert;
mod cnn;
mod decoder;
mod deployed;
mod description;
mod error;
mod feedback;
mod foreign;
mod foreign_config;
mod gpt;
mod hybrid;
mod kinds;
mod llama;
mod mlp;
mod model;
mod pass_bytes;
mod preset;
mod rebuild;
mod resnet;
mod sample;
mod sentence;
mod two_input;

pub use architecture::Architecture;
pub use bert::{Bert, BertConfig};
pub use cnn::{Cnn, CnnBlock, CnnConfig, ConvBlock};
pub use decoder::{Decoder, DecoderSizes};
pub use deployed::{compile, run};
pub(crate) use description::build as build_described;
pub use error::ModelError;
pub use feedback::{Feedback, Sequence, Stepped};
pub use foreign::{ForeignNames, Layout};
pub use gpt::{Gpt, GptConfig};
pub use hybrid::{Hybrid, HybridConfig};
pub use kinds::Kinds;
pub use llama::{Llama, LlamaConfig};
pub use mlp::{Mlp, MlpConfig};
pub use model::{ListModel, Model};
pub use pass_bytes::PassBytes;
pub use rebuild::{Inputs, Rebuild};
pub use resnet::{ResidualBlock, Resnet, ResnetConfig};
pub use sample::Sample;
pub use sentence::{Pooling, SentenceConfig, SentenceEncoder};
pub use two_input::{ImageText, ImageTextConfig};
