//! Batch norm.

use super::given::Given;
use super::keep::keep;
use super::{Forward, Init, Module};
use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::ops::BatchNormParams;
use crate::tensor::Tensor;

/// Every channel standardized, scaled and shifted (Ioffe and Szegedy, 2015):
/// `y = (x - mean) / sqrt(var + eps) * weight + bias`.
///
/// In training, mean and variance are the batch's, and the running ones move a tenth of the way
/// towards them with each step of the optimizer; in inference they are the running ones. The input is
/// `[batch, num_features, height, width]`.
///
/// A batch norm that has been folded into the convolution before it says so by `folded`: it keeps its
/// tensors, so that the model keeps its shape, and is the identity.
///
/// ```
/// use tinytorch::{Rng, Tensor, autograd::Ctx, nn::{BatchNorm2d, Forward, Init}};
/// let layer = BatchNorm2d::new(3, &mut Init::seed(0))?;
/// let images = Tensor::rand([4, 3, 8, 8], 5.0, 6.0, &mut Rng::seed(0))?;
/// let y = layer.forward(&images.into(), &mut Ctx::train(Rng::seed(0)))?;
/// assert!(y.value().mean()?.abs() < 1e-5);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct BatchNorm2d {
    #[module(config)]
    num_features: usize,
    #[module(config)]
    eps: f32,
    #[module(config)]
    momentum: f32,
    /// Whether the convolution before it does its work.
    #[module(flag)]
    pub folded: bool,
    /// The scale, `[num_features]`.
    pub weight: Param,
    /// The shift, `[num_features]`.
    pub bias: Param,
    /// Mean of each channel, as seen in training.
    pub running_mean: Param,
    /// Variance of each channel, as seen in training.
    pub running_var: Param,
}

impl BatchNorm2d {
    /// A layer that starts as the identity, with PyTorch's `eps` of 1e-5 and momentum of 0.1.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible size.
    pub fn new(num_features: usize, init: &mut Init) -> Result<BatchNorm2d> {
        Ok(BatchNorm2d {
            num_features,
            eps: 1e-5,
            momentum: 0.1,
            folded: false,
            weight: init.full([num_features], 1.0, Role::Vector)?,
            bias: init.full([num_features], 0.0, Role::Vector)?,
            running_mean: init.full([num_features], 0.0, Role::Buffer)?,
            running_var: init.full([num_features], 1.0, Role::Buffer)?,
        })
    }

    /// A layer of a scale, a shift, and a mean and a variance as seen in training, all `[num_features]`, that
    /// are there already.
    ///
    /// ```
    /// use tinytorch::{Tensor, autograd::Ctx, nn::{BatchNorm2d, Forward}};
    /// let of = |v: f32| Tensor::full(v, [1]);
    /// let layer = BatchNorm2d::from_tensors(of(2.0)?, of(1.0)?, of(3.0)?, of(4.0)?)?;
    /// let y = layer.forward(&Tensor::full(5.0, [1, 1, 1, 1])?.into(), &mut Ctx::eval())?;
    /// assert!(y.value().allclose(&Tensor::full(3.0, [1, 1, 1, 1])?, 0.0, 1e-4)?);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`LayerError::GivenRank`](super::LayerError::GivenRank),
    /// [`LayerError::Given`](super::LayerError::Given).
    pub fn from_tensors(
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
    ) -> Result<BatchNorm2d> {
        let given = Given("BatchNorm2d");
        let [channels] = given.dims(&weight)?;
        let mut layer = BatchNorm2d::new(channels, &mut Init::absent())?;
        given.store("weight", &mut layer.weight, weight)?;
        given.store("bias", &mut layer.bias, bias)?;
        given.store("running_mean", &mut layer.running_mean, running_mean)?;
        given.store("running_var", &mut layer.running_var, running_var)?;
        Ok(layer)
    }

    /// The same layer with another constant added to the variance.
    pub fn with_eps(self, eps: f32) -> BatchNorm2d {
        BatchNorm2d { eps, ..self }
    }

    /// The same layer with another weight of the batch in the running statistics.
    pub fn with_momentum(self, momentum: f32) -> BatchNorm2d {
        BatchNorm2d { momentum, ..self }
    }
}

impl BatchNorm2d {
    /// Keeps these channels, or leaves the layer half changed with an error.
    pub(crate) fn keep_channels(&mut self, kept: &[usize]) -> Result<()> {
        self.num_features = kept.len();
        let all = [&mut self.weight, &mut self.bias, &mut self.running_mean, &mut self.running_var];
        all.into_iter().try_for_each(|param| keep(param, 0, kept))
    }
}

impl Forward for BatchNorm2d {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        if self.folded {
            return Ok(input.clone());
        }
        let BatchNorm2d { weight, bias, running_mean, running_var, momentum, eps, .. } = self;
        let (momentum, eps) = (*momentum, *eps);
        let norm = BatchNormParams { weight, bias, running_mean, running_var, momentum, eps };
        input.batch_norm2d(&norm, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::graph::{ConvGeometry, Step};
    use crate::nn::Conv2d;

    #[derive(Module, Clone)]
    struct Block {
        conv: Conv2d,
        bn: BatchNorm2d,
    }

    fn block() -> Block {
        let mut init = Init::seed(1);
        let plain = ConvGeometry::default();
        let conv = Conv2d::without_bias(2, 3, [3, 3], plain, &mut init).unwrap();
        Block { conv, bn: BatchNorm2d::new(3, &mut init).unwrap() }
    }

    fn images() -> Tensor {
        Tensor::randn([2, 2, 5, 5], 1.0, &mut Rng::seed(2)).unwrap()
    }

    #[test]
    fn a_traced_graph_leads_from_the_norm_to_its_convolution_and_to_both_ones_parameters() {
        let Block { conv, bn } = block();
        let mut ctx = Ctx::trace();
        let x = ctx.input(&images());
        let y = conv.forward(&x, &mut ctx).unwrap();
        let y = bn.forward(&y, &mut ctx).unwrap();
        let graph = ctx.into_tape().unwrap().lower(&y).unwrap();

        let norm = graph.node(graph.outputs()[0]);
        assert!(matches!(norm.step, Step::BatchNorm2d(_)));
        let ids = [&bn.weight, &bn.bias, &bn.running_mean, &bn.running_var].map(Param::id);
        assert_eq!(norm.params, ids);
        let producer = graph.node(norm.input(0).unwrap());
        assert!(matches!(producer.step, Step::Conv2d { .. }));
        assert_eq!(producer.params, [conv.weight.id()]);
    }

    #[test]
    fn folding_is_a_flag_that_visitors_see_and_set() {
        let mut block = block();
        let mut flags = block.named_flags_mut();
        assert_eq!(flags.len(), 1);
        assert_eq!(flags[0].0, "bn.folded");
        *flags[0].1 = true;
        let info = &block.named_layers()[2];
        assert_eq!(info.0, "bn");
        assert!(info.1.config.contains(&("folded", "true".to_string())));
        assert_eq!(block.named_params().len(), 5);
        let x = Var::from(images());
        let y = block.bn.forward(&x, &mut Ctx::train(Rng::seed(0))).unwrap();
        assert!(y.value().shares_storage(x.value()));
    }
}
