//! What a file says beside its graph of the float model that it came from: batch norms that were folded, which are
//! identities in the graph, and the order of the parameters. With it an exported model is read as what it was.
//!
//! Nothing that is computed hangs on it: a norm that it names passes its input on, as the identity does.

use crate::proto::{GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The operator whose steps a convolution before them may do.
pub(crate) const BATCH_NORM: &str = "BatchNormalization";

/// The entry of a file's metadata that holds the norms, a `GraphProto` in base64.
const FOLDED: &str = "tinytorch.folded";

/// The entry that holds the names of the parameters, a line each.
const ORDER: &str = "tinytorch.order";

/// What a file remembers.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The nodes that are identities in the graph.
    pub(crate) nodes: Vec<NodeProto>,
    /// What only they read.
    pub(crate) constants: Vec<TensorProto>,
    /// Names of constants in the order in which they stood.
    pub(crate) order: Vec<String>,
}

impl Memory {
    /// The memory of a file, empty if it has none that can be read.
    pub(crate) fn of(model: &ModelProto) -> Memory {
        let entry = |key: &str| {
            let found = model.metadata_props.iter().find(|entry| entry.key == key);
            found.map(|entry| entry.value.as_str())
        };
        let bytes = entry(FOLDED).and_then(|text| STANDARD.decode(text).ok());
        let graph = bytes.and_then(|bytes| GraphProto::decode(&bytes[..]).ok()).unwrap_or_default();
        let order = entry(ORDER).unwrap_or_default().lines().map(str::to_string).collect();
        Memory { nodes: graph.node, constants: graph.initializer, order }
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.order.is_empty()
    }

    /// Adds it to a file's metadata.
    pub(crate) fn write(&self, metadata: &mut Vec<StringStringEntryProto>) {
        let (node, initializer) = (self.nodes.clone(), self.constants.clone());
        let graph = GraphProto { node, initializer, ..GraphProto::default() };
        let folded = (FOLDED, STANDARD.encode(graph.encode_to_vec()));
        let entries = [folded, (ORDER, self.order.join("\n"))];
        let entry =
            |(key, value): (&str, String)| StringStringEntryProto { key: key.into(), value };
        metadata.extend(entries.map(entry));
    }

    /// Whether an entry of a file's metadata is one of these.
    pub(crate) fn is_entry(key: &str) -> bool {
        key == FOLDED || key == ORDER
    }

    /// Puts the norms back where identities stand for them, and constants in their order. Gives the names of what
    /// the norms give.
    pub(crate) fn restore(self, graph: &mut GraphProto) -> Vec<String> {
        let Memory { nodes, constants, order } = self;
        let mut known: BTreeSet<String> =
            graph.initializer.iter().map(|one| one.name.clone()).collect();
        let given = graph.node.iter().flat_map(|node| node.output.iter().cloned());
        known.extend(given.chain(graph.input.iter().map(|input| input.name.clone())));
        let constants = constants.into_iter().filter(|one| known.insert(one.name.clone()));
        graph.initializer.extend(constants.collect::<Vec<_>>());
        let mut outputs = Vec::new();
        for norm in nodes {
            let stands_for = |node: &&mut NodeProto| {
                norm.op_type == BATCH_NORM
                    && norm.output.len() == 1
                    && node.op_type == "Identity"
                    && node.output == norm.output
                    && node.input.first() == norm.input.first()
            };
            if let Some(identity) = graph.node.iter_mut().find(stands_for) {
                outputs.extend(norm.output.iter().cloned());
                *identity = norm;
            }
        }
        let places: BTreeMap<String, usize> =
            order.into_iter().enumerate().map(|(place, name)| (name, place)).collect();
        let place = |one: &TensorProto| places.get(&one.name).copied().unwrap_or(usize::MAX);
        graph.initializer.sort_by_key(place);
        outputs
    }
}
