//! The steps in which an int8 layer counts its products, of which other engines take its bias as a multiple.

use super::trace::lowered;
use crate::Result;
use crate::autograd::ParamId;
use crate::graph::Step;
use crate::int8::{Encoding, Int8Weight, Scales};
use crate::nn::{Forward, Module};

/// What each output channel of a layer is a multiple of before its bias is added: the input's scale times the
/// weight's, which may be one for all. `None` unless the input has a fixed range and the weight scales by channel.
pub(crate) fn product_steps(weight: &Int8Weight) -> Option<Vec<f32>> {
    let Encoding::Static(params) = weight.input() else { return None };
    let scales = match weight.scales() {
        Scales::PerTensor(scale) => std::slice::from_ref(scale),
        Scales::PerChannel(scales) => scales,
        Scales::Blocks(_) => return None,
    };
    Some(scales.iter().map(|scale| scale * params.scale).collect())
}

/// The weights and biases of the layers of a model that have both.
///
/// # Errors
/// If the model does not run on the example.
pub(crate) fn biases_of_layers<M, X>(model: &M, example: &X) -> Result<Vec<[ParamId; 2]>>
where
    M: Forward<X> + Module + ?Sized,
{
    let Some(graph) = lowered(model, example)? else { return Ok(Vec::new()) };
    let of_layers = graph.nodes().iter().filter(|node| {
        matches!(node.step, Step::Conv2d { .. } | Step::Linear { .. } | Step::Compute(_))
    });
    Ok(of_layers.filter_map(|node| <[ParamId; 2]>::try_from(&node.params[..]).ok()).collect())
}
