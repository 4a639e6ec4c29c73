//! A model as an ONNX file again: its graph, with the values that its parameters have now.
//!
//! Int8 weights are written as such, each behind a `DequantizeLinear` under the weight's own name, and inputs with a
//! fixed range pass through `QuantizeLinear` and `DequantizeLinear`: the form from which ONNX Runtime and OpenVINO
//! make integer kernels. Batch norms that were folded become identities.

use crate::OnnxModel;
use crate::apply::{Held, Use};
use crate::error::{OnnxError, shown};
use crate::program::Source;
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
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

/// An attribute's type, as the format numbers them.
const INTEGER: i32 = 2;

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
    /// The model as an ONNX file.
    ///
    /// # Errors
    /// [`OnnxError::Opset`] for int8 weights in a model whose version of ONNX's operators has no scales by channel,
    /// [`OnnxError::Tensor`] for a weight with something beside it, such as an adapter, and for parameters
    /// without values.
    pub fn to_onnx(&self) -> Result<Exported> {
        let mut model = self.graph().clone();
        let graph = model.graph.take().unwrap_or_default();
        let version = model.opset_import.iter().find(|set| set.domain.is_empty());
        let version = version.map_or(1, |set| set.version);
        let mut writer = Writer::new(self)?;
        if version < SCALES_BY_CHANNEL && !writer.int8.is_empty() {
            return Err(OnnxError::Opset { version, needed: SCALES_BY_CHANNEL }.into());
        }
        let graph = writer.graph(graph)?;
        model.graph = Some(GraphProto { name: "tinytorch".into(), ..graph });
        model.producer_name = "tinytorch".into();
        model.producer_version = env!("CARGO_PKG_VERSION").into();
        let format = FORMATS.iter().find(|(least, _)| version >= *least);
        model.ir_version = format.map_or(6, |(_, format)| *format);
        Ok(writer.exported(&model))
    }
}

/// An int8 weight, and how the file has it.
struct InFile<'m> {
    weight: &'m Int8Weight,
    /// Whether the file's order is `[in, out]`.
    transposed: bool,
}

impl InFile<'_> {
    /// The axis of the output channels.
    fn axis(&self) -> i64 {
        i64::from(self.transposed)
    }

    /// How its input is quantized, if by a fixed range.
    fn range(&self) -> Option<QParams> {
        match self.weight.input() {
            Encoding::Static(params) => Some(params),
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

struct Writer<'m> {
    params: BTreeMap<&'m str, (&'m Held, Use)>,
    int8: BTreeMap<&'m str, InFile<'m>>,
    folded: BTreeSet<&'m str>,
    initializers: Vec<TensorProto>,
    nodes: Vec<NodeProto>,
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
                let transposed = matches!(how, Use::Transposed);
                weight.int8().map(|weight| (*name, InFile { weight, transposed }))
            }
            Held::Param(_) => None,
        });
        let int8 = int8.collect();
        let folded = program.norms.iter().filter(|(_, folded)| *folded);
        let folded = folded.map(|(name, _)| name.as_str()).collect();
        let (initializers, nodes) = (Vec::new(), Vec::new());
        let (names, inputs) = (BTreeSet::new(), BTreeMap::new());
        Ok(Writer { params, int8, folded, initializers, nodes, names, inputs })
    }

    /// A name that nothing has yet.
    fn fresh(&mut self, wanted: String) -> String {
        let mut name = wanted;
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    fn graph(&mut self, graph: GraphProto) -> Result<GraphProto> {
        self.names.extend(graph.initializer.iter().map(|one| one.name.clone()));
        self.names.extend(graph.input.iter().map(|input| input.name.clone()));
        self.names.extend(graph.node.iter().flat_map(|node| node.output.iter().cloned()));
        let mut constants = BTreeMap::new();
        for initializer in graph.initializer {
            let name = initializer.name.clone();
            let Some(&(held, how)) = self.params.get(name.as_str()) else {
                constants.insert(name, initializer);
                continue;
            };
            let dims = initializer.dims;
            match held {
                Held::Param(param) => {
                    constants.insert(name.clone(), tensor::proto(&name, param.value()?)?);
                }
                Held::Weight(weight) => self.weight(&name, weight, how, dims)?,
            }
        }
        let mut aliases = BTreeMap::new();
        for mut node in graph.node {
            if let ("Identity" | "Dropout", [from, ..], [to, ..]) =
                (node.op_type.as_str(), &node.input[..], &node.output[..])
            {
                let from = aliases.get(from).unwrap_or(from).clone();
                aliases.insert(to.clone(), from);
            }
            self.node(&mut node, &aliases, &constants)?;
            self.nodes.push(node);
        }
        let read: BTreeSet<&String> = self.nodes.iter().flat_map(|node| &node.input).collect();
        let outputs: BTreeSet<&String> = graph.output.iter().map(|output| &output.name).collect();
        let has_bodies = self.nodes.iter().any(|n| n.attribute.iter().any(|a| a.g.is_some()));
        let is_used = |name: &String| has_bodies || read.contains(name) || outputs.contains(name);
        let constants = constants.into_iter().filter(|(name, _)| is_used(name));
        let mut initializer = std::mem::take(&mut self.initializers);
        initializer.extend(constants.map(|(_, constant)| constant));
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
            self.initializers.push(dims(tensor::proto(name, &values)?));
            return Ok(());
        };
        let Some(scales) = int8.scales() else {
            let values = in_file(int8.weight.dequantize()?)?;
            self.initializers.push(dims(tensor::proto(name, &values)?));
            return Ok(());
        };
        let axis = (scales.len() > 1).then(|| int8.axis());
        let scales = if axis.is_some() { vector(scales)? } else { Tensor::scalar(scales[0]) };
        let values = in_file(values(int8.weight)?)?;
        let [quantized, scale] =
            ["quantized", "scale"].map(|what| self.fresh(format!("{name}_{what}")));
        self.initializers.push(dims(tensor::proto(&quantized, &values)?));
        self.initializers.push(tensor::proto(&scale, &scales)?);
        self.nodes.push(dequantize(vec![quantized, scale], name, axis));
        Ok(())
    }

    /// Makes a node read quantized inputs, where its weight says so.
    fn node(
        &mut self,
        node: &mut NodeProto,
        aliases: &BTreeMap<String, String>,
        constants: &BTreeMap<String, TensorProto>,
    ) -> Result<()> {
        let Some(second) = node.input.get(1) else { return Ok(()) };
        let second = aliases.get(second).unwrap_or(second).as_str();
        let norm = second.strip_suffix(".weight").unwrap_or(second);
        if node.op_type == "BatchNormalization" && self.folded.contains(norm) {
            let (input, output) = (node.input[0].clone(), node.output[0].clone());
            *node = plain("Identity", vec![input], &output);
            return Ok(());
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
        let bias = node.input.get(2).filter(|bias| !bias.is_empty());
        let bias = match bias.and_then(|bias| constants.get(bias)) {
            Some(constant) => Some(tensor::tensor(constant, &mut Default::default())?.to_vec()?),
            None => None,
        };
        if let Some(offset) = weight.offset(bias.as_deref())
            && (weight.shift().is_some() || steps.is_some())
        {
            let bias = self.bias(name, &offset, steps)?;
            node.input.resize(3, bias.clone());
            node.input[2] = bias;
        }
        if let Some(params) = input {
            node.input[0] = self.quantized(&node.input[0].clone(), params)?;
        }
        Ok(())
    }

    /// Writes what is added to each output channel, as a multiple of these steps if it can be one. Gives its name.
    fn bias(&mut self, weight: &str, offset: &[f32], steps: Option<Vec<f32>>) -> Result<String> {
        let name = self.fresh(format!("{weight}_bias"));
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
            self.initializers.push(tensor::proto(&name, &vector(offset)?)?);
            return Ok(name);
        };
        let [quantized, scale] =
            ["quantized", "scale"].map(|what| self.fresh(format!("{name}_{what}")));
        let levels = Tensor::from_vec(levels, [offset.len()])?;
        self.initializers.push(tensor::proto(&quantized, &levels)?);
        self.initializers.push(tensor::proto(&scale, &vector(&steps)?)?);
        self.nodes.push(dequantize(vec![quantized, scale], &name, Some(0)));
        Ok(name)
    }

    /// The name of a value after it was quantized and turned into floats again.
    fn quantized(&mut self, value: &str, params: QParams) -> Result<String> {
        let key = (value.to_string(), params.scale.to_bits(), params.zero_point);
        if let Some(name) = self.inputs.get(&key) {
            return Ok(name.clone());
        }
        let [name, scale, zero_point, floats] = ["levels", "step", "zero_point", "rounded"]
            .map(|what| self.fresh(format!("{value}_{what}")));
        self.initializers.push(tensor::proto(&scale, &Tensor::scalar(params.scale))?);
        let zero = Tensor::from_vec(vec![params.zero_point], [])?;
        self.initializers.push(tensor::proto(&zero_point, &zero)?);
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

/// Whether a node adds its bias as it is, so that it may be a multiple of the products' steps.
fn is_plain(node: &NodeProto) -> bool {
    let is_factor = |name: &str| name == "alpha" || name == "beta";
    let factors = node.attribute.iter().filter(|attribute| is_factor(&attribute.name));
    matches!(node.op_type.as_str(), "Conv" | "Gemm") && factors.into_iter().all(|one| one.f == 1.0)
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

fn plain(op_type: &str, input: Vec<String>, output: &str) -> NodeProto {
    NodeProto {
        input,
        output: vec![output.to_string()],
        name: format!("{op_type}_{output}"),
        op_type: op_type.to_string(),
        ..NodeProto::default()
    }
}

fn dequantize(input: Vec<String>, output: &str, axis: Option<i64>) -> NodeProto {
    let axis = axis.map(|i| AttributeProto {
        name: "axis".into(),
        i,
        r#type: INTEGER,
        ..AttributeProto::default()
    });
    NodeProto { attribute: axis.into_iter().collect(), ..plain("DequantizeLinear", input, output) }
}
