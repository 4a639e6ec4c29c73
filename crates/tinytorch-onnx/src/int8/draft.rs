//! A graph that is being written anew.

use crate::node::free_names;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use crate::tensor::element;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const QUANTIZE: &str = "QuantizeLinear";
pub(super) const DEQUANTIZE: &str = "DequantizeLinear";

/// An attribute's type, as the format numbers them.
const INTEGER: i32 = 2;

/// Nodes and constants, which can be looked up and replaced.
pub(super) struct Draft {
    pub(super) nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    places: BTreeMap<String, usize>,
    names: BTreeSet<String>,
    /// Names that must stay: the graph's outputs, and what graphs within its nodes read.
    kept: BTreeSet<String>,
    removed: BTreeSet<usize>,
    /// Nodes that follow one, by its place.
    following: BTreeMap<usize, Vec<NodeProto>>,
}

impl Draft {
    pub(super) fn of(graph: &GraphProto) -> Draft {
        let mut kept: BTreeSet<String> =
            graph.output.iter().map(|output| output.name.clone()).collect();
        let inner = graph.node.iter().flat_map(|node| &node.attribute);
        inner.filter_map(|attribute| attribute.g.as_ref()).for_each(|g| free_names(g, &mut kept));
        let mut names: BTreeSet<String> =
            graph.input.iter().map(|input| input.name.clone()).collect();
        names.extend(graph.node.iter().flat_map(|node| node.output.iter().cloned()));
        let mut draft = Draft {
            nodes: Vec::new(),
            constants: Vec::new(),
            places: BTreeMap::new(),
            names,
            kept,
            removed: BTreeSet::new(),
            following: BTreeMap::new(),
        };
        graph.initializer.iter().for_each(|constant| draft.add(constant.clone()));
        for node in &graph.node {
            match (constant_of(node), &node.output[..]) {
                (Some(value), [name]) => draft.add(TensorProto { name: name.clone(), ..value }),
                _ => draft.nodes.push(node.clone()),
            }
        }
        draft
    }

    /// The graph, with the inputs and outputs that it had.
    pub(super) fn into_graph(self, graph: &GraphProto) -> GraphProto {
        let Draft { nodes, constants: initializer, removed, mut following, .. } = self;
        let nodes = nodes.into_iter().enumerate().filter(|(at, _)| !removed.contains(at));
        let with_following =
            |(at, node)| std::iter::once(node).chain(following.remove(&at).unwrap_or_default());
        GraphProto {
            node: nodes.flat_map(with_following).collect(),
            initializer,
            input: graph.input.clone(),
            output: graph.output.clone(),
            sparse_initializer: graph.sparse_initializer.clone(),
            name: graph.name.clone(),
        }
    }

    /// Adds a constant under a name that no other has.
    pub(super) fn add(&mut self, constant: TensorProto) {
        self.names.insert(constant.name.clone());
        self.places.insert(constant.name.clone(), self.constants.len());
        self.constants.push(constant);
    }

    /// The constant of this name.
    pub(super) fn constant(&self, name: &str) -> Option<&TensorProto> {
        self.places.get(name).map(|&place| &self.constants[place])
    }

    /// Puts a constant where another stands, under a name of its own.
    pub(super) fn replace(&mut self, old: &str, constant: TensorProto) {
        let Some(place) = self.places.remove(old) else { return self.add(constant) };
        self.names.insert(constant.name.clone());
        self.places.insert(constant.name.clone(), place);
        self.constants[place] = constant;
    }

    /// Makes nodes that read a value read another instead.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let inputs = self.nodes.iter_mut().flat_map(|node| &mut node.input);
        inputs.filter(|input| *input == from).for_each(|input| to.clone_into(input));
    }

    /// Whether nothing has this name.
    pub(super) fn is_free(&self, name: &str) -> bool {
        !name.is_empty() && !self.names.contains(name)
    }

    /// Whether a name must stay, whoever reads it.
    pub(super) fn is_kept(&self, name: &str) -> bool {
        self.kept.contains(name)
    }

    /// A name that nothing has, like this one.
    pub(super) fn fresh(&mut self, wanted: String) -> String {
        let mut name = wanted;
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// Puts nodes behind the one at this place.
    pub(super) fn follow(&mut self, at: usize, nodes: Vec<NodeProto>) {
        self.following.entry(at).or_default().extend(nodes);
    }

    /// Adds floats as a constant. Gives its name, which is like this one.
    pub(super) fn add_floats(&mut self, wanted: String, dims: &[i64], values: &[f32]) -> String {
        let name = self.fresh(wanted);
        self.add(floats(&name, dims, values));
        name
    }

    /// Takes a node away, whose outputs are then free.
    pub(super) fn remove(&mut self, at: usize) {
        self.removed.insert(at);
        self.nodes[at].output.iter().for_each(|name| {
            self.names.remove(name);
        });
    }
}

/// Floats, or a parameter whose values are elsewhere.
pub(super) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    TensorProto {
        name: name.to_string(),
        dims: dims.to_vec(),
        data_type: element::F32,
        raw_data: bytes.collect::<Vec<u8>>().into(),
        ..TensorProto::default()
    }
}

/// The tensor that a node of the operator `Constant` gives, if it gives one.
fn constant_of(node: &NodeProto) -> Option<TensorProto> {
    let is_constant = node.op_type == "Constant" && is_own(node);
    let value = node.attribute.iter().find(|attribute| attribute.name == "value");
    value.filter(|_| is_constant)?.t.clone()
}

/// Whether an operator is one of ONNX's own.
pub(super) fn is_own(node: &NodeProto) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}

/// An integer attribute.
pub(super) fn int(node: &NodeProto, name: &str) -> Option<i64> {
    let found = node.attribute.iter().find(|attribute| attribute.name == name);
    found.map(|attribute| attribute.i)
}

/// A node of ONNX's own.
pub(crate) fn plain(op_type: &str, input: Vec<String>, output: &str) -> NodeProto {
    NodeProto {
        input,
        output: vec![output.to_string()],
        name: format!("{op_type}_{output}"),
        op_type: op_type.to_string(),
        ..NodeProto::default()
    }
}

/// Whether a node multiplies its first two inputs as they are, and adds a third as it is.
pub(crate) fn is_plain_product(node: &NodeProto) -> bool {
    let is_factor = |name: &str| name == "alpha" || name == "beta";
    let mut factors = node.attribute.iter().filter(|attribute| is_factor(&attribute.name));
    let is_layer = matches!(node.op_type.as_str(), "Conv" | "Gemm" | "MatMul");
    is_layer
        && is_own(node)
        && factors.all(|one| one.f == 1.0)
        && int(node, "transA").unwrap_or(0) == 0
}

/// An integer attribute of a new node.
pub(crate) fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: INTEGER, ..AttributeProto::default() }
}

/// A `DequantizeLinear` of `[levels, scale, zero point]`, with scales along an axis.
pub(crate) fn dequantize(input: Vec<String>, output: &str, axis: Option<i64>) -> NodeProto {
    let axis = axis.map(|axis| integer("axis", axis));
    NodeProto { attribute: axis.into_iter().collect(), ..plain(DEQUANTIZE, input, output) }
}
