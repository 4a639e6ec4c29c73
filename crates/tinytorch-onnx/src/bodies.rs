//! Graphs within nodes: what they read of the graph around them becomes inputs of the node.

use crate::apply::Operator;
use crate::build::{Builder, Value};
use crate::error::OnnxError;
use crate::node::{Node, Reading, free_names};
use crate::operators::control::{self, Body};
use crate::program::Slot;
use crate::proto::{GraphProto, NodeProto};
use std::collections::BTreeSet;

/// A node that was read, or why it cannot be.
type Read = Reading<(&'static str, Operator)>;

impl Builder<'_> {
    /// A node with graphs of its own; `None` if it is another.
    pub(crate) fn control(
        &mut self,
        title: &str,
        proto: &NodeProto,
        node: &Node<'_>,
        inputs: &mut Vec<Option<Slot>>,
    ) -> Result<Option<Read>, OnnxError> {
        if !matches!(proto.domain.as_str(), "" | "ai.onnx") {
            return Ok(None);
        }
        let read = match proto.op_type.as_str() {
            "If" => self.branch(title, node, inputs)?.map(|operator| ("If", operator)),
            "Loop" => {
                let carried = inputs.len().saturating_sub(2);
                let body = self.body(title, node.graph("body"), inputs)?;
                body.and_then(|body| control::repeated(body, carried))
                    .map(|operator| ("Loop", operator))
            }
            "Scan" => {
                let count = inputs.len();
                let body = self.body(title, node.graph("body"), inputs)?;
                body.and_then(|body| control::scan(node, body, count))
                    .map(|operator| ("Scan", operator))
            }
            _ => return Ok(None),
        };
        Ok(Some(read.and_then(|read| node.check_attributes().map(|()| read))))
    }

    fn branch(
        &mut self,
        title: &str,
        node: &Node<'_>,
        inputs: &mut Vec<Option<Slot>>,
    ) -> Result<Reading<Operator>, OnnxError> {
        let (then, or) = (node.graph("then_branch"), node.graph("else_branch"));
        let known = node
            .constant(0)
            .and_then(|value| value.to_dtype::<i64>().and_then(|v| v.to_vec::<i64>()).ok());
        if let Some(known) = known {
            // The other graph is never read.
            let graph = if known.first().is_some_and(|value| *value != 0) { then } else { or };
            return Ok(self.body(title, graph, inputs)?.map(control::chosen));
        }
        let (then, or) = (self.body(title, then, inputs)?, self.body(title, or, inputs)?);
        Ok(then.and_then(|then| or.map(|or| control::branch(then, or))))
    }

    /// Reads a graph within a node, and adds what it reads of this one to the node's inputs.
    fn body(
        &mut self,
        title: &str,
        graph: Reading<Option<&GraphProto>>,
        inputs: &mut Vec<Option<Slot>>,
    ) -> Result<Reading<Body>, OnnxError> {
        let graph = match graph {
            Ok(Some(graph)) => graph,
            Ok(None) => return Ok(Err("a graph is missing".into())),
            Err(problem) => return Ok(Err(problem)),
        };
        let mut names = BTreeSet::new();
        free_names(graph, &mut names);
        let start = inputs.len();
        let mut known: Vec<(String, Value)> = Vec::new();
        for name in names {
            // What nobody gives is found when the graph is read.
            let Some(slot) = self.slot(&name) else { continue };
            let value = self.known(slot).clone();
            if matches!(value, Value::Computed) {
                inputs.push(Some(slot));
            }
            known.push((name, value));
        }
        let (program, missing) = self.within(title, graph, known)?;
        match missing {
            0 => Ok(Ok(Body { program, captured: start..inputs.len() })),
            missing => Ok(Err(format!("{missing} nodes of its graph cannot run"))),
        }
    }
}
