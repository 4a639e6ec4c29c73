//! The same file with operators of integers in place of pairs of `QuantizeLinear` and `DequantizeLinear`.
//!
//! A layer whose result is quantized becomes `QLinearConv`, `QLinearMatMul` or `QGemm`. One whose result is read as floats becomes
//! `QGemm` too, or `ConvInteger` and `MatMulInteger` with a factor behind them. Weights are unsigned, around 128 or what
//! zero point they have, which engines multiply without saturating; so are the levels that they multiply, since ONNX Runtime
//! has no product of signed and unsigned ones. Sums, concatenations and means of levels that give levels are operators of
//! ONNX Runtime.

use crate::error::OnnxError;
use crate::int8::{integer, is_plain_product, plain};
use crate::proto::{GraphProto, NodeProto, TensorProto};
use crate::tensor::{self, element};
use std::collections::{BTreeMap, BTreeSet};
use tinytorch_core::tensor::Dtype;
use tinytorch_core::{Result, Tensor};

const QUANTIZE: &str = "QuantizeLinear";
const DEQUANTIZE: &str = "DequantizeLinear";

/// The level of unsigned weights that 0 becomes.
const MIDDLE: f32 = 128.0;

/// Whose operators `QGemm` and those between levels are.
pub(super) const DOMAIN: &str = "com.microsoft";

/// Operators that give values of their first input, so that they may as well give levels.
const REARRANGING: [&str; 7] =
    ["Flatten", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];

/// Operators that compute levels from levels, each with the one of floats that it stands for.
const BETWEEN_LEVELS: [(&str, &str); 3] = [
    ("Add", "QLinearAdd"),
    ("Concat", "QLinearConcat"),
    ("GlobalAveragePool", "QLinearGlobalAveragePool"),
];

/// Writes every layer of levels, and what computes levels from levels, as an operator of integers.
pub(super) fn with_integers(graph: GraphProto) -> Result<GraphProto> {
    let graph = with_unsigned_levels(graph)?;
    let mut writer = Writer::new(&graph);
    for at in 0..graph.node.len() {
        if let Some(layer) = writer.layer(at)? {
            writer.layer_of_integers(at, layer)?;
        } else {
            writer.between_levels(at)?;
        }
    }
    Ok(writer.finish(graph))
}

/// Levels and how they are read: the names of the levels, their scale and their zero point.
#[derive(Clone)]
struct Levels {
    name: String,
    scale: String,
    zero_point: String,
}

/// A layer of levels and a constant in 8 bits.
struct Layer {
    input: Levels,
    weight: Tensor,
    scales: Vec<f32>,
    /// The zero point of each output channel of unsigned levels, or one for all.
    zero_points: Vec<u8>,
    /// The bias in multiples of the products' steps, by its name.
    bias: Option<String>,
}

/// Where a layer's result is quantized, and what stands between.
struct Target {
    scale: String,
    zero_point: String,
    /// Nodes between that take levels as they take floats, in their order.
    between: Vec<usize>,
    /// Nodes that the layer's rounding does.
    done: Vec<usize>,
    quantizers: Vec<usize>,
}

struct Writer {
    /// What stands in the place of each node.
    nodes: Vec<Vec<NodeProto>>,
    constants: BTreeMap<String, TensorProto>,
    /// Constants in their order.
    order: Vec<String>,
    outputs: BTreeSet<String>,
    givers: BTreeMap<String, usize>,
    readers: BTreeMap<String, Vec<(usize, usize)>>,
    names: BTreeSet<String>,
}

impl Writer {
    fn new(graph: &GraphProto) -> Writer {
        let constants = graph.initializer.iter().map(|one| (one.name.clone(), one.clone()));
        let mut names: BTreeSet<String> =
            graph.input.iter().map(|input| input.name.clone()).collect();
        let order: Vec<String> = graph.initializer.iter().map(|one| one.name.clone()).collect();
        names.extend(order.iter().cloned());
        let (mut givers, mut readers) = (BTreeMap::new(), BTreeMap::<String, Vec<_>>::new());
        for (at, node) in graph.node.iter().enumerate() {
            givers.extend(node.output.iter().map(|name| (name.clone(), at)));
            for (i, name) in node.input.iter().enumerate() {
                readers.entry(name.clone()).or_default().push((at, i));
            }
            names.extend(node.output.iter().cloned());
        }
        Writer {
            nodes: graph.node.iter().map(|node| vec![node.clone()]).collect(),
            constants: constants.collect(),
            order,
            outputs: graph.output.iter().map(|output| output.name.clone()).collect(),
            givers,
            readers,
            names,
        }
    }

    /// The node that stood at a place, unless it is taken away or replaced by several.
    fn node(&self, at: usize) -> Option<&NodeProto> {
        match &self.nodes[at][..] {
            [one] => Some(one),
            _ => None,
        }
    }

    fn fresh(&mut self, wanted: String) -> String {
        let mut name = wanted;
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// Adds a constant, under a name like this one, unless it is there under that name.
    fn add(&mut self, wanted: String, value: &Tensor) -> Result<String> {
        if let Some(known) = self.constants.get(&wanted)
            && *known == tensor::proto(&wanted, value)?
        {
            return Ok(wanted);
        }
        let name = self.fresh(wanted);
        self.constants.insert(name.clone(), tensor::proto(&name, value)?);
        self.order.push(name.clone());
        Ok(name)
    }

    fn values(&self, name: &str) -> Result<Option<Tensor>, OnnxError> {
        let constant = self.constants.get(name);
        constant.map(|constant| tensor::tensor(constant, &mut Default::default())).transpose()
    }

    fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, OnnxError> {
        let constant = self.constants.get(name);
        constant.map(|constant| tensor::numbers(constant, &mut Default::default())).transpose()
    }

    /// The node that turns levels into this value.
    fn dequantizing(&self, value: &str) -> Option<&NodeProto> {
        let node = self.givers.get(value).and_then(|at| self.node(*at))?;
        (node.op_type == DEQUANTIZE && node.input.len() >= 2).then_some(node)
    }

    /// The levels that a `DequantizeLinear` reads, if it says what their zero is and they are unsigned.
    fn levels(&self, node: &NodeProto) -> Option<Levels> {
        let [name, scale, zero_point] = &node.input[..] else { return None };
        let [name, scale, zero_point] = [name, scale, zero_point].map(String::clone);
        self.is_unsigned(&zero_point).then_some(Levels { name, scale, zero_point })
    }

    /// The layer at a place, if it multiplies levels by a constant in 8 bits.
    fn layer(&self, at: usize) -> Result<Option<Layer>, OnnxError> {
        let Some(node) = self.node(at).filter(|node| is_plain_product(node)) else {
            return Ok(None);
        };
        let (Some(x), Some(w)) =
            (self.dequantizing(&node.input[0]), self.dequantizing(&node.input[1]))
        else {
            return Ok(None);
        };
        let Some(input) = self.levels(x) else { return Ok(None) };
        let (Some(weight), Some(scales)) = (self.values(&w.input[0])?, self.floats(&w.input[1])?)
        else {
            return Ok(None);
        };
        let zero_points = match w.input.get(2) {
            Some(name) => self.floats(name)?.unwrap_or_default(),
            None => vec![0.0],
        };
        let unsigned = |level: &f32| (level + MIDDLE) as u8;
        let mut zero_points: Vec<u8> = zero_points.iter().map(unsigned).collect();
        if zero_points.windows(2).all(|pair| pair[0] == pair[1]) {
            zero_points.truncate(1);
        } else if node.op_type == "Conv" {
            // ONNX Runtime's convolutions take one for all.
            return Ok(None);
        }
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => None,
            Some(bias) => {
                let levels =
                    self.dequantizing(bias).and_then(|node| self.constants.get(&node.input[0]));
                match levels.filter(|levels| levels.data_type == element::I32) {
                    Some(levels) => Some(levels.name.clone()),
                    None => return Ok(None),
                }
            }
        };
        let is_i8 = weight.dtype() == Dtype::I8;
        Ok((is_i8 && !self.constants.contains_key(&input.name)).then_some(Layer {
            input,
            weight,
            scales,
            zero_points,
            bias,
        }))
    }

    fn is_unsigned(&self, zero_point: &str) -> bool {
        self.constants.get(zero_point).is_some_and(|constant| constant.data_type == element::U8)
    }

    /// Where a value is quantized, if it is wherever it is read, and in one way.
    fn target(&self, value: &str) -> Result<Option<Target>, OnnxError> {
        let (mut between, mut done) = (Vec::new(), Vec::new());
        let mut name = value;
        loop {
            let readers = self.readers.get(name).map_or(&[][..], Vec::as_slice);
            if self.outputs.contains(name) || readers.is_empty() {
                return Ok(None);
            }
            let nodes = readers.iter().map(|&(at, input)| self.node(at).filter(|_| input == 0));
            let Some(nodes) = nodes.collect::<Option<Vec<&NodeProto>>>() else { return Ok(None) };
            if nodes.iter().all(|node| node.op_type == QUANTIZE && node.input.len() == 3) {
                let (scale, zero_point) = (nodes[0].input[1].clone(), nodes[0].input[2].clone());
                let mut is_one = true;
                for node in &nodes {
                    is_one &= self.floats(&node.input[1])? == self.floats(&scale)?;
                    is_one &= self.floats(&node.input[2])? == self.floats(&zero_point)?;
                }
                is_one &= self.is_unsigned(&zero_point);
                let is_cut = done.is_empty() || self.floats(&zero_point)? == Some(vec![0.0]);
                let quantizers = readers.iter().map(|(at, _)| *at).collect();
                return Ok((is_one && is_cut).then_some(Target {
                    scale,
                    zero_point,
                    between,
                    done,
                    quantizers,
                }));
            }
            let [(at, _)] = readers else { return Ok(None) };
            let [node] = nodes[..] else { return Ok(None) };
            match node.op_type.as_str() {
                "Relu" => done.push(*at),
                op if REARRANGING.contains(&op) && node.output.len() == 1 => between.push(*at),
                _ => return Ok(None),
            }
            name = &node.output[0];
        }
    }

    fn layer_of_integers(&mut self, at: usize, layer: Layer) -> Result<()> {
        let Some(node) = self.node(at).cloned() else { return Ok(()) };
        let target = self.target(&node.output[0])?;
        let is_gemm = node.op_type == "Gemm";
        let transposed =
            is_gemm && node.attribute.iter().any(|one| one.name == "transB" && one.i == 1);
        let weight = unsigned(&layer.weight)?;
        let weight = if transposed { weight.transpose(0, 1)?.contiguous()? } else { weight };
        let weight = self.add(format!("{}_unsigned", node.input[1]), &weight)?;
        let middle = match layer.zero_points[..] {
            [128] => self.add("middle".to_string(), &Tensor::from_vec(vec![128u8], [])?)?,
            [one] => {
                self.add(format!("{}_middle", node.input[1]), &Tensor::from_vec(vec![one], [])?)?
            }
            ref several => {
                let several = Tensor::from_vec(several.to_vec(), [several.len()])?;
                self.add(format!("{}_middles", node.input[1]), &several)?
            }
        };
        let scales = match layer.scales[..] {
            [one] => Tensor::scalar(one),
            ref several => Tensor::from_vec(several.to_vec(), [several.len()])?,
        };
        if target.is_none() && !is_gemm {
            return self.floats_of(at, &node, layer, [weight, middle]);
        }
        let scale = self.add(format!("{}_steps", node.input[1]), &scales)?;
        let middle = match (node.op_type.as_str(), scales.len()) {
            // ONNX Runtime takes zero points of these of the scales' shape alone.
            ("Gemm" | "MatMul", count) if scales.rank() == 1 && layer.zero_points.len() == 1 => {
                let middles = Tensor::from_vec(layer.zero_points.repeat(count), [count])?;
                self.add(format!("{}_middles", node.input[1]), &middles)?
            }
            _ => middle,
        };
        let Levels { name, scale: step, zero_point } = layer.input;
        let mut inputs = vec![name, step, zero_point, weight, scale, middle];
        let steps = target.as_ref().map(|to| [to.scale.clone(), to.zero_point.clone()]);
        let bias = layer.bias.into_iter();
        let op_type = match node.op_type.as_str() {
            "Conv" => {
                inputs.extend(steps.into_iter().flatten().chain(bias));
                "QLinearConv"
            }
            "Gemm" => {
                let none = std::iter::once(String::new());
                inputs.extend(bias.chain(none).take(1).chain(steps.into_iter().flatten()));
                "QGemm"
            }
            _ => {
                inputs.extend(steps.into_iter().flatten());
                "QLinearMatMul"
            }
        };
        let output = match target {
            Some(target) => self.levels_of(&node.output[0], target),
            None => node.output[0].clone(),
        };
        let written = plain(op_type, inputs, &output);
        self.nodes[at] = vec![match is_gemm {
            true => NodeProto { domain: DOMAIN.to_string(), ..written },
            false => NodeProto { attribute: node.attribute, ..written },
        }];
        Ok(())
    }

    /// Writes a node that computes levels from levels as an operator of these, if its result is quantized.
    fn between_levels(&mut self, at: usize) -> Result<()> {
        let Some(node) = self.node(at).filter(|node| node.domain.is_empty()).cloned() else {
            return Ok(());
        };
        let of_levels = BETWEEN_LEVELS.iter().find(|(of_floats, _)| *of_floats == node.op_type);
        let Some((_, op_type)) = of_levels else { return Ok(()) };
        let read = node
            .input
            .iter()
            .map(|value| self.dequantizing(value).and_then(|node| self.levels(node)));
        let Some(read) = read.collect::<Option<Vec<Levels>>>() else { return Ok(()) };
        for levels in &read {
            if self.floats(&levels.scale)?.is_none_or(|scale| scale.len() != 1) {
                return Ok(());
            }
        }
        let Some(target) = self.target(&node.output[0])? else { return Ok(()) };
        let steps = [target.scale.clone(), target.zero_point.clone()];
        let read = read
            .into_iter()
            .flat_map(|Levels { name, scale, zero_point }| [name, scale, zero_point]);
        let inputs: Vec<String> = match *op_type {
            "QLinearConcat" => steps.into_iter().chain(read).collect(),
            _ => read.chain(steps).collect(),
        };
        let output = self.levels_of(&node.output[0], target);
        let written = plain(op_type, inputs, &output);
        let domain = DOMAIN.to_string();
        self.nodes[at] = vec![NodeProto { domain, attribute: node.attribute, ..written }];
        Ok(())
    }

    /// Makes what stands between a layer and where its result is quantized take levels. Gives the levels' name.
    fn levels_of(&mut self, value: &str, target: Target) -> String {
        let levels = self.fresh(format!("{value}_quantized"));
        target.done.iter().for_each(|&at| self.nodes[at].clear());
        let mut last = levels.clone();
        for at in target.between {
            for node in &mut self.nodes[at] {
                node.input[0].clone_from(&last);
                last.clone_from(&node.output[0]);
            }
        }
        for at in target.quantizers {
            let Some(name) = self.node(at).map(|node| node.output[0].clone()) else { continue };
            self.nodes[at].clear();
            let inputs = self.nodes.iter_mut().flatten().flat_map(|node| &mut node.input);
            inputs.filter(|input| **input == name).for_each(|input| input.clone_from(&last));
        }
        levels
    }

    /// A product whose result is floats: a sum of integers times the products' steps.
    fn floats_of(
        &mut self,
        at: usize,
        node: &NodeProto,
        layer: Layer,
        [weight, middle]: [String; 2],
    ) -> Result<()> {
        let is_image = node.op_type == "Conv";
        let op_type = if is_image { "ConvInteger" } else { "MatMulInteger" };
        let y = &node.output[0];
        let spread = |count: usize| match is_image {
            true => [vec![count], vec![1; layer.weight.rank() - 2]].concat(),
            false => vec![count],
        };
        let mut names =
            ["integers", "sums", "numbers"].map(|what| format!("{y}_{what}")).into_iter();
        let mut next = |writer: &mut Writer| writer.fresh(names.next().unwrap_or_default());
        let mut last = next(self);
        let Levels { name, scale, zero_point } = layer.input;
        let product = plain(op_type, vec![name, weight, zero_point, middle], &last);
        let attribute = if is_image { node.attribute.clone() } else { Vec::new() };
        let mut nodes = vec![NodeProto { attribute, ..product }];
        if let Some(bias) = layer.bias
            && let Some(levels) = self.values(&bias)?
        {
            let levels = levels.reshape(&spread(levels.len())[..])?;
            let bias = self.add(format!("{bias}_spread"), &levels)?;
            let sums = next(self);
            nodes.push(plain("Add", vec![last, bias], &sums));
            last = sums;
        }
        let numbers = next(self);
        let to = vec![integer("to", i64::from(element::F32))];
        nodes.push(NodeProto { attribute: to, ..plain("Cast", vec![last], &numbers) });
        let step = self.floats(&scale)?.and_then(|scale| scale.first().copied()).unwrap_or(1.0);
        let steps: Vec<f32> = layer.scales.iter().map(|scale| scale * step).collect();
        let count = steps.len();
        let steps = Tensor::from_vec(steps, &spread(count)[..])?;
        let steps = self.add(format!("{y}_steps"), &steps)?;
        nodes.push(plain("Mul", vec![numbers, steps], y));
        self.nodes[at] = nodes;
        Ok(())
    }

    /// The graph without what nothing reads any more.
    fn finish(self, graph: GraphProto) -> GraphProto {
        let Writer { nodes, mut constants, order, outputs, .. } = self;
        let mut wanted = outputs;
        let mut kept: Vec<NodeProto> = Vec::new();
        for node in nodes.into_iter().flatten().rev() {
            if node.output.iter().any(|output| wanted.contains(output)) {
                wanted.extend(node.input.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        let has_bodies = kept.iter().any(|node| node.attribute.iter().any(|one| one.g.is_some()));
        let is_wanted = |name: &&String| has_bodies || wanted.contains(*name);
        let initializer = order.iter().filter(is_wanted).filter_map(|name| constants.remove(name));
        let initializer = initializer.collect();
        GraphProto { node: kept, initializer, ..graph }
    }
}

/// The same graph with signed levels between `QuantizeLinear` and `DequantizeLinear` counted from 0: each number lies 128
/// higher, and so does the one that stands for 0.
fn with_unsigned_levels(mut graph: GraphProto) -> Result<GraphProto> {
    let signed: BTreeMap<String, TensorProto> = graph
        .initializer
        .iter()
        .filter(|one| one.data_type == element::I8)
        .map(|one| (one.name.clone(), one.clone()))
        .collect();
    let is_signed =
        |node: &NodeProto| node.input.get(2).is_some_and(|zero| signed.contains_key(zero));
    let outputs: BTreeSet<&str> = graph.output.iter().map(|output| &*output.name).collect();
    let mut changed = Vec::new();
    for (at, node) in graph.node.iter().enumerate() {
        let levels = match &node.output[..] {
            [levels] if node.op_type == QUANTIZE && is_signed(node) => levels,
            _ => continue,
        };
        let names_its_type = node.attribute.iter().any(|one| one.name == "output_dtype");
        let readers = graph.node.iter().enumerate().filter(|(_, node)| node.input.contains(levels));
        let readers: Vec<(usize, &NodeProto)> = readers.collect();
        let is_read = |node: &NodeProto| {
            node.op_type == DEQUANTIZE && node.input[0] == *levels && is_signed(node)
        };
        if !names_its_type
            && !outputs.contains(&**levels)
            && readers.iter().all(|(_, node)| is_read(node))
        {
            changed.push(at);
            changed.extend(readers.iter().map(|(at, _)| *at));
        }
    }
    let mut added = BTreeSet::new();
    for at in changed {
        let zero = &mut graph.node[at].input[2];
        let name = format!("{zero}_unsigned");
        if added.insert(name.clone()) {
            let levels = tensor::tensor(&signed[zero.as_str()], &mut Default::default())?;
            graph.initializer.push(tensor::proto(&name, &unsigned(&levels)?)?);
        }
        *zero = name;
    }
    Ok(graph)
}

/// Levels around 128.
fn unsigned(levels: &Tensor) -> Result<Tensor> {
    let values = levels.to_vec::<i8>()?.into_iter().map(|level| level.cast_unsigned() ^ 0x80);
    Tensor::from_vec(values.collect(), *levels.shape())
}
