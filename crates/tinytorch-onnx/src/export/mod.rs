//! A model as an ONNX file again: its graph, with the values that its parameters have now.
//!
//! Int8 weights are written as such, each behind a `DequantizeLinear` under the weight's own name, and inputs with a
//! fixed range pass through `QuantizeLinear` and `DequantizeLinear`: the form from which ONNX Runtime and OpenVINO
//! make integer kernels. Batch norms that were folded become identities; beside the graph the file says what they
//! were, so that it can be read as the same model again.

mod operators;

use crate::OnnxModel;
use crate::apply::{Held, Use};
use crate::error::{OnnxError, shown};
use crate::int8::{QUANTIZED, SHIFT, dequantize, is_plain_product, plain};
use crate::memory::Memory;
use crate::program::Source;
use crate::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
};
use crate::tensor;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use tinytorch_core::int8::{Encoding, Int8Weight, QParams, Scales};
use tinytorch_core::ops::Weight;
use tinytorch_core::{Result, Tensor};

/// The first version of ONNX's operators that knows scales along an axis.
const SCALES_BY_CHANNEL: i64 = 13;

/// Versions of ONNX's operators from which on a file needs a version of the format, by the table of ONNX's releases.
const FORMATS: [(i64, i64); 6] = [(23, 11), (21, 10), (19, 9), (15, 8), (13, 7), (0, 6)];

/// How an int8 file says that its layers multiply integers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Operators of floats between `QuantizeLinear` and `DequantizeLinear`, from which engines make integer kernels.
    #[default]
    Qdq,
    /// Operators of integers, such as `QLinearConv` and `QGemm`, which mean the same without being rewritten. The file is for
    /// engines alone: it does not say how the float model can be told from it.
    QOperator,
}

/// An ONNX file, and what it holds of a model.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The file.
    pub bytes: Vec<u8>,
    /// The weights whose products other engines can run in integers: int8, with inputs of a fixed range.
    pub int8: Vec<String>,
    /// The weights that are int8 in the file, and multiply floats there, since their inputs take their ranges as they come.
    pub weights_only: Vec<String>,
    /// The int8 weights that are floats in the file, since their scales come in blocks.
    pub floats: Vec<String>,
}

impl OnnxModel {
    /// Whether a file of this model can hold int8 weights.
    ///
    /// # Errors
    /// [`OnnxError::Opset`] for a version of ONNX's operators that has no scales by channel.
    pub fn takes_int8(&self) -> Result<()> {
        let version = self.version();
        match version < SCALES_BY_CHANNEL {
            true => Err(OnnxError::Opset { version, needed: SCALES_BY_CHANNEL }.into()),
            false => Ok(()),
        }
    }

    /// The version of ONNX's own operators.
    fn version(&self) -> i64 {
        let own = self.graph().opset_import.iter().find(|set| set.domain.is_empty());
        own.map_or(1, |set| set.version)
    }

    /// The model as an ONNX file.
    ///
    /// # Errors
    /// [`OnnxError::Opset`] for int8 weights in a model whose version of ONNX's operators has no scales by channel,
    /// [`OnnxError::Tensor`] for a weight with something beside it, such as an adapter, and for parameters
    /// without values.
    pub fn to_onnx(&self) -> Result<Exported> {
        self.to_onnx_as(Form::Qdq)
    }

    /// [`OnnxModel::to_onnx`] in a form.
    ///
    /// # Errors
    /// As [`OnnxModel::to_onnx`].
    pub fn to_onnx_as(&self, form: Form) -> Result<Exported> {
        let mut model = self.graph().clone();
        let graph = model.graph.take().unwrap_or_default();
        let version = self.version();
        let mut writer = Writer::new(self)?;
        if !writer.int8.is_empty() {
            self.takes_int8()?;
        }
        let mut graph = writer.graph(graph)?;
        as_held(&mut graph);
        if form == Form::QOperator {
            graph = operators::with_integers(graph)?;
            if graph.node.iter().any(|node| node.domain == operators::DOMAIN) {
                let (domain, version) = (operators::DOMAIN.to_string(), 1);
                model.opset_import.push(OperatorSetIdProto { domain, version });
            }
        }
        model.graph = Some(GraphProto { name: "tinytorch".into(), ..graph });
        model.producer_name = "tinytorch".into();
        model.producer_version = env!("CARGO_PKG_VERSION").into();
        let format = FORMATS.iter().find(|(least, _)| version >= *least);
        model.ir_version = format.map_or(6, |(_, format)| *format);
        model.metadata_props = entries(self.metadata());
        if form == Form::Qdq {
            writer.memory.write(&mut model.metadata_props);
        }
        Ok(writer.exported(&model))
    }
}

/// An int8 weight, and how the file has it.
struct InFile<'m> {
    weight: &'m Int8Weight,
    how: Use,
}

impl InFile<'_> {
    /// The axis of the output channels.
    fn axis(&self) -> i64 {
        i64::from(matches!(self.how, Use::Transposed | Use::Gates))
    }

    /// How its input is quantized, if by a fixed range.
    fn range(&self) -> Option<QParams> {
        match self.weight.input() {
            // A state between two steps is no value of the graph.
            Encoding::Static(params) if self.how != Use::Gates => Some(params),
            _ => None,
        }
    }

    /// The scale of each output channel, or one for all.
    fn scales(&self) -> Option<&[f32]> {
        match self.weight.scales() {
            Scales::PerTensor(scale) => Some(std::slice::from_ref(scale)),
            Scales::PerChannel(scales) => Some(scales),
            Scales::Blocks(_) => None,
        }
    }
}

/// A constant of the graph, and what is written where it stood.
#[derive(Default)]
struct Place {
    /// The constant as it was, unless it is written in another form.
    kept: Option<TensorProto>,
    written: Vec<TensorProto>,
}

struct Writer<'m> {
    params: BTreeMap<&'m str, (&'m Held, Use)>,
    int8: BTreeMap<&'m str, InFile<'m>>,
    folded: BTreeSet<&'m str>,
    /// In their order in the graph, and where each name's is.
    places: Vec<Place>,
    known: BTreeMap<String, usize>,
    nodes: Vec<NodeProto>,
    memory: Memory,
    /// Names that are given.
    names: BTreeSet<String>,
    /// What quantized inputs are called, by the value and how it is quantized.
    inputs: BTreeMap<(String, u32, u8), String>,
}

impl<'m> Writer<'m> {
    fn new(model: &'m OnnxModel) -> Result<Writer<'m>> {
        let program = model.program();
        let mut uses = vec![Use::Value; program.params.len()];
        for step in &program.steps {
            for (i, slot) in step.inputs.iter().enumerate() {
                if let Some(Source::Param(param)) = slot.map(|slot| &program.sources[slot]) {
                    uses[*param] = step.operator.how(i);
                }
            }
        }
        let named = program.params.iter().zip(&uses);
        let params: BTreeMap<_, _> =
            named.map(|((name, held), how)| (name.as_str(), (held, *how))).collect();
        let int8 = params.iter().filter_map(|(name, (held, how))| match held {
            Held::Weight(weight) => {
                weight.int8().map(|weight| (*name, InFile { weight, how: *how }))
            }
            Held::Param(_) => None,
        });
        let int8 = int8.collect();
        let folded = program.norms.iter().filter(|(_, folded)| *folded);
        let folded = folded.map(|(name, _)| name.as_str()).collect();
        let (places, nodes, memory) = (Vec::new(), Vec::new(), Memory::default());
        let (names, known, inputs) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Writer { params, int8, folded, places, known, nodes, memory, names, inputs })
    }

    /// A name that nothing has yet.
    fn fresh(&mut self, wanted: String) -> String {
        let mut name = wanted;
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// Writes a constant where the one of this name stood.
    fn beside(&mut self, name: &str, constant: TensorProto) {
        let last = self.places.len();
        let place = *self.known.entry(name.to_string()).or_insert(last);
        if place == last {
            self.places.push(Place::default());
        }
        self.places[place].written.push(constant);
    }

    /// The constant of this name, as it was.
    fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.known.get(name).and_then(|place| self.places[*place].kept.as_ref())
    }

    fn graph(&mut self, graph: GraphProto) -> Result<GraphProto> {
        self.names.extend(graph.initializer.iter().map(|one| one.name.clone()));
        self.names.extend(graph.input.iter().map(|input| input.name.clone()));
        self.names.extend(graph.node.iter().flat_map(|node| node.output.iter().cloned()));
        for initializer in graph.initializer {
            let name = initializer.name.clone();
            self.memory.order.push(name.clone());
            self.known.insert(name.clone(), self.places.len());
            self.places.push(Place::default());
            let kept = match self.params.get(name.as_str()).copied() {
                None => Some(initializer),
                Some((Held::Param(param), _)) => Some(tensor::proto(&name, param.value()?)?),
                Some((Held::Weight(weight), how)) => {
                    self.weight(&name, weight, how, initializer.dims)?;
                    None
                }
            };
            self.places[self.known[&name]].kept = kept;
        }
        let mut aliases = BTreeMap::new();
        for mut node in graph.node {
            if let ("Identity" | "Dropout", [from, ..], [to, ..]) =
                (node.op_type.as_str(), &node.input[..], &node.output[..])
            {
                let from = aliases.get(from).unwrap_or(from).clone();
                aliases.insert(to.clone(), from);
            }
            self.node(&mut node, &aliases)?;
            self.nodes.push(node);
        }
        let read: BTreeSet<&String> = self.nodes.iter().flat_map(|node| &node.input).collect();
        let outputs: BTreeSet<&String> = graph.output.iter().map(|output| &output.name).collect();
        let has_bodies = self.nodes.iter().any(|n| n.attribute.iter().any(|a| a.g.is_some()));
        let is_used = |constant: &TensorProto| {
            has_bodies || read.contains(&constant.name) || outputs.contains(&constant.name)
        };
        let written = std::mem::take(&mut self.places).into_iter().flat_map(|place| {
            place.kept.into_iter().filter(is_used).chain(place.written).collect::<Vec<_>>()
        });
        let initializer = written.collect();
        let node = std::mem::take(&mut self.nodes);
        Ok(GraphProto { node, initializer, ..graph })
    }

    /// Writes a weight under its name.
    fn weight(&mut self, name: &str, weight: &Weight, how: Use, dims: Vec<i64>) -> Result<()> {
        if weight.has_attachments() {
            let problem = "something stands beside it; merge adapters before the model is exported";
            return Err(OnnxError::Tensor { tensor: shown(name), problem: problem.into() }.into());
        }
        let in_file = |values: Tensor| -> Result<Tensor> {
            let values = if how == Use::Transposed { values.transpose(0, 1)? } else { values };
            values.contiguous()
        };
        let dims = |proto: TensorProto| TensorProto { dims: dims.clone(), ..proto };
        let Some(int8) = self.int8.get(name) else {
            let values = in_file(weight.value()?.clone())?;
            self.beside(name, dims(tensor::proto(name, &values)?));
            return Ok(());
        };
        let Some(scales) = int8.scales() else {
            let values = in_file(int8.weight.dequantize()?)?;
            self.beside(name, dims(tensor::proto(name, &values)?));
            return Ok(());
        };
        let zero_points = int8.weight.zero_points();
        let is_one = scales.len() == 1 && zero_points.windows(2).all(|pair| pair[0] == pair[1]);
        let axis = (!is_one).then(|| int8.axis());
        let rows = int8.weight.panels().n();
        // Zero points and scales are as many of each.
        let scales = match (is_one, scales) {
            (true, _) => Tensor::scalar(scales[0]),
            (false, [one]) => vector(&vec![*one; rows])?,
            (false, _) => vector(scales)?,
        };
        let values = in_file(values(int8.weight)?)?;
        let [quantized, scale] =
            [QUANTIZED, "_scale"].map(|what| self.fresh(format!("{name}{what}")));
        self.beside(name, dims(tensor::proto(&quantized, &values)?));
        self.beside(name, tensor::proto(&scale, &scales)?);
        let mut inputs = vec![quantized, scale];
        if let Some(first) = zero_points.first() {
            let levels = match is_one {
                true => Tensor::from_vec(vec![*first], [])?,
                false => Tensor::from_vec(zero_points.to_vec(), [rows])?,
            };
            let zero_point = self.fresh(format!("{name}_zero_point"));
            self.beside(name, tensor::proto(&zero_point, &levels)?);
            inputs.push(zero_point);
        }
        self.nodes.push(dequantize(inputs, name, axis));
        Ok(())
    }

    /// Makes a node read quantized inputs, where its weight says so.
    fn node(&mut self, node: &mut NodeProto, aliases: &BTreeMap<String, String>) -> Result<()> {
        let Some(second) = node.input.get(1) else { return Ok(()) };
        let second = aliases.get(second).unwrap_or(second).as_str();
        let norm = second.strip_suffix(".weight").unwrap_or(second);
        if node.op_type == "BatchNormalization" && self.folded.contains(norm) {
            let (input, output) = (node.input[0].clone(), node.output[0].clone());
            let constants = node.input[1..].iter().filter_map(|name| self.constant(name)).cloned();
            self.memory.constants.extend(constants.collect::<Vec<_>>());
            let identity = plain("Identity", vec![input], &output);
            self.memory.nodes.push(std::mem::replace(node, identity));
            return Ok(());
        }
        if matches!(node.op_type.as_str(), "LSTM" | "GRU" | "RNN") {
            return self.shifts_of_gates(node);
        }
        let Some((name, int8)) = self.int8.get_key_value(second) else { return Ok(()) };
        let (name, weight, scales) = (*name, int8.weight, int8.scales());
        let input = int8.range().filter(|_| scales.is_some());
        let steps = match (input, scales) {
            (Some(params), Some(scales)) if is_plain(node) => {
                Some(scales.iter().map(|scale| scale * params.scale).collect())
            }
            _ => None,
        };
        let bias = node.input.get(2).and_then(|bias| self.constant(bias));
        let of_bias = bias.map(|bias| bias.name.clone());
        let bias = match bias {
            Some(constant) => Some(tensor::numbers(constant, &mut Default::default())?),
            None => None,
        };
        if let Some(offset) = weight.offset(bias.as_deref())
            && (weight.shift().is_some() || steps.is_some())
        {
            let bias = self.bias(name, of_bias.as_deref(), &offset, steps)?;
            node.input.resize(3, bias.clone());
            node.input[2] = bias;
        }
        if let Some(params) = input {
            node.input[0] = self.quantized(&node.input[0].clone(), params)?;
        }
        Ok(())
    }

    /// Adds what the weights of a recurrent layer add to its gates to its biases, first those of the input, then those of
    /// the state.
    fn shifts_of_gates(&mut self, node: &mut NodeProto) -> Result<()> {
        let int8 = |i: usize| node.input.get(i).and_then(|name| self.int8.get(name.as_str()));
        let weights = [int8(1), int8(2)].map(|weight| weight.map(|one| one.weight));
        if weights.iter().flatten().all(|weight| weight.shift().is_none()) {
            return Ok(());
        }
        let gates = weights.iter().flatten().map(|weight| weight.panels().n()).max().unwrap_or(0);
        let given = node.input.get(3).and_then(|bias| self.constant(bias));
        let mut bias = match given {
            Some(given) => tensor::numbers(given, &mut Default::default())?,
            None => vec![0.0; 2 * gates],
        };
        for (part, weight) in bias.chunks_exact_mut(gates.max(1)).zip(weights) {
            let shift = weight.and_then(|weight| weight.shift()).unwrap_or_default();
            part.iter_mut().zip(shift).for_each(|(bias, shift)| *bias += shift);
        }
        let at = node.input[1].clone();
        let name = self.fresh(format!("{at}_biases"));
        let bias = Tensor::from_vec(bias, [1, 2 * gates])?;
        self.beside(&at, tensor::proto(&name, &bias)?);
        node.input.resize(node.input.len().max(4), String::new());
        node.input[3] = name;
        Ok(())
    }

    /// Writes what is added to each output channel, as a multiple of these steps if it can be one, where the bias
    /// stood, or the weight of a layer that has none. Gives its name.
    fn bias(
        &mut self,
        weight: &str,
        bias: Option<&str>,
        offset: &[f32],
        steps: Option<Vec<f32>>,
    ) -> Result<String> {
        let (at, name) = match bias {
            Some(bias) => (bias, format!("{bias}{QUANTIZED}")),
            None => (weight, format!("{weight}{SHIFT}")),
        };
        let output = self.fresh(format!("{at}_floats"));
        let steps = steps.map(|steps| match steps[..] {
            [one] => vec![one; offset.len()],
            _ => steps,
        });
        let levels = steps.as_ref().and_then(|steps| {
            let level = |(b, step): (&f32, &f32)| {
                let level = (f64::from(*b) / f64::from(*step)).round();
                (level.abs() < f64::from(i32::MAX)).then_some(level as i32)
            };
            offset.iter().zip(steps).map(level).collect::<Option<Vec<i32>>>()
        });
        let (Some(levels), Some(steps)) = (levels, steps) else {
            self.beside(at, tensor::proto(&output, &vector(offset)?)?);
            return Ok(output);
        };
        let (quantized, scale) = (self.fresh(name.clone()), self.fresh(format!("{name}_scale")));
        let levels = Tensor::from_vec(levels, [offset.len()])?;
        self.beside(at, tensor::proto(&quantized, &levels)?);
        self.beside(at, tensor::proto(&scale, &vector(&steps)?)?);
        self.nodes.push(dequantize(vec![quantized, scale], &output, Some(0)));
        Ok(output)
    }

    /// The name of a value after it was quantized and turned into floats again.
    fn quantized(&mut self, value: &str, params: QParams) -> Result<String> {
        let key = (value.to_string(), params.scale.to_bits(), params.zero_point);
        if let Some(name) = self.inputs.get(&key) {
            return Ok(name.clone());
        }
        let [name, scale, zero_point, floats] = ["levels", "step", "zero_point", "rounded"]
            .map(|what| self.fresh(format!("{value}_{what}")));
        let zero = Tensor::from_vec(vec![params.zero_point], [])?;
        self.beside(&scale, tensor::proto(&scale, &Tensor::scalar(params.scale))?);
        self.beside(&scale, tensor::proto(&zero_point, &zero)?);
        let own = |value: String| vec![value, scale.clone(), zero_point.clone()];
        self.nodes.push(plain("QuantizeLinear", own(value.to_string()), &name));
        self.nodes.push(plain("DequantizeLinear", own(name), &floats));
        self.inputs.insert(key, floats.clone());
        Ok(floats)
    }

    fn exported(&self, model: &ModelProto) -> Exported {
        let of = |wanted: fn(&InFile<'_>) -> bool| -> Vec<String> {
            let all = self.int8.iter().filter(|(_, weight)| wanted(weight));
            all.map(|(name, _)| name.to_string()).collect()
        };
        Exported {
            bytes: model.encode_to_vec(),
            int8: of(|weight| weight.scales().is_some() && weight.range().is_some()),
            weights_only: of(|weight| weight.scales().is_some() && weight.range().is_none()),
            floats: of(|weight| weight.scales().is_none()),
        }
    }
}

/// Declares values in the types in which they are held: the constants beside them are.
fn as_held(graph: &mut GraphProto) {
    for value in graph.input.iter_mut().chain(&mut graph.output) {
        if let Some(kind) = value.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut()) {
            kind.elem_type = tensor::held(kind.elem_type);
        }
    }
    for node in &mut graph.node {
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().for_each(as_held);
            if node.op_type == "Cast" && attribute.name == "to" {
                let held =
                    i32::try_from(attribute.i).map_or(attribute.i, |to| tensor::held(to).into());
                attribute.i = held;
            }
        }
    }
}

/// Whether a node adds its bias as it is, so that it may be a multiple of the products' steps.
fn is_plain(node: &NodeProto) -> bool {
    is_plain_product(node) && node.op_type != "MatMul"
}

/// The values of an int8 weight in the layer's own order.
fn values(weight: &Int8Weight) -> Result<Tensor> {
    let shape = weight.shape();
    let mut values = vec![0i8; shape.len()];
    let row = shape.len() / shape[0];
    for (i, out) in values.chunks_exact_mut(row).enumerate() {
        weight.row_into(i, out)?;
    }
    Tensor::from_vec(values, shape)
}

fn vector(values: &[f32]) -> Result<Tensor> {
    Tensor::from_vec(values.to_vec(), [values.len()])
}

fn entries(metadata: &BTreeMap<String, String>) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): (&String, &String)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    };
    metadata.iter().map(entry).collect()
}
