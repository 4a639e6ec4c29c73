//! Changing a graph in place: what rewrites are made of.

use super::{Edge, Graph, Node};

impl Graph {
    /// The first output of every node, in the order of the nodes.
    pub fn firsts(&self) -> impl DoubleEndedIterator<Item = Edge> + use<> {
        (0..self.nodes.len()).map(|node| Edge { node, output: 0 })
    }

    /// The node whose output an edge is.
    ///
    /// # Panics
    /// If the edge is of another, larger graph.
    pub fn node(&self, edge: Edge) -> &Node {
        &self.nodes[edge.node]
    }

    /// The same node, for changing it; what it reads must come before it.
    ///
    /// # Panics
    /// As [`Graph::node`].
    pub fn node_mut(&mut self, edge: Edge) -> &mut Node {
        &mut self.nodes[edge.node]
    }

    /// The nodes that read an edge, one entry for each time they do.
    pub fn readers(&self, edge: Edge) -> impl Iterator<Item = Edge> {
        let reads = move |node: &Node| node.edges().filter(|&input| input == edge).count();
        let nodes = self.firsts().zip(&self.nodes);
        nodes.flat_map(move |(first, node)| std::iter::repeat_n(first, reads(node)))
    }

    /// Whether `edge` is read once, and not a result of the graph.
    pub fn is_read_once(&self, edge: Edge) -> bool {
        !self.outputs.contains(&edge) && self.readers(edge).count() == 1
    }

    /// Lets everything that reads `from`, the graph's results included, read `to`.
    pub fn redirect(&mut self, from: Edge, to: Edge) {
        let edges = self.nodes.iter_mut().flat_map(|node| &mut node.inputs).flatten();
        for edge in edges.chain(&mut self.outputs) {
            if *edge == from {
                *edge = to;
            }
        }
    }

    /// Drops every node that no result depends on; inputs of the graph stay.
    pub fn remove_dead_nodes(&mut self) {
        let mut alive = vec![false; self.nodes.len()];
        for edge in self.inputs.iter().chain(&self.outputs) {
            alive[edge.node] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if alive[i] {
                self.nodes[i].edges().for_each(|input| alive[input.node] = true);
            }
        }
        let mut moved = Vec::with_capacity(alive.len());
        let mut kept = 0;
        for &alive in &alive {
            moved.push(kept);
            kept += usize::from(alive);
        }
        let mut index = 0;
        self.nodes.retain(|_| {
            index += 1;
            alive[index - 1]
        });
        let edges = self.nodes.iter_mut().flat_map(|node| &mut node.inputs).flatten();
        for edge in edges.chain(&mut self.inputs).chain(&mut self.outputs) {
            edge.node = moved[edge.node];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Step;
    use crate::ops::{GlobalAvgPool, Relu};
    use std::sync::Arc;

    fn relu() -> Step {
        Step::Compute(Arc::new(Relu))
    }

    fn is_relu(step: &Step) -> bool {
        step.properties().positive_part
    }

    #[test]
    fn nodes_that_the_result_does_not_depend_on_are_dropped() {
        let mut graph = Graph::new();
        let unused_input = graph.input();
        let x = graph.input();
        let a = graph.push(relu(), &[x]).unwrap();
        let dead = graph.push(relu(), &[a]).unwrap();
        graph.push(relu(), &[dead]).unwrap();
        let b = graph.push(Step::Compute(Arc::new(GlobalAvgPool)), &[a]).unwrap();
        graph.set_output(b);
        graph.remove_dead_nodes();
        assert_eq!(graph.nodes().len(), 4);
        assert_eq!(graph.inputs(), [unused_input, x]);
        let output = graph.node(graph.outputs()[0]);
        assert!(!is_relu(&output.step));
        assert!(is_relu(&graph.node(output.input(0).unwrap()).step));
    }

    #[test]
    fn redirecting_moves_every_reader_and_the_result() {
        let mut graph = Graph::new();
        let x = graph.input();
        let a = graph.push(relu(), &[x]).unwrap();
        let b = graph.push(relu(), &[a]).unwrap();
        graph.set_output(a);
        assert!(!graph.is_read_once(a));
        assert!(graph.is_read_once(x));
        graph.redirect(a, x);
        assert_eq!(graph.outputs(), [x]);
        assert_eq!(graph.node(b).inputs, [Some(x)]);
        assert_eq!(graph.readers(x).count(), 2);
    }
}
