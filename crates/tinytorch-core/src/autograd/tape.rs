use super::error::AutogradError;
use super::gradients::{BufferUpdate, Gradients};
use super::op::{Op, Saved};
use super::var::{Point, Var};
use crate::Result;
use crate::graph::{Edge, Graph, ParamId};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where an op's input came from.
#[derive(Debug)]
enum Source {
    Node(usize),
    Constant(Tensor),
}

#[derive(Debug)]
enum Node {
    Param(ParamId, Tensor),
    Input,
    Op { op: Arc<dyn Op>, weight: Option<ParamId>, sources: Vec<Source>, saved: Saved },
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
        Point { tape: self.id, node: self.nodes.len() - 1 }
    }

    pub(super) fn input(&mut self) -> Point {
        self.push(Node::Input)
    }

    pub(super) fn param(&mut self, id: ParamId, value: &Tensor) -> Point {
        if let Some(&node) = self.params.get(&id) {
            return Point { tape: self.id, node };
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

    /// Records an op that has run; `None` if nothing it read is tracked.
    pub(super) fn record(
        &mut self,
        op: Arc<dyn Op>,
        weight: Option<ParamId>,
        inputs: &[&Var],
        output: &Tensor,
    ) -> Result<Option<Point>> {
        for input in inputs {
            if input.point.is_some_and(|p| p.tape != self.id) {
                return Err(AutogradError::ForeignValue { op: op.name() }.into());
            }
        }
        if !self.keeps_everything && inputs.iter().all(|v| v.point.is_none()) {
            return Ok(None);
        }
        let sources = inputs.iter().map(|v| match v.point {
            Some(p) => Source::Node(p.node),
            None => Source::Constant(v.value().clone()),
        });
        let saves = op.saves();
        let keeps = |wanted: bool| wanted && !self.keeps_everything;
        let saved = Saved {
            op: op.name(),
            shapes: inputs.iter().map(|v| *v.shape()).collect(),
            inputs: if keeps(saves.inputs()) {
                inputs.iter().map(|v| v.value().clone()).collect()
            } else {
                Vec::new()
            },
            output: keeps(saves.output()).then(|| output.clone()),
            needed: inputs.iter().map(|v| v.point.is_some()).collect(),
        };
        let sources = sources.collect();
        Ok(Some(self.push(Node::Op { op, weight, sources, saved })))
    }

    /// Gradients of a single value with respect to everything tracked that led to it.
    pub(super) fn backward(self, loss: &Var) -> Result<Gradients> {
        if loss.value().len() != 1 {
            return Err(AutogradError::NotScalar { shape: *loss.shape() }.into());
        }
        let start = loss.point.ok_or(AutogradError::Untracked)?;
        if start.tape != self.id {
            return Err(AutogradError::ForeignValue { op: "backward" }.into());
        }
        let mut pending: Vec<Option<Tensor>> = Vec::new();
        pending.resize_with(self.nodes.len(), || None);
        pending[start.node] = Some(Tensor::ones(*loss.shape())?);
        let mut result = Gradients { tape: self.id, updates: self.updates, ..Default::default() };

        for (index, node) in self.nodes.into_iter().enumerate().rev() {
            let Some(grad) = pending[index].take() else { continue };
            match node {
                Node::Param(id, _) => {
                    result.params.insert(id, grad);
                }
                Node::Input => {
                    result.inputs.insert(index, grad);
                }
                Node::Op { op, sources, saved, .. } => {
                    let grads = op.backward(&saved, &grad)?;
                    for (input, (source, grad)) in sources.iter().zip(grads).enumerate() {
                        let (Source::Node(to), Some(grad)) = (source, grad) else { continue };
                        let (got, expected) = (*grad.shape(), *saved.shape(input));
                        if got != expected {
                            let op = op.name();
                            return Err(
                                AutogradError::GradientShape { op, input, got, expected }.into()
                            );
                        }
                        match &mut pending[*to] {
                            Some(sum) => sum.add_assign(&grad)?,
                            slot => *slot = Some(grad),
                        }
                    }
                }
            }
        }
        Ok(result)
    }

    /// The pass as a graph whose result is `output`.
    ///
    /// # Errors
    /// [`AutogradError::Untracked`] if this tape has not recorded `output`.
    pub fn lower(self, output: &Var) -> Result<Graph> {
        let end = output.point.filter(|p| p.tape == self.id).ok_or(AutogradError::Untracked)?;
        let mut graph = Graph::new();
        let mut edges: Vec<Edge> = Vec::with_capacity(self.nodes.len());
        let ids: Vec<Option<ParamId>> = self
            .nodes
            .iter()
            .map(|node| if let Node::Param(id, _) = node { Some(*id) } else { None })
            .collect();
        for (node, id) in self.nodes.into_iter().zip(&ids) {
            edges.push(match node {
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
                            Source::Node(node) => {
                                params.extend(ids[node].filter(|id| Some(*id) != weight));
                                edges[node]
                            }
                            Source::Constant(value) => graph.constant(value),
                        });
                    }
                    let edge = op.lower(&mut graph, &inputs)?;
                    graph.set_params(edge, params)?;
                    edge
                }
            });
        }
        graph.set_output(edges[end.node]);
        Ok(graph)
    }
}
