//! A perceptron.

use super::error::Check;
use super::{Rebuild, Sample};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{Chain, Flatten, Forward, Init, Linear, Link, Module};
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};

/// The widths of an [`Mlp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Values of one sample.
    pub inputs: usize,
    /// Width of each hidden layer.
    pub hidden: Vec<usize>,
    /// Values of one result, such as a score for each class.
    pub outputs: usize,
}

/// A multi-layer perceptron: linear layers with ReLU between them.
///
/// The input is `[batch, ..]`; all axes but the batch are flattened, so images need no reshaping.
/// The output is `[batch, outputs]`, without an activation.
#[derive(Module, Clone, Debug)]
pub struct Mlp {
    #[module(config)]
    config: MlpConfig,
    /// The linear layers, in order.
    pub layers: Vec<Linear>,
}

impl Mlp {
    /// A perceptron with these widths.
    ///
    /// # Errors
    /// [`ModelError::Hyperparameter`](super::ModelError::Hyperparameter) for widths of 0 or beyond
    /// 2^24.
    pub fn new(config: &MlpConfig, init: &mut Init) -> Result<Mlp> {
        let MlpConfig { inputs, hidden, outputs } = config;
        let check = Check("mlp");
        check.layers("the number of layers", hidden.len() + 1)?;
        let widths: Vec<usize> =
            [inputs].into_iter().chain(hidden).chain([outputs]).copied().collect();
        widths.iter().try_for_each(|&width| check.size("a width", width))?;
        let layer = |pair: &[usize]| Linear::new(pair[0], pair[1], init);
        let layers = widths.windows(2).map(layer).collect::<Result<_>>()?;
        Ok(Mlp { config: config.clone(), layers })
    }

    /// Its widths.
    pub fn config(&self) -> &MlpConfig {
        &self.config
    }
}

impl Forward for Mlp {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut x = Flatten.forward(input, ctx)?;
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = x.relu(ctx)?;
            }
            x = layer.forward(&x, ctx)?;
        }
        Ok(x)
    }
}

impl Chain for Mlp {
    fn links(&mut self) -> Result<Vec<Link<'_>>, &'static str> {
        Ok(self.layers.iter_mut().map(Link::Linear).collect())
    }

    fn resized(&mut self) {
        let widths = self.layers.iter().map(|layer| layer.weight.shape()[0]);
        self.config.hidden = widths.take(self.layers.len().saturating_sub(1)).collect();
        self.config.inputs = self.layers.first().map_or(0, |first| first.weight.shape()[1]);
    }
}

impl Rebuild for Mlp {
    type Input = Var;
    type Config = MlpConfig;
    const NAME: &'static str = "mlp";

    fn config(&self) -> MlpConfig {
        self.config.clone()
    }

    fn build(config: &MlpConfig, init: &mut Init) -> Result<Mlp> {
        Mlp::new(config, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[self.config.inputs])?)])
    }

    fn as_chain(&mut self) -> Option<&mut dyn Chain> {
        Some(self)
    }
}
