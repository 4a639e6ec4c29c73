//! Models whose layers follow one another.

use super::{BatchNorm2d, Conv2d, Linear, Module};
use crate::Result;

/// A model whose layers follow one another, so that a channel which one layer no longer gives is one that
/// the next no longer needs.
pub trait Chain: Module {
    /// The layers in order, for changing them; or the kind of a layer whose channels are not known to
    /// stay apart.
    ///
    /// # Errors
    /// That kind.
    fn links(&mut self) -> Result<Vec<Link<'_>>, &'static str>;

    /// Is called after layers have changed their widths: hyper-parameters that repeat them are set
    /// again.
    fn resized(&mut self) {}
}

/// A layer of a [`Chain`].
#[derive(Debug)]
pub enum Link<'a> {
    /// A linear layer.
    Linear(&'a mut Linear),
    /// A convolution.
    Conv2d(&'a mut Conv2d),
    /// A batch norm, with an entry per channel.
    BatchNorm2d(&'a mut BatchNorm2d),
    /// A layer without parameters that keeps channels apart and in order: an activation, a pool, a
    /// flattening.
    Channelwise,
}
