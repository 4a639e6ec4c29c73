//! Changing a graph in place: what rewrites are made of.

use super::{Edge, Graph, Node};

impl Graph {
    /// Every edge, in the order of the nodes.
    pub fn edges(&self) -> impl DoubleEndedIterator<Item = Edge> + use<> {
        (0..self.nodes.len()).map(Edge)
    }

    /// The node whose output an edge is.
    ///
    /// # Panics
    /// If the edge is of another, larger graph.
    pub fn node(&self, edge: Edge) -> &Node {
        &self.nodes[edge.0]
    }

    /// The same node, for changing it; what it reads must come before it.
    ///
    /// # Panics
    /// As [`Graph::node`].
    pub fn node_mut(&mut self, edge: Edge) -> &mut Node {
        &mut self.nodes[edge.0]
    }

    /// The nodes that read an edge, one entry for each time they do.
    pub fn readers(&self, edge: Edge) -> impl Iterator<Item = Edge> {
        let reads = move |node: &Node| node.inputs.iter().filter(|&&input| input == edge).count();
        self.nodes.iter().enumerate().flat_map(move |(i, n)| std::iter::repeat_n(Edge(i), reads(n)))
    }

    /// Whether `edge` is read once, and not the result of the graph.
    pub fn is_read_once(&self, edge: Edge) -> bool {
        self.output != Some(edge) && self.readers(edge).count() == 1
    }

    /// Lets everything that reads `from`, the graph's result included, read `to`.
    pub fn redirect(&mut self, from: Edge, to: Edge) {
        for input in self.nodes.iter_mut().flat_map(|node| &mut node.inputs) {
            if *input == from {
                *input = to;
            }
        }
        if self.output == Some(from) {
            self.output = Some(to);
        }
    }

    /// Drops every node that the result does not depend on; inputs of the graph stay.
    pub fn remove_dead_nodes(&mut self) {
        let mut alive = vec![false; self.nodes.len()];
        for &Edge(edge) in self.inputs.iter().chain(&self.output) {
            alive[edge] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if alive[i] {
                self.nodes[i].inputs.iter().for_each(|&Edge(input)| alive[input] = true);
            }
        }
        let mut moved = Vec::with_capacity(alive.len());
        let mut kept = 0;
        for &alive in &alive {
            moved.push(Edge(kept));
            kept += usize::from(alive);
        }
        let mut index = 0;
        self.nodes.retain(|_| {
            index += 1;
            alive[index - 1]
        });
        let edges = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        for edge in edges.chain(&mut self.inputs).chain(&mut self.output) {
            *edge = moved[edge.0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Step;

    #[test]
    fn nodes_that_the_result_does_not_depend_on_are_dropped() {
        let mut graph = Graph::new();
        let unused_input = graph.input();
        let x = graph.input();
        let a = graph.push(Step::Relu, &[x]).unwrap();
        let dead = graph.push(Step::Relu, &[a]).unwrap();
        graph.push(Step::Relu, &[dead]).unwrap();
        let b = graph.push(Step::GlobalAvgPool2d, &[a]).unwrap();
        graph.set_output(b);
        graph.remove_dead_nodes();
        assert_eq!(graph.nodes().len(), 4);
        assert_eq!(graph.inputs(), [unused_input, x]);
        let output = graph.node(graph.output().unwrap());
        assert!(matches!(output.step, Step::GlobalAvgPool2d));
        assert!(matches!(graph.node(output.inputs[0]).step, Step::Relu));
    }

    #[test]
    fn redirecting_moves_every_reader_and_the_result() {
        let mut graph = Graph::new();
        let x = graph.input();
        let a = graph.push(Step::Relu, &[x]).unwrap();
        let b = graph.push(Step::Relu, &[a]).unwrap();
        graph.set_output(a);
        assert!(!graph.is_read_once(a));
        assert!(graph.is_read_once(x));
        graph.redirect(a, x);
        assert_eq!(graph.output(), Some(x));
        assert_eq!(graph.node(b).inputs, [x]);
        assert_eq!(graph.readers(x).count(), 2);
    }
}
