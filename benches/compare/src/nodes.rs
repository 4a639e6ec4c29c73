//! A network as other engines can build it: a list of operations on named values.

use serde::{Deserialize, Serialize};

/// The value that a network is given.
pub(crate) const INPUT: &str = "input";

/// One operation. The last node of a list gives the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    #[serde(flatten)]
    pub(crate) op: Op,
    pub(crate) inputs: Vec<String>,
    pub(crate) output: String,
}

/// The operations, of floats in the order batch, channels, height, width. `name` is what the names of a
/// layer's parameters begin with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub(crate) enum Op {
    /// `x W^T + b`; `flat` says that x has two axes.
    Linear {
        name: String,
        flat: bool,
    },
    Conv {
        name: String,
        bias: bool,
        stride: usize,
        padding: usize,
    },
    /// By the running mean and variance.
    BatchNorm {
        name: String,
        eps: f32,
    },
    LayerNorm {
        name: String,
        eps: f32,
    },
    /// `(x - mean) / std` for each channel.
    Normalize {
        mean: Vec<f32>,
        std: Vec<f32>,
    },
    /// Over squares that lie side by side.
    MaxPool {
        size: usize,
    },
    /// `[batch, channels]`.
    MeanOfChannels,
    /// All axes but the first.
    Flatten,
    Relu,
    /// By the error function.
    Gelu,
    Add,
    /// Of queries, keys and values `[batch, length, width]`, whose heads lie side by side.
    Attention {
        heads: usize,
        width: usize,
    },
    /// Every `stride`-th row and column, between so many channels of zeros in all, one more after than before
    /// if their number is odd.
    PadShortcut {
        stride: usize,
        added: usize,
    },
}

/// A list that grows.
#[derive(Default)]
pub(crate) struct Nodes(Vec<Node>);

impl Nodes {
    /// Adds an operation on one value and returns the name of what it gives.
    pub(crate) fn on(&mut self, input: &str, op: Op) -> String {
        self.add(&[input], op)
    }

    /// Adds an operation and returns the name of what it gives.
    pub(crate) fn add(&mut self, inputs: &[&str], op: Op) -> String {
        let output = format!("value{}", self.0.len());
        let inputs = inputs.iter().map(|input| input.to_string()).collect();
        self.0.push(Node { op, inputs, output: output.clone() });
        output
    }

    /// [`Op::Linear`] on values `[batch, length, width]`.
    pub(crate) fn rows(&mut self, input: &str, name: String) -> String {
        self.on(input, Op::Linear { name, flat: false })
    }

    pub(crate) fn finish(self) -> Vec<Node> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_the_json_that_the_scripts_read() {
        let mut nodes = Nodes::default();
        let x = nodes.on(INPUT, Op::Linear { name: "0".into(), flat: true });
        nodes.add(&[&x, INPUT], Op::Add);
        let json = serde_json::to_string(&nodes.finish()).unwrap();
        let expected = concat!(
            r#"[{"op":"linear","name":"0","flat":true,"inputs":["input"],"output":"value0"},"#,
            r#"{"op":"add","inputs":["value0","input"],"output":"value1"}]"#
        );
        assert_eq!(json, expected);
        let back: Vec<Node> = serde_json::from_str(&json).unwrap();
        assert_eq!(back[1].op, Op::Add);
    }
}
