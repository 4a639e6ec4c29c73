//! The record of a pass, walked backwards for gradients and lowered for deployment.

use super::error::AutogradError;
use super::gradients::{BufferUpdate, Gradients};
use super::op::{Op, Saved};
use super::outputs::Outputs;
use super::var::{Point, Var};
use crate::Result;
use crate::graph::{Edge, Exec, Graph, ParamId, Step};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where an op's input came from.
#[derive(Debug)]
enum Source {
    /// An output of a node.
    Node(usize, usize),
    Constant(Tensor),
    /// Nowhere: an optional input that was left out.
    Absent,
}

#[derive(Debug)]
enum Node {
    Param(ParamId, Tensor),
    Input,
    Op {
        op: Arc<dyn Op>,
        weight: Option<ParamId>,
        sources: Vec<Source>,
        saved: Saved,
        outputs: usize,
    },
}

/// The record of a pass: every op in the order it ran. Backward walks it once, from the end, so its
/// cost is a constant per op however often a value is used; a deployment engine reads the same record.
#[derive(Debug)]
pub struct Tape {
    id: u64,
    nodes: Vec<Node>,
    params: BTreeMap<ParamId, usize>,
    updates: Vec<BufferUpdate>,
    keeps_everything: bool,
}

impl Tape {
    /// A tape for gradients: records what a parameter or tracked input led to.
    pub(super) fn for_gradients() -> Tape {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Tape {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            nodes: Vec::new(),
            params: BTreeMap::new(),
            updates: Vec::new(),
            keeps_everything: false,
        }
    }

    /// A tape for deployment: records every op.
    pub(super) fn for_tracing() -> Tape {
        Tape { keeps_everything: true, ..Tape::for_gradients() }
    }

    fn push(&mut self, node: Node) -> Point {
        self.nodes.push(node);
        Point { tape: self.id, node: self.nodes.len() - 1, output: 0 }
    }

    pub(super) fn input(&mut self) -> Point {
        self.push(Node::Input)
    }

    pub(super) fn param(&mut self, id: ParamId, value: &Tensor) -> Point {
        if let Some(&node) = self.params.get(&id) {
            return Point { tape: self.id, node, output: 0 };
        }
        let point = self.push(Node::Param(id, value.clone()));
        self.params.insert(id, point.node);
        point
    }

    pub(super) fn traces(&self) -> bool {
        self.keeps_everything
    }

    pub(super) fn update(&mut self, update: BufferUpdate) {
        self.updates.push(update);
    }

    /// Records an op that has run, and returns the point of its first output; `None` if nothing it read
    /// is tracked.
    pub(super) fn record(
        &mut self,
        op: Arc<dyn Op>,
        weight: Option<ParamId>,
        inputs: &[Option<&Var>],
        outputs: &[Tensor],
    ) -> Result<Option<Point>> {
        let point = |input: &Option<&Var>| input.and_then(|v| v.point);
        for input in inputs.iter().flatten() {
            if input.point.is_some_and(|p| p.tape != self.id) {
                return Err(AutogradError::ForeignValue { op: op.name() }.into());
            }
        }
        if !self.keeps_everything && inputs.iter().all(|v| point(v).is_none()) {
            return Ok(None);
        }
        let sources = inputs.iter().map(|input| match (point(input), input) {
            (Some(p), _) => Source::Node(p.node, p.output),
            (None, Some(v)) => Source::Constant(v.value().clone()),
            (None, None) => Source::Absent,
        });
        let saves = op.saves();
        let keeps = |wanted: bool| wanted && !self.keeps_everything;
        let saved = Saved {
            op: op.name(),
            shapes: inputs.iter().map(|input| input.map(|v| *v.shape())).collect(),
            inputs: if keeps(saves.inputs()) {
                inputs.iter().map(|input| input.map(|v| v.value().clone())).collect()
            } else {
                Vec::new()
            },
            outputs: if keeps(saves.output()) { outputs.to_vec() } else { Vec::new() },
            needed: inputs.iter().map(|input| point(input).is_some()).collect(),
        };
        let (sources, outputs) = (sources.collect(), outputs.len());
        Ok(Some(self.push(Node::Op { op, weight, sources, saved, outputs })))
    }

    /// Gradients of a single value with respect to everything tracked that led to it.
    pub(super) fn backward(self, loss: &Var, exec: &mut Exec) -> Result<Gradients> {
        if loss.value().len() != 1 {
            return Err(AutogradError::NotScalar { shape: *loss.shape() }.into());
        }
        let start = loss.point.ok_or(AutogradError::Untracked)?;
        if start.tape != self.id {
            return Err(AutogradError::ForeignValue { op: "backward" }.into());
        }
        // The gradients of all outputs of all nodes, side by side.
        let mut first = Vec::with_capacity(self.nodes.len());
        let mut values = 0;
        for node in &self.nodes {
            first.push(values);
            values += if let Node::Op { outputs, .. } = node { *outputs } else { 1 };
        }
        let mut pending: Vec<Option<Tensor>> = Vec::new();
        pending.resize_with(values, || None);
        pending[first[start.node] + start.output] = Some(Tensor::ones(*loss.shape())?);
        let mut result = Gradients { tape: self.id, updates: self.updates, ..Default::default() };

        for (index, node) in self.nodes.into_iter().enumerate().rev() {
            match node {
                Node::Param(id, _) => {
                    result.params.extend(pending[first[index]].take().map(|grad| (id, grad)));
                }
                Node::Input => {
                    result.inputs.extend(pending[first[index]].take().map(|grad| (index, grad)));
                }
                Node::Op { op, sources, saved, outputs, .. } => {
                    let own = &mut pending[first[index]..][..outputs];
                    if own.iter().all(Option::is_none) {
                        continue;
                    }
                    let own: Vec<Option<Tensor>> = own.iter_mut().map(Option::take).collect();
                    let grads = op.backward_many(&saved, &own, exec)?;
                    drop(own);
                    for (input, (source, grad)) in sources.iter().zip(grads).enumerate() {
                        let (Source::Node(node, output), Some(grad)) = (source, grad) else {
                            continue;
                        };
                        let (got, expected) = (*grad.shape(), *saved.shape(input));
                        if got != expected {
                            let op = op.name();
                            return Err(
                                AutogradError::GradientShape { op, input, got, expected }.into()
                            );
                        }
                        match &mut pending[first[*node] + *output] {
                            Some(sum) => sum.add_assign(&grad)?,
                            slot => *slot = Some(grad),
                        }
                    }
                }
            }
        }
        Ok(result)
    }

    /// The pass as a graph whose results are `outputs`. A result that nothing was recorded of, because
    /// no input led to it, is a constant of the graph.
    ///
    /// # Errors
    /// [`AutogradError::Untracked`] if this tape has recorded none of `outputs`, or one was recorded
    /// by another.
    pub fn lower(self, outputs: &(impl Outputs + ?Sized)) -> Result<Graph> {
        let outputs = outputs.vars();
        let is_foreign = |v: &&Var| v.point.is_some_and(|p| p.tape != self.id);
        if outputs.iter().all(|v| v.point.is_none()) || outputs.iter().any(is_foreign) {
            return Err(AutogradError::Untracked.into());
        }
        let mut graph = Graph::new();
        let mut edges: Vec<Vec<Edge>> = Vec::with_capacity(self.nodes.len());
        let ids: Vec<Option<ParamId>> = self
            .nodes
            .iter()
            .map(|node| if let Node::Param(id, _) = node { Some(*id) } else { None })
            .collect();
        for (node, id) in self.nodes.into_iter().zip(&ids) {
            let edge = match node {
                Node::Param(_, value) => {
                    let edge = graph.constant(value);
                    graph.set_params(edge, id.iter().copied().collect())?;
                    edge
                }
                Node::Input => graph.input(),
                Node::Op { op, weight, sources, .. } => {
                    // A weight stored as int8 is part of the op and not among its inputs.
                    let mut params: Vec<ParamId> = weight.into_iter().collect();
                    let mut inputs = Vec::with_capacity(sources.len());
                    for source in sources {
                        inputs.push(match source {
                            Source::Node(node, output) => {
                                params.extend(ids[node].filter(|id| Some(*id) != weight));
                                Some(edges[node][output])
                            }
                            Source::Constant(value) => Some(graph.constant(value)),
                            Source::Absent => None,
                        });
                    }
                    let edge = match op.lower(&mut graph, &inputs)? {
                        Some(edge) => edge,
                        None => graph.push_optional(Step::Compute(op), &inputs)?,
                    };
                    graph.set_params(edge, params)?;
                    edge
                }
            };
            edges.push(graph.outputs_of(edge));
        }
        let results = outputs.iter().map(|v| match v.point {
            Some(Point { node, output, .. }) => edges[node][output],
            None => graph.constant(v.value().clone()),
        });
        let results: Vec<Edge> = results.collect();
        graph.set_outputs(&results)?;
        Ok(graph)
    }
}
