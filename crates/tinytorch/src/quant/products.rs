//! The steps in which an int8 layer counts its products, of which other engines take its bias as a multiple.

use super::trace::lowered;
use crate::Result;
use crate::autograd::{Param, ParamId};
use crate::int8::{Encoding, Int8Weight, Scales};
use crate::nn::{Forward, Module};
use std::collections::BTreeMap;

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

/// [`product_steps`] of the layer that adds each bias of an int8 model.
///
/// # Errors
/// If the model does not run on the example.
pub(crate) fn steps_of_biases<M, X>(model: &M, example: &X) -> Result<BTreeMap<ParamId, Vec<f32>>>
where
    M: Forward<X> + Module + ?Sized,
{
    let Some(graph) = lowered(model, example)? else { return Ok(BTreeMap::new()) };
    let params = model.named_params();
    let params: BTreeMap<ParamId, &Param> = params.iter().map(|(_, p)| (p.id(), *p)).collect();
    let steps = graph.nodes().iter().filter_map(|node| {
        let &[weight, bias] = &node.params[..] else { return None };
        let weight = params.get(&weight)?.int8()?;
        Some((bias, product_steps(weight)?))
    });
    Ok(steps.collect())
}
