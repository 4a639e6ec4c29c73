//! Whether the weights take a quarter of the memory.

use crate::Result;
use crate::audit::{Gate, Subject};
use crate::int8::Granularity;
use crate::models::Model;
use crate::quant::{heap_bytes, is_weight};
use std::collections::BTreeSet;

/// The weights take a quarter of the memory, by the allocator: all of them together, those that stayed floats
/// included, as near to a quarter as the mix allows.
///
/// Every weight is copied once as it is stored, and what this thread allocates meanwhile is what it takes:
/// padding, column sums or a float copy kept beside it would show, and what other threads do would not.
pub(crate) fn weight_bytes(subject: &Subject) -> Result<Gate> {
    const ID: &str = "weight_bytes";
    let params = subject.int8.named_params();
    let weights = params.iter().filter(|(_, param)| is_weight(param));
    let all: BTreeSet<&str> = weights.clone().map(|(name, _)| name.as_str()).collect();
    let int8_alone: BTreeSet<&str> = weights
        .clone()
        .filter(|(_, p)| p.int8().is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let (Some(float), Some(int8)) =
        (heap_of(&*subject.float, &all)?, heap_of(&*subject.int8, &all)?)
    else {
        let reason = "this program does not count its allocations".to_string();
        return Ok(Gate::unknown(ID, reason));
    };
    let (mut dense, mut bound, mut blocks) = (0usize, 0usize, false);
    for (_, param) in weights {
        let floats = param.shape().len() * size_of::<f32>();
        dense += floats;
        bound += param.int8().map_or(floats, |weight| super::least_bytes(weight));
        blocks |= param.int8().is_some_and(|w| w.scales().granularity() == Granularity::Blocks);
    }
    let limit = super::size_limit(blocks, dense as f64 / bound.max(1) as f64);
    let times = |float: u64, int8: u64| float as f64 / int8.max(1) as f64;
    let mut reason = format!("live heap of all weights: {float} bytes in float, {int8} in int8");
    if int8_alone.len() < all.len() {
        let alone = |model| heap_of(model, &int8_alone);
        if let (Some(float), Some(int8)) = (alone(&*subject.float)?, alone(&*subject.int8)?) {
            reason.push_str(&format!(
                "; {} of {} weights are int8, and {:.2} times smaller",
                int8_alone.len(),
                all.len(),
                times(float, int8)
            ));
        }
    }
    Ok(Gate::at_least(ID, times(float, int8), limit, "x smaller", reason))
}

/// The heap that a copy of these weights of a model takes.
fn heap_of(model: &dyn Model, of: &BTreeSet<&str>) -> Result<Option<u64>> {
    let params = model.named_params().into_iter();
    heap_bytes(params.filter(|(name, _)| of.contains(name.as_str())).map(|(_, param)| param))
}
