use super::architecture::Check;
use super::{Architecture, Model};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{Forward, Init, Linear, Module};

/// A multi-layer perceptron: linear layers with ReLU between them.
///
/// The input is `[batch, ..]`; all axes but the batch are flattened, so images need no reshaping.
/// The output is `[batch, outputs]`, without an activation.
#[derive(Module, Clone, Debug)]
pub struct Mlp {
    #[module(config)]
    inputs: usize,
    #[module(config)]
    hidden: Vec<usize>,
    #[module(config)]
    outputs: usize,
    /// The linear layers, in order.
    pub layers: Vec<Linear>,
}

impl Mlp {
    /// A perceptron with these widths.
    ///
    /// # Errors
    /// [`ModelError::Hyperparameter`](super::ModelError::Hyperparameter) for widths of 0 or beyond
    /// 2^24.
    pub fn new(inputs: usize, hidden: &[usize], outputs: usize, init: &mut Init) -> Result<Mlp> {
        let check = Check("mlp");
        check.layers("the number of layers", hidden.len() + 1)?;
        let widths: Vec<usize> = [inputs].iter().chain(hidden).chain([&outputs]).copied().collect();
        widths.iter().try_for_each(|&width| check.size("a width", width))?;
        let layer = |pair: &[usize]| Linear::new(pair[0], pair[1], init);
        let layers = widths.windows(2).map(layer).collect::<Result<_>>()?;
        Ok(Mlp { inputs, hidden: hidden.to_vec(), outputs, layers })
    }
}

impl Forward for Mlp {
    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let rank = input.shape().rank();
        let mut x = if rank > 2 { input.flatten(1, rank - 1, ctx)? } else { input.clone() };
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = x.relu(ctx)?;
            }
            x = layer.forward(&x, ctx)?;
        }
        Ok(x)
    }
}

impl Model for Mlp {
    fn architecture(&self) -> Architecture {
        let (inputs, outputs) = (self.inputs, self.outputs);
        Architecture::Mlp { inputs, hidden: self.hidden.clone(), outputs }
    }

    fn clone_box(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}
