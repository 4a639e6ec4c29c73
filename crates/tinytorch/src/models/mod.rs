//! The models that tinytorch knows by name: described by an [`Architecture`], which a saved file
//! carries, so that no command needs to be told what it reads.
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
mod error;
mod foreign;
mod foreign_config;
mod gpt;
mod hybrid;
mod llama;
mod mlp;
mod preset;
mod resnet;
mod sample;
mod sentence;
mod two_input;

pub use architecture::Architecture;
pub use bert::{Bert, BertConfig};
pub use cnn::{Cnn, CnnBlock, CnnConfig, ConvBlock};
pub use decoder::{Decoder, DecoderSizes};
pub use error::ModelError;
pub use foreign::ForeignNames;
pub use gpt::{Gpt, GptConfig};
pub use hybrid::{Hybrid, HybridConfig};
pub use llama::{Llama, LlamaConfig};
pub use mlp::{Mlp, MlpConfig};
pub use resnet::{ResidualBlock, Resnet, ResnetConfig};
pub use sample::Sample;
pub use sentence::SentenceEncoder;
pub use two_input::{ImageText, ImageTextConfig};

use crate::Result;
use crate::autograd::Var;
use crate::nn::{Chain, Forward, Link};

/// A module that can describe itself, and so be saved, loaded and rebuilt.
///
/// Its one input is a batch: images `[batch, channels, height, width]` as floats, ids
/// `[batch, length]` as i64, or whatever [`Architecture::sample`] states.
pub trait Model: Forward<Output = Var> + Send + Sync {
    /// What it is, hyper-parameters included: building it again gives the same names and shapes.
    fn architecture(&self) -> Architecture;

    /// A copy with parameters of its own.
    fn clone_box(&self) -> Box<dyn Model>;

    /// The model as one that generates text, if it is one.
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        None
    }

    /// The model as a chain of layers, if it is one.
    fn as_chain(&mut self) -> Option<&mut dyn Chain> {
        None
    }
}

impl Chain for Box<dyn Model> {
    fn links(&mut self) -> Result<Vec<Link<'_>>, &'static str> {
        self.as_chain().ok_or("model with branches")?.links()
    }

    fn resized(&mut self) {
        if let Some(chain) = self.as_chain() {
            chain.resized();
        }
    }
}

impl Clone for Box<dyn Model> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}
