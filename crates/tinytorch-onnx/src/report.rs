//! What a file holds and whether it will run.

use crate::apply::Held;
use crate::error::MissingNode;
use crate::node::operator;
use crate::program::{Program, ValueInfo};
use crate::proto::ModelProto;
use std::collections::BTreeMap;
use tinytorch_core::tensor::Shape;

/// What a file holds, and what of it cannot run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What has written the file.
    pub producer: String,
    /// The versions of the sets of operators, by domain; ONNX's own is empty.
    pub opsets: Vec<(String, i64)>,
    /// What the model takes.
    pub inputs: Vec<ValueInfo>,
    /// What it gives.
    pub outputs: Vec<ValueInfo>,
    /// Parameters and their shapes as they are stored.
    pub params: Vec<(String, Shape)>,
    /// How many nodes of the file each operator has.
    pub operators: BTreeMap<String, usize>,
    /// Steps that are left once constants are computed.
    pub steps: usize,
    /// Nodes that cannot run.
    pub missing: Vec<MissingNode>,
    /// Parameters that are int8.
    pub int8: Vec<String>,
    /// Weights of 8 bits in the file that multiply as floats, and why.
    pub floats: Vec<(String, String)>,
}

impl Report {
    pub(crate) fn new(proto: &ModelProto, program: &Program, missing: Vec<MissingNode>) -> Report {
        let mut operators = BTreeMap::new();
        for node in proto.graph.iter().flat_map(|graph| &graph.node) {
            *operators.entry(operator(node)).or_default() += 1;
        }
        let shape = |held: &Held| match held {
            Held::Weight(weight) => weight.shape(),
            Held::Param(param) => param.shape(),
        };
        let is_int8 = |held: &Held| matches!(held, Held::Weight(weight) if weight.int8().is_some());
        let int8 = program.params.iter().filter(|(_, held)| is_int8(held));
        let producer = format!("{} {}", proto.producer_name, proto.producer_version);
        Report {
            producer: producer.trim().to_string(),
            opsets: proto
                .opset_import
                .iter()
                .map(|set| (set.domain.clone(), set.version))
                .collect(),
            inputs: program.inputs.clone(),
            outputs: program.outputs.clone(),
            params: program.params.iter().map(|(name, held)| (name.clone(), shape(held))).collect(),
            operators,
            steps: program.steps.len(),
            missing,
            int8: int8.map(|(name, _)| name.clone()).collect(),
            floats: Vec::new(),
        }
    }

    /// Values in all parameters.
    pub fn values(&self) -> usize {
        self.params.iter().map(|(_, shape)| shape.len()).sum()
    }
}
