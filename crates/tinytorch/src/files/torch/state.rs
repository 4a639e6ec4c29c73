//! The tensors of a state dict.

use super::super::FileDtype;
use super::TorchError;
use super::pickle::{Global, Made, Node, Value, read};
use crate::tensor::Shape;
use std::ops::Range;

/// What a checkpoint of a training calls the state dict in it.
const NAMES: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// A tensor as its pickle describes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) dtype: FileDtype,
    pub(super) shape: Shape,
    /// The name of its bytes.
    pub(super) storage: String,
    /// Its first element there.
    offset: usize,
}

impl Described {
    /// Its bytes, of the `available` ones of its storage.
    pub(super) fn bytes(&self, available: usize) -> Result<Range<usize>, TorchError> {
        let size = self.dtype.bitsize() / 8;
        let start = self.offset.checked_mul(size);
        let len = self.shape.len().checked_mul(size);
        let range = start.zip(len).and_then(|(start, len)| Some(start..start.checked_add(len)?));
        range
            .filter(|range| range.end <= available)
            .ok_or_else(|| TorchError::Outside { tensor: self.name.clone() })
    }
}

/// The tensors of the state dict that a pickle makes: what it makes itself, or what a checkpoint in it calls
/// its state dict.
pub(super) fn tensors(pickle: &[u8]) -> Result<Vec<Described>, TorchError> {
    let made = read(pickle)?;
    let mut entries = dict(&made, made.top).ok_or(TorchError::NoStateDict)?;
    let named = |name: &&str| entries.iter().find(|(key, _)| *key == Value::Text(name));
    if let Some((_, inner)) = NAMES.iter().find_map(named)
        && let Some(below) = dict(&made, *inner)
    {
        entries = below;
    }
    entries.iter().map(|(name, value)| tensor(&made, *name, *value)).collect()
}

fn dict<'m, 'p>(made: &'m Made<'p>, value: Value<'p>) -> Option<&'m [(Value<'p>, Value<'p>)]> {
    match made.node(value)? {
        Node::Dict(entries) => Some(entries),
        _ => None,
    }
}

fn tensor<'p>(made: &Made<'p>, name: Value<'p>, value: Value<'p>) -> Result<Described, TorchError> {
    let Value::Text(name) = name else { return Err(TorchError::NoStateDict) };
    let none = || TorchError::NoTensor { name: name.to_string() };
    let Some(Node::Tensor(arguments)) = made.node(value) else { return Err(none()) };
    let &[storage, Value::Int(offset), size, stride, ..] =
        made.tuple(*arguments).ok_or_else(none)?
    else {
        return Err(none());
    };
    let Some(Node::Storage(id)) = made.node(storage) else { return Err(none()) };
    let &[Value::Text("storage"), Value::Global(Global::Storage(dtype)), Value::Text(key), ..] =
        made.tuple(*id).ok_or_else(none)?
    else {
        return Err(none());
    };
    let (size, stride) =
        (sizes(made, size).ok_or_else(none)?, sizes(made, stride).ok_or_else(none)?);
    let shape = Shape::new(&size).map_err(|_| TorchError::Outside { tensor: name.to_string() })?;
    if !is_contiguous(&size, &stride) {
        return Err(TorchError::Strided { tensor: name.to_string() });
    }
    let offset = usize::try_from(offset).map_err(|_| none())?;
    Ok(Described { name: name.to_string(), dtype, shape, storage: key.to_string(), offset })
}

/// A tuple of sizes.
fn sizes<'p>(made: &Made<'p>, value: Value<'p>) -> Option<Vec<usize>> {
    let size = |value: &Value<'_>| match value {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    made.tuple(value)?.iter().map(size).collect()
}

/// Whether elements lie one after the other, the last axis fastest. The step along an axis of one element says
/// nothing.
fn is_contiguous(size: &[usize], stride: &[usize]) -> bool {
    let mut step = 1usize;
    let mut axes = size.iter().zip(stride).rev();
    size.len() == stride.len()
        && (size.contains(&0)
            || axes.all(|(&size, &stride)| {
                let fits = size == 1 || stride == step;
                step = step.saturating_mul(size);
                fits
            }))
}
