//! A node as an operator reads it: its attributes, and what is known of its inputs before anything runs.

use crate::error::shown;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use std::cell::RefCell;
use std::collections::BTreeSet;
use tinytorch_core::Tensor;
use tinytorch_core::tensor::Number;

/// A node that is being read.
pub(crate) struct Node<'a> {
    proto: &'a NodeProto,
    /// The version of the set of operators that the node belongs to.
    pub(crate) opset: i64,
    constants: Vec<Option<Tensor>>,
    numbers: Vec<Option<Number>>,
    asked: RefCell<BTreeSet<&'static str>>,
    consumed: RefCell<BTreeSet<usize>>,
}

/// Why a node cannot be what it says.
pub(crate) type Reading<T> = Result<T, String>;

/// What the format calls the kinds of attributes that are read.
const KINDS: [&str; 9] = [
    "undefined",
    "a float",
    "an integer",
    "a string",
    "a tensor",
    "a graph",
    "floats",
    "integers",
    "strings",
];

/// A node's name in messages, `at` its place in the graph.
pub(crate) fn title(node: &NodeProto, at: usize) -> String {
    let operator = shown(&operator(node));
    match node.name.as_str() {
        "" => format!("{at} ({operator})"),
        name => format!("`{}` ({operator})", shown(name)),
    }
}

/// [`title`], with the values that the node reads, for what is wrong with them.
pub(crate) fn title_of_values(node: &NodeProto, title: &str) -> String {
    const SHOWN: usize = 4;
    let names: Vec<&String> = node.input.iter().filter(|name| !name.is_empty()).collect();
    let shown: Vec<String> =
        names.iter().take(SHOWN).map(|name| format!("`{}`", shown(name))).collect();
    match (shown.len(), names.len() > SHOWN) {
        (0, _) => title.to_string(),
        (_, true) => format!("{title} of {} and others", shown.join(", ")),
        (_, false) => format!("{title} of {}", shown.join(", ")),
    }
}

/// The operator, with its domain unless that is ONNX's own.
pub(crate) fn operator(node: &NodeProto) -> String {
    match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    }
}

/// The names that a graph and those within it read and do not give.
pub(crate) fn free_names(graph: &GraphProto, free: &mut BTreeSet<String>) {
    let mut given: BTreeSet<&str> = graph.input.iter().map(|value| value.name.as_str()).collect();
    given.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
    let mut read: BTreeSet<String> = graph.output.iter().map(|value| value.name.clone()).collect();
    for node in &graph.node {
        given.extend(node.output.iter().map(String::as_str));
        read.extend(node.input.iter().cloned());
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            free_names(inner, &mut read);
        }
    }
    free.extend(read.into_iter().filter(|name| !name.is_empty() && !given.contains(name.as_str())));
}

impl<'a> Node<'a> {
    /// A node, with the values of those inputs that are constants, and the numbers of those that the file declares.
    pub(crate) fn new(
        proto: &'a NodeProto,
        opset: i64,
        constants: Vec<Option<Tensor>>,
        numbers: Vec<Option<Number>>,
    ) -> Node<'a> {
        let (asked, consumed) = (RefCell::default(), RefCell::default());
        Node { proto, opset, constants, numbers, asked, consumed }
    }

    /// How the file declares input `i`, if it does.
    pub(crate) fn number(&self, i: usize) -> Option<Number> {
        self.numbers.get(i).copied().flatten()
    }

    /// The operator's name.
    pub(crate) fn op_type(&self) -> &str {
        &self.proto.op_type
    }

    /// Number of outputs that it names.
    pub(crate) fn outputs(&self) -> usize {
        self.proto.output.len()
    }

    /// Whether input `i` is there.
    pub(crate) fn has(&self, i: usize) -> bool {
        self.proto.input.get(i).is_some_and(|name| !name.is_empty())
    }

    /// Whether anybody can read output `i`.
    pub(crate) fn gives(&self, i: usize) -> bool {
        self.proto.output.get(i).is_some_and(|name| !name.is_empty())
    }

    /// Input `i`, if it is a constant.
    pub(crate) fn constant(&self, i: usize) -> Option<&Tensor> {
        self.constants.get(i)?.as_ref()
    }

    /// Input `i`, if it is a constant, which the operator then needs no more when it runs.
    fn consume(&self, i: usize) -> Reading<&Tensor> {
        let name = || shown(&self.proto.input[i]);
        let value =
            self.constant(i).ok_or_else(|| format!("input `{}` must be a constant", name()))?;
        self.consumed.borrow_mut().insert(i);
        Ok(value)
    }

    /// The inputs whose values are part of the operator.
    pub(crate) fn consumed(self) -> BTreeSet<usize> {
        self.consumed.into_inner()
    }

    /// Input `i` as a list of integers: `None` if it is left out.
    pub(crate) fn integers(&self, i: usize) -> Reading<Option<Vec<i64>>> {
        if !self.has(i) {
            return Ok(None);
        }
        let name = shown(&self.proto.input[i]);
        let value = self.consume(i)?;
        let values = value.to_dtype::<i64>().and_then(|value| value.to_vec());
        values.map(Some).map_err(|error| format!("input `{name}`: {error}"))
    }

    /// Input `i` as one float: `None` if it is left out.
    pub(crate) fn float_input(&self, i: usize) -> Reading<Option<f32>> {
        if !self.has(i) {
            return Ok(None);
        }
        let name = shown(&self.proto.input[i]);
        let value = self.consume(i)?;
        let one = value.to_dtype::<f32>().and_then(|value| value.item());
        one.map(Some).map_err(|error| format!("input `{name}`: {error}"))
    }

    fn attribute(&self, name: &'static str, kind: usize) -> Reading<Option<&'a AttributeProto>> {
        self.asked.borrow_mut().insert(name);
        let Some(found) = self.proto.attribute.iter().find(|a| a.name == name) else {
            return Ok(None);
        };
        // Old files leave the kind out.
        match usize::try_from(found.r#type) {
            Ok(0) => Ok(Some(found)),
            Ok(got) if got == kind => Ok(Some(found)),
            got => {
                let got = got.ok().and_then(|got| KINDS.get(got)).unwrap_or(&"something else");
                Err(format!("attribute `{name}` must be {}, and is {got}", KINDS[kind]))
            }
        }
    }

    /// An integer.
    pub(crate) fn int(&self, name: &'static str) -> Reading<Option<i64>> {
        Ok(self.attribute(name, 2)?.map(|a| a.i))
    }

    /// An integer that stands for a truth value.
    pub(crate) fn flag(&self, name: &'static str, default: bool) -> Reading<bool> {
        Ok(self.int(name)?.map_or(default, |value| value != 0))
    }

    /// A float.
    pub(crate) fn float(&self, name: &'static str, default: f32) -> Reading<f32> {
        Ok(self.attribute(name, 1)?.map_or(default, |a| a.f))
    }

    /// A float that may be left out.
    pub(crate) fn optional_float(&self, name: &'static str) -> Reading<Option<f32>> {
        Ok(self.attribute(name, 1)?.map(|a| a.f))
    }

    /// Integers.
    pub(crate) fn ints(&self, name: &'static str) -> Reading<Option<&'a [i64]>> {
        Ok(self.attribute(name, 7)?.map(|a| a.ints.as_slice()))
    }

    /// Floats.
    pub(crate) fn floats(&self, name: &'static str) -> Reading<Option<&'a [f32]>> {
        Ok(self.attribute(name, 6)?.map(|a| a.floats.as_slice()))
    }

    /// A string.
    pub(crate) fn string(&self, name: &'static str) -> Reading<Option<&'a str>> {
        let text = |a: &'a AttributeProto| {
            std::str::from_utf8(&a.s).map_err(|_| format!("attribute `{name}` is no text"))
        };
        self.attribute(name, 3)?.map(text).transpose()
    }

    /// Strings.
    pub(crate) fn strings(&self, name: &'static str) -> Reading<Option<Vec<&'a str>>> {
        let text = |bytes: &'a bytes::Bytes| {
            std::str::from_utf8(bytes).map_err(|_| format!("attribute `{name}` is no text"))
        };
        let found = self.attribute(name, 8)?;
        found.map(|a| a.strings.iter().map(text).collect()).transpose()
    }

    /// A tensor.
    pub(crate) fn tensor(&self, name: &'static str) -> Reading<Option<&'a TensorProto>> {
        Ok(self.attribute(name, 4)?.and_then(|a| a.t.as_ref()))
    }

    /// A graph.
    pub(crate) fn graph(&self, name: &'static str) -> Reading<Option<&'a GraphProto>> {
        Ok(self.attribute(name, 5)?.and_then(|a| a.g.as_ref()))
    }

    /// One of several words, the first if the attribute is left out.
    pub(crate) fn choice<T: Copy>(&self, name: &'static str, choices: &[(&str, T)]) -> Reading<T> {
        let Some(word) = self.string(name)? else { return Ok(choices[0].1) };
        let found = choices.iter().find(|(choice, _)| *choice == word);
        found.map(|(_, value)| *value).ok_or_else(|| {
            format!("attribute `{name}` is {:?}, which is not supported", shown(word))
        })
    }

    /// Refuses attributes that nobody has asked for: what they say would be ignored.
    pub(crate) fn check_attributes(&self) -> Reading<()> {
        let asked = self.asked.borrow();
        match self.proto.attribute.iter().find(|a| !asked.contains(a.name.as_str())) {
            None => Ok(()),
            Some(a) if !a.ref_attr_name.is_empty() => {
                Err(format!("attribute `{}` refers to a function", shown(&a.name)))
            }
            Some(a) => Err(format!("attribute `{}` is not supported", shown(&a.name))),
        }
    }
}
