//! Whether the weights take a quarter of the memory.

use crate::Result;
use crate::audit::{Gate, Subject};
use crate::autograd::{Param, Stored};
use crate::int8::{Granularity, QWeight};
use crate::models::Model;
use crate::quant::is_weight;
use std::collections::BTreeSet;
use tinytorch_kernels::os::alloc;

/// The weights take a quarter of the memory, by the allocator: all of them together, those that stayed floats
/// included, as near to a quarter as the mix allows.
///
/// Every weight is copied once as it is stored, and the growth of the live heap is what it takes:
/// padding, column sums or a float copy kept beside it would show.
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
        (live_bytes(&*subject.float, &all)?, live_bytes(&*subject.int8, &all)?)
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
    let times = |float: usize, int8: usize| float as f64 / int8.max(1) as f64;
    let mut reason = format!("live heap of all weights: {float} bytes in float, {int8} in int8");
    if int8_alone.len() < all.len() {
        let alone = |model| live_bytes(model, &int8_alone);
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

/// Growth of the live heap while a copy of these weights of a model is held.
fn live_bytes(model: &dyn Model, of: &BTreeSet<&str>) -> Result<Option<usize>> {
    let params = model.named_params();
    let Some(before) = alloc::stats() else { return Ok(None) };
    let mut copies = Vec::with_capacity(of.len());
    for (name, param) in &params {
        if of.contains(name.as_str()) {
            copies.push(deep_copy(param)?);
        }
    }
    let list = copies.capacity() * size_of::<Copy>();
    let after = alloc::stats().map_or(0, |stats| stats.live_bytes);
    let growth = after.saturating_sub(before.live_bytes).saturating_sub(list);
    Ok(Some(growth))
}

/// The payload of a parameter; what describes it lies in the list of copies, which is not counted.
enum Copy {
    Float { _values: Vec<f32> },
    Int8 { _weight: QWeight },
}

fn deep_copy(param: &Param) -> Result<Copy> {
    Ok(match param.stored() {
        Stored::Int8(weight) => Copy::Int8 { _weight: (**weight).clone() },
        _ => Copy::Float { _values: param.value()?.to_vec::<f32>()? },
    })
}
