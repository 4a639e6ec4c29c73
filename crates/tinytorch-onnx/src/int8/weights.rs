//! Weights of 8 bits.

use super::draft::{DEQUANTIZE, Draft, floats, int, is_own};
use super::levels::{Levels, Reader, Search, is_scale};
use crate::error::{OnnxError, shown};
use crate::file::Files;
use crate::proto::{NodeProto, TensorProto};
use crate::tensor::{self, element};
use std::collections::BTreeMap;
use tinytorch_core::Tensor;
use tinytorch_core::autograd::Stored;
use tinytorch_core::int8::{Encoding, Int8Weight, QWeight, Scales};
use tinytorch_core::tensor::Shape;
use tinytorch_kernels::int8::MAX_K_OFF_CENTER;

/// What quantizers call the levels of a value.
pub(crate) const QUANTIZED: &str = "_quantized";

/// What the levels of a weight's shift are called behind the weight's name.
pub(crate) const SHIFT: &str = "_shift_quantized";

/// The levels of a weight, and how they are read.
pub(crate) struct FileWeight {
    levels: TensorProto,
    scales: Vec<f32>,
    /// The level of each output channel that stands for 0, counted from the middle, or one for all.
    zero_points: Vec<i8>,
    /// Whether the file's order is `[in, out]`.
    transposed: bool,
    input: Encoding,
    shift: Option<Vec<f32>>,
}

impl FileWeight {
    /// The weight in a layer's own shape.
    pub(crate) fn stored(self, shape: Shape, files: &mut Files) -> tinytorch_core::Result<Stored> {
        let FileWeight { levels, scales, zero_points, transposed, input, shift } = self;
        let levels = signed(&tensor::tensor(&levels, files)?)?;
        let rows = shape[0];
        let scales = match scales[..] {
            [one] if rows != 1 => Scales::PerTensor(one),
            _ => Scales::PerChannel(scales.into()),
        };
        let weight = QWeight::from_rows(shape, scales, |row, out| {
            match transposed {
                true => out.iter_mut().enumerate().for_each(|(i, to)| *to = levels[i * rows + row]),
                false => out.copy_from_slice(&levels[row * out.len()..][..out.len()]),
            }
            Ok(())
        })?;
        let weight = match zero_points[..] {
            [one] => weight.with_zero_points(&vec![one; rows])?,
            _ => weight.with_zero_points(&zero_points)?,
        };
        let weight = match shift {
            Some(shift) => weight.with_shift(shift.into())?,
            None => weight,
        };
        Ok(Stored::Int8(Int8Weight::new(weight, input)))
    }
}

/// Levels around 0: unsigned ones are counted from 128.
fn signed(levels: &Tensor) -> tinytorch_core::Result<Vec<i8>> {
    match levels.dtype() {
        tinytorch_core::tensor::Dtype::U8 => {
            let signed = levels.to_vec::<u8>()?.into_iter().map(|level| (level ^ 0x80) as i8);
            Ok(signed.collect())
        }
        _ => levels.to_vec(),
    }
}

/// Weights by name, and what stays float with its reason.
type Found = (BTreeMap<String, FileWeight>, Vec<(String, String)>);

/// Makes parameters of the weights behind a `DequantizeLinear`, as far as layers multiply by them.
pub(super) fn find(draft: &mut Draft, files: &mut Files) -> Result<Found, OnnxError> {
    let (mut candidates, mut floats) = (Vec::new(), Vec::new());
    let search = Search::new(draft);
    for (at, node) in draft.nodes.iter().enumerate() {
        let levels = node.input.first().and_then(|name| draft.constant(name));
        let is_weight = node.op_type == DEQUANTIZE && is_own(node);
        let Some(levels) = levels.filter(|levels| is_weight && levels.dims.len() >= 2) else {
            continue;
        };
        match candidate(&search, at, levels, files) {
            Ok(candidate) => candidates.push(candidate),
            Err(Refusal::Reason(reason)) => floats.push((shown(&levels.name), reason)),
            Err(Refusal::Error(error)) => return Err(error),
        }
    }
    let weights = candidates.into_iter().map(|candidate| candidate.adopt(draft));
    Ok((weights.collect(), floats))
}

/// Why a weight is not int8.
enum Refusal {
    /// It multiplies as floats, for this reason.
    Reason(String),
    /// The file is broken.
    Error(OnnxError),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Refusal {
        Refusal::Reason(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Refusal {
        Refusal::Reason(reason.to_string())
    }
}

impl From<OnnxError> for Refusal {
    fn from(error: OnnxError) -> Refusal {
        Refusal::Error(error)
    }
}

/// A weight that can be int8.
struct Candidate {
    /// The place of its `DequantizeLinear`.
    at: usize,
    levels: TensorProto,
    steps: Steps,
    transposed: bool,
    input: Encoding,
    /// Inputs that may read what was not rounded yet.
    before: Vec<(Reader, String)>,
    biases: Vec<Bias>,
}

/// The weight that the node at this place turns into floats, or why it cannot be int8.
fn candidate(
    search: &Search<'_>,
    at: usize,
    levels: &TensorProto,
    files: &mut Files,
) -> Result<Candidate, Refusal> {
    let node = &search.draft.nodes[at];
    let output = node.output.first().ok_or("nobody reads it")?;
    let (layers, transposed) = layers(search, output, levels.dims.len())?;
    let steps = steps(search.draft, node, levels, i64::from(transposed), files)?;
    let (mut before, mut biases) = (Vec::new(), Vec::new());
    let multiplying: Vec<usize> =
        layers.iter().copied().filter(|&layer| !looks_up(&search.draft.nodes[layer])).collect();
    let mut inputs = Vec::with_capacity(multiplying.len());
    for layer in multiplying {
        biases.extend(Bias::of(search, layer, files)?);
        inputs.push(match search.levels((layer, 0), files)? {
            Some(Levels { params, before: source }) => {
                before.extend(source);
                Encoding::Static(params)
            }
            None => Encoding::F32,
        });
    }
    // Rows that are looked up are multiplied by nothing.
    let input = inputs.first().copied().unwrap_or(Encoding::F32);
    if inputs.iter().any(|other| *other != input) {
        return Err("layers read it together with inputs of different ranges".into());
    }
    let levels = levels.clone();
    Ok(Candidate { at, levels, steps, transposed, input, before, biases })
}

/// The layers that multiply by a value, and whether they do by its transpose.
fn layers(search: &Search<'_>, value: &str, rank: usize) -> Result<(Vec<usize>, bool), String> {
    let readers = search.readers_behind_identities(value);
    if readers.is_empty() {
        return Err("it is no weight of a layer alone".into());
    }
    let mut transposed = None;
    for &(at, input) in &readers {
        let node = &search.draft.nodes[at];
        let how = match input {
            0 if rank == 2 && looks_up(node) => Some(false),
            1 => multiplies(node, rank),
            _ => None,
        };
        let how =
            how.ok_or_else(|| format!("{} multiplies floats by it", crate::node::title(node, at)))?;
        if transposed.replace(how).is_some_and(|other| other != how) {
            return Err("layers read it in two orders".into());
        }
    }
    Ok((readers.iter().map(|(at, _)| *at).collect(), transposed.unwrap_or(false)))
}

/// Whether a node looks up rows of its first input.
fn looks_up(node: &NodeProto) -> bool {
    node.op_type == "Gather" && is_own(node) && int(node, "axis").unwrap_or(0) == 0
}

/// Whether a node is a layer whose weight is its second input, of this rank, and if so whether that is `[in, out]`.
fn multiplies(node: &NodeProto, rank: usize) -> Option<bool> {
    let alpha = node.attribute.iter().find(|attribute| attribute.name == "alpha");
    match node.op_type.as_str() {
        _ if !is_own(node) => None,
        "Conv" => (3..=4).contains(&rank).then_some(false),
        "MatMul" => (rank == 2).then_some(true),
        "Gemm" => {
            let is_plain =
                int(node, "transA").unwrap_or(0) == 0 && alpha.is_none_or(|a| a.f == 1.0);
            (rank == 2 && is_plain).then(|| int(node, "transB").unwrap_or(0) == 0)
        }
        _ => None,
    }
}

/// What a weight's levels stand for.
struct Steps {
    /// The scale of each output channel, or one for all.
    scales: Vec<f32>,
    /// The zero points, likewise, counted from the middle of the levels.
    zero_points: Vec<i8>,
}

fn steps(
    draft: &Draft,
    node: &NodeProto,
    levels: &TensorProto,
    channels: i64,
    files: &mut Files,
) -> Result<Steps, Refusal> {
    let given = |i: usize| node.input.get(i).filter(|name| !name.is_empty());
    let middle = match levels.data_type {
        element::I8 => 0.0,
        element::U8 => 128.0,
        other => return Err(format!("its levels are {}", tensor::type_name(other)).into()),
    };
    let zero_points = match given(2).map(|name| draft.constant(name)) {
        Some(Some(zero_point)) => tensor::numbers(zero_point, files)?,
        None => vec![0.0],
        Some(None) => return Err("its zero point is computed".into()),
    };
    let Some(scales) = given(1).and_then(|name| draft.constant(name)) else {
        return Err("its scale is computed".into());
    };
    let scales = tensor::numbers(scales, files)?;
    if int(node, "block_size").is_some_and(|size| size != 0) {
        return Err("its scales come in blocks".into());
    }
    if let Some(scale) = scales.iter().find(|scale| !is_scale(**scale)) {
        return Err(format!("its scale is {scale}").into());
    }
    let rank = levels.dims.len() as i64;
    let axis = int(node, "axis").unwrap_or(1);
    let axis = if axis < 0 { axis + rank } else { axis };
    let expected = levels.dims.get(channels as usize).copied().unwrap_or(0);
    for (what, list) in [("scales", &scales), ("zero points", &zero_points)] {
        if list.len() != 1 && axis != channels {
            return Err(format!(
                "its {what} lie along axis {axis}, and its output channels along axis {channels}"
            )
            .into());
        }
        if list.len() != 1 && list.len() as i64 != expected {
            return Err(format!("it has {} {what} for {expected} channels", list.len()).into());
        }
    }
    let values = levels.dims.iter().product::<i64>() / expected.max(1);
    let longest = MAX_K_OFF_CENTER as i64;
    if values > longest && zero_points.iter().any(|zero_point| *zero_point != middle) {
        return Err(format!(
            "its channels have {values} values each and a zero point; up to {longest} certainly fit 32 bits"
        )
        .into());
    }
    let zero_points = zero_points.iter().map(|zero_point| from_middle(*zero_point, middle));
    let zero_points = zero_points.collect::<Result<_, _>>()?;
    Ok(Steps { scales, zero_points })
}

/// A zero point counted from the middle of the levels.
fn from_middle(zero_point: f32, middle: f32) -> Result<i8, String> {
    let steps = zero_point - middle;
    let is_level = (f32::from(i8::MIN)..=f32::from(i8::MAX)).contains(&steps);
    match is_level && steps.fract() == 0.0 {
        true => Ok(steps as i8),
        false => Err(format!("its zero point is {zero_point}, which none of its levels is")),
    }
}

impl Candidate {
    /// Makes the weight a parameter of the graph.
    fn adopt(self, draft: &mut Draft) -> (String, FileWeight) {
        let Candidate { at, levels, steps, transposed, input, before, biases } = self;
        let name = own_name(draft, at, &levels.name);
        draft.replace(&levels.name, floats(&name, &levels.dims, &[]));
        for ((reader, i), source) in before {
            draft.nodes[reader].input[i] = source;
        }
        let output = draft.nodes[at].output[0].clone();
        draft.rename(&output, &name);
        let mut shift = None;
        for bias in biases {
            match bias.levels == format!("{name}{SHIFT}") {
                true => {
                    draft.remove(bias.at);
                    draft.nodes[bias.layer].input.truncate(2);
                    shift = Some(bias.values);
                }
                false => bias.adopt(draft),
            }
        }
        let Steps { scales, zero_points } = steps;
        (name, FileWeight { levels, scales, zero_points, transposed, input, shift })
    }
}

/// A bias that lies behind a `DequantizeLinear` of its own.
struct Bias {
    /// The place of that node.
    at: usize,
    /// The place of the layer that adds it.
    layer: usize,
    /// What its levels are called.
    levels: String,
    values: Vec<f32>,
}

impl Bias {
    fn of(search: &Search<'_>, layer: usize, files: &mut Files) -> Result<Option<Bias>, OnnxError> {
        let draft = search.draft;
        let Some(name) = draft.nodes[layer].input.get(2) else { return Ok(None) };
        let is_alone = search.readers(name).len() == 1 && !draft.is_kept(name);
        let Some(at) = search.giver(name).filter(|_| is_alone) else { return Ok(None) };
        let node = &draft.nodes[at];
        let constant = |i: usize| node.input.get(i).and_then(|name| draft.constant(name));
        let (Some(levels), Some(scales)) = (constant(0), constant(1)) else { return Ok(None) };
        if node.op_type != DEQUANTIZE || !is_own(node) || levels.dims.len() != 1 {
            return Ok(None);
        }
        let zero_points = match constant(2) {
            Some(zero_points) => tensor::numbers(zero_points, files)?,
            None => vec![0.0],
        };
        let (scales, steps) = (tensor::numbers(scales, files)?, tensor::numbers(levels, files)?);
        let each = |list: &[f32], i: usize| match list {
            [one] => Some(*one),
            many => many.get(i).copied(),
        };
        let value =
            |(i, step): (usize, &f32)| Some((step - each(&zero_points, i)?) * each(&scales, i)?);
        let values = steps.iter().enumerate().map(value).collect::<Option<Vec<f32>>>();
        let levels = levels.name.clone();
        Ok(values.map(|values| Bias { at, layer, levels, values }))
    }

    /// Makes the bias a constant of floats in the graph.
    fn adopt(self, draft: &mut Draft) {
        let name = own_name(draft, self.at, &self.levels);
        draft.replace(&self.levels, floats(&name, &[self.values.len() as i64], &self.values));
        draft.nodes[self.layer].input[2] = name;
    }
}

/// What a value is called that stands behind these levels, whose `DequantizeLinear` is taken away: as its levels
/// without what quantizers add, if that is free.
fn own_name(draft: &mut Draft, at: usize, levels: &str) -> String {
    draft.remove(at);
    let own = levels.strip_suffix(QUANTIZED).unwrap_or_default();
    match draft.is_free(own) {
        true => own.to_string(),
        false => draft.nodes[at].output[0].clone(),
    }
}
