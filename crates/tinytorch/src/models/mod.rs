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
mod cnn;
mod foreign;
mod mlp;
mod resnet;

pub use architecture::{Architecture, ModelError};
pub use cnn::{Cnn, CnnBlock, CnnConfig, ConvBlock};
pub use foreign::ForeignNames;
pub use mlp::{Mlp, MlpConfig};
pub use resnet::{ResidualBlock, Resnet, ResnetConfig};

use crate::nn::Forward;

/// A module that can describe itself, and so be saved, loaded and rebuilt.
///
/// Its one input is a batch: images `[batch, channels, height, width]` as floats, or whatever its
/// [`Architecture`] states.
pub trait Model: Forward + Send + Sync {
    /// What it is, hyper-parameters included: building it again gives the same names and shapes.
    fn architecture(&self) -> Architecture;

    /// A copy with parameters of its own.
    fn clone_box(&self) -> Box<dyn Model>;
}

impl Clone for Box<dyn Model> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}
