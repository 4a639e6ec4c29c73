//! An int8 file as an engine would read it that gets one thing wrong, to tell by its answers which.

use super::draft::{DEQUANTIZE, Draft, floats, is_own, plain};
use super::levels::Search;
use super::places::{Place, axis, places};
use crate::error::OnnxError;
use crate::file::Files;
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use crate::tensor::{self, element};
use prost::Message;
use std::collections::BTreeSet;
use std::path::Path;
use tinytorch_core::Result;

/// Something that an engine may get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misreading {
    /// Weights are read as if they were symmetric: their zero points are the middle of the levels.
    SymmetricWeights,
    /// The zero points of weights are left out.
    NoWeightZeroPoints,
    /// The zero points of what is no weight are left out where levels are read.
    NoInputZeroPoints,
    /// Every channel has the scale of the first.
    OneScale,
    /// Scales lie along another axis of the same size.
    OtherAxis,
}

impl Misreading {
    /// All of them.
    pub const ALL: [Misreading; 5] = [
        Misreading::SymmetricWeights,
        Misreading::NoWeightZeroPoints,
        Misreading::NoInputZeroPoints,
        Misreading::OneScale,
        Misreading::OtherAxis,
    ];

    /// A file that means what an engine makes of this one that gets this wrong; `None` if it would make the same of it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn of(self, file: &Path) -> Result<Option<Vec<u8>>> {
        edited(file, |draft, files| {
            let mut has_changed = false;
            for place in places(draft) {
                has_changed |= self.misread_weight(draft, place, files)?;
            }
            if self == Misreading::NoInputZeroPoints {
                has_changed |= without_input_zero_points(draft, files)?;
            }
            Ok(has_changed)
        })
    }

    fn misread_weight(
        self,
        draft: &mut Draft,
        place: Place,
        files: &mut Files,
    ) -> Result<bool, OnnxError> {
        let levels = draft.nodes[place.node].input[place.levels].clone();
        let middle = match draft.constant(&levels).map(|levels| levels.data_type) {
            Some(element::U8) => 128,
            _ => 0,
        };
        match self {
            Misreading::SymmetricWeights => {
                set_zero_point(draft, (place.node, place.zero_point), middle, files)
            }
            Misreading::NoWeightZeroPoints => {
                set_zero_point(draft, (place.node, place.zero_point), 0, files)
            }
            Misreading::NoInputZeroPoints => Ok(false),
            Misreading::OneScale => one_scale(draft, place, files),
            Misreading::OtherAxis => Ok(other_axis(draft, place)),
        }
    }
}

/// The same model with weights of 7 bits, of which no two products exceed 16 bits: engines that saturate do not on it.
///
/// # Errors
/// What is wrong with the file.
pub fn in_seven_bits(file: &Path) -> Result<Option<Vec<u8>>> {
    edited(file, |draft, files| {
        let mut halved = BTreeSet::new();
        let all = places(draft);
        for place in &all {
            halve_bias(draft, *place, &mut halved, files)?;
        }
        for place in &all {
            halve_weight(draft, *place, files)?;
        }
        Ok(!all.is_empty())
    })
}

/// The file after an edit of its graph, if that changes something.
fn edited(
    file: &Path,
    edit: impl FnOnce(&mut Draft, &mut Files) -> Result<bool, OnnxError>,
) -> Result<Option<Vec<u8>>> {
    let (proto, mut files) = Files::open(file)?;
    let Some(graph) = &proto.graph else { return Ok(None) };
    let mut draft = Draft::of(graph);
    if !edit(&mut draft, &mut files)? {
        return Ok(None);
    }
    let mut graph = GraphProto { name: "misread".into(), ..draft.into_graph(graph) };
    files.fetch(&mut graph)?;
    Ok(Some(ModelProto { graph: Some(graph), ..proto.clone() }.encode_to_vec()))
}

/// Gives a zero point of constant levels this value. Whether it had another.
fn set_zero_point(
    draft: &mut Draft,
    (node, input): (usize, usize),
    value: i32,
    files: &mut Files,
) -> Result<bool, OnnxError> {
    let Some(old) = draft.nodes[node].input.get(input).and_then(|name| draft.constant(name)) else {
        return Ok(false);
    };
    if tensor::numbers(old, files)?.iter().all(|zero| *zero == value as f32) {
        return Ok(false);
    }
    let count = old.dims.iter().product::<i64>() as usize;
    let (dims, data_type, name) =
        (old.dims.clone(), old.data_type, format!("{}_misread", old.name));
    let name = draft.fresh(name);
    let int32_data = vec![value; count];
    draft.add(TensorProto {
        name: name.clone(),
        dims,
        data_type,
        int32_data,
        ..TensorProto::default()
    });
    draft.nodes[node].input[input] = name;
    Ok(true)
}

/// Where operators read the zero points of levels that are no weights.
fn input_zero_points(node: &NodeProto) -> Vec<usize> {
    match node.op_type.as_str() {
        DEQUANTIZE if is_own(node) => vec![2],
        "QLinearAdd" | "QLinearMul" | "QLinearMatMul" => vec![2, 5],
        "QLinearConcat" => (4..node.input.len()).step_by(3).collect(),
        "QGemm" => vec![2],
        op if op.starts_with("QLinear") => vec![2],
        _ => Vec::new(),
    }
}

fn without_input_zero_points(draft: &mut Draft, files: &mut Files) -> Result<bool, OnnxError> {
    let mut has_changed = false;
    for node in 0..draft.nodes.len() {
        for input in input_zero_points(&draft.nodes[node]) {
            let levels = input.checked_sub(2).and_then(|i| draft.nodes[node].input.get(i));
            if levels.is_some_and(|levels| draft.constant(levels).is_none()) {
                has_changed |= set_zero_point(draft, (node, input), 0, files)?;
            }
        }
    }
    Ok(has_changed)
}

fn one_scale(draft: &mut Draft, place: Place, files: &mut Files) -> Result<bool, OnnxError> {
    let Some((input, scale)) = scale_of(draft, place) else { return Ok(false) };
    let scales = tensor::numbers(&scale, files)?;
    let Some(first) = scales.first().copied().filter(|one| scales.iter().any(|other| other != one))
    else {
        return Ok(false);
    };
    let name = draft.add_floats(
        format!("{}_misread", scale.name),
        &scale.dims,
        &vec![first; scales.len()],
    );
    draft.nodes[place.node].input[input] = name;
    Ok(true)
}

fn other_axis(draft: &mut Draft, place: Place) -> bool {
    let Some((_, scale)) = scale_of(draft, place) else { return false };
    let node = &draft.nodes[place.node];
    let Some(levels) = draft.constant(&node.input[place.levels]) else { return false };
    let own = axis(node, levels.dims.len());
    let size = levels.dims[own];
    let other = (0..levels.dims.len()).find(|&axis| axis != own && levels.dims[axis] == size);
    let Some(other) = other.filter(|_| scale.dims == [size] && size > 1) else { return false };
    let attributes = &mut draft.nodes[place.node].attribute;
    let attribute = attributes.iter_mut().find(|attribute| attribute.name == "axis");
    attribute.map(|attribute| attribute.i = other as i64).is_some()
}

/// Which input of its node is the scale of a weight, and the constant that it is.
fn scale_of(draft: &Draft, place: Place) -> Option<(usize, TensorProto)> {
    let input = place.scale?;
    let name = draft.nodes[place.node].input.get(input)?;
    Some((input, draft.constant(name)?.clone()))
}

/// Halves the levels of a weight and of its zero point, counted from the middle, and doubles its scale, or what integers it gives.
fn halve_weight(draft: &mut Draft, place: Place, files: &mut Files) -> Result<(), OnnxError> {
    for input in [place.levels, place.zero_point] {
        let levels = draft.nodes[place.node].input.get(input);
        let Some(levels) = levels.and_then(|name| draft.constant(name)).cloned() else { continue };
        let middle = if levels.data_type == element::U8 { 128.0 } else { 0.0 };
        let half = |level: f32| (middle + ((level - middle) / 2.0).round_ties_even()) as i32 as u8;
        let raw: Vec<u8> = tensor::numbers(&levels, files)?.into_iter().map(half).collect();
        let name = draft.fresh(format!("{}_halved", levels.name));
        draft.add(TensorProto {
            name: name.clone(),
            dims: levels.dims.clone(),
            data_type: levels.data_type,
            raw_data: raw.into(),
            ..TensorProto::default()
        });
        draft.nodes[place.node].input[input] = name;
    }
    if place.scale.is_some() {
        return double(draft, place.node, place.scale, files);
    }
    let output = draft.nodes[place.node].output[0].clone();
    let half = draft.fresh(format!("{output}_half"));
    draft.nodes[place.node].output[0].clone_from(&half);
    draft.follow(place.node, vec![plain("Add", vec![half.clone(), half], &output)]);
    Ok(())
}

/// Halves the biases that are multiples of this weight's steps, each once.
fn halve_bias(
    draft: &mut Draft,
    place: Place,
    halved: &mut BTreeSet<usize>,
    files: &mut Files,
) -> Result<(), OnnxError> {
    let mut biases = Vec::new();
    match place.bias {
        Some(bias) => biases.push((place.node, bias, None)),
        None if place.scale.is_some() => {
            let search = Search::new(draft);
            for &(layer, input) in search.readers(&draft.nodes[place.node].output[0]) {
                let bias = draft.nodes[layer].input.get(2).filter(|_| input == 1);
                let node = bias.and_then(|bias| search.giver(bias));
                let is_levels = |node: &usize| draft.nodes[*node].op_type == DEQUANTIZE;
                biases.extend(node.filter(is_levels).map(|node| (node, 0, Some(1))));
            }
        }
        None => {}
    }
    for (node, input, scale) in biases {
        let levels = draft.nodes[node].input.get(input).and_then(|name| draft.constant(name));
        let is_bias = |levels: &&TensorProto| levels.data_type == element::I32;
        let Some(levels) = levels.filter(is_bias).cloned() else { continue };
        if !halved.insert(node) {
            continue;
        }
        let values = tensor::tensor(&levels, files)?.to_vec::<i32>();
        let values = values.map_err(|error| OnnxError::Tensor {
            tensor: levels.name.clone(),
            problem: error.to_string(),
        })?;
        let name = draft.fresh(format!("{}_halved", levels.name));
        let half = |level: i32| (f64::from(level) / 2.0).round_ties_even() as i32;
        draft.add(TensorProto {
            name: name.clone(),
            dims: levels.dims.clone(),
            data_type: element::I32,
            int32_data: values.into_iter().map(half).collect(),
            ..TensorProto::default()
        });
        draft.nodes[node].input[input] = name;
        double(draft, node, scale, files)?;
    }
    Ok(())
}

/// Doubles the scale that a node reads there.
fn double(
    draft: &mut Draft,
    node: usize,
    scale: Option<usize>,
    files: &mut Files,
) -> Result<(), OnnxError> {
    let name = scale.and_then(|scale| draft.nodes[node].input.get(scale));
    let Some((scale, old)) = scale.zip(name.and_then(|name| draft.constant(name)).cloned()) else {
        return Ok(());
    };
    let doubled: Vec<f32> =
        tensor::numbers(&old, files)?.into_iter().map(|scale| 2.0 * scale).collect();
    let name = draft.fresh(format!("{}_doubled", old.name));
    draft.add(floats(&name, &old.dims, &doubled));
    draft.nodes[node].input[scale] = name;
    Ok(())
}
