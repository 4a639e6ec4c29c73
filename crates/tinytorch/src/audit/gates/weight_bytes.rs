//! Whether the weights take a quarter of the memory.

use crate::Result;
use crate::audit::{Gate, Subject};
use crate::autograd::{Param, Stored};
use crate::int8::{Granularity, QWeight};
use std::collections::BTreeSet;
use tinytorch_kernels::os::alloc;

/// The weights take a quarter of the memory, by the allocator.
///
/// Every weight is copied once as it is stored, and the growth of the live heap is what it takes:
/// padding, column sums or a float copy kept beside it would show.
pub(crate) fn weight_bytes(subject: &Subject) -> Result<Gate> {
    const ID: &str = "weight_bytes";
    let Some(float) = live_bytes(subject, |subject| &*subject.float)? else {
        let reason = "this program does not count its allocations".to_string();
        return Ok(Gate::unknown(ID, reason));
    };
    let int8 = live_bytes(subject, |subject| &*subject.int8)?.unwrap_or(usize::MAX);
    let (mut dense, mut bound, mut blocks) = (0usize, 0usize, false);
    for (_, param) in subject.int8.named_params() {
        if let Some(weight) = param.int8() {
            dense += weight.shape().len() * size_of::<f32>();
            bound += super::least_bytes(weight);
            blocks |= weight.scales().granularity() == Granularity::Blocks;
        }
    }
    let limit = super::size_limit(blocks, dense as f64 / bound.max(1) as f64);
    let ratio = float as f64 / int8.max(1) as f64;
    let reason = format!("live heap of the weights: {float} bytes in float, {int8} in int8");
    Ok(Gate::at_least(ID, ratio, limit, "x smaller", reason))
}

/// Growth of the live heap while a copy of the weights is held, for the parameters that are int8 in
/// the quantized model.
fn live_bytes<'a>(
    subject: &'a Subject,
    side: impl Fn(&'a Subject) -> &'a dyn crate::models::Model,
) -> Result<Option<usize>> {
    let is_int8 = |(name, param): (String, &Param)| param.int8().map(|_| name);
    let int8: BTreeSet<String> =
        subject.int8.named_params().into_iter().filter_map(is_int8).collect();
    let Some(before) = alloc::stats() else { return Ok(None) };
    let mut copies = Vec::with_capacity(int8.len());
    for (name, param) in side(subject).named_params() {
        if int8.contains(&name) {
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
