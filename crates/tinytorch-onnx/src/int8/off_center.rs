//! Weights whose zero is not the level in the middle.
//!
//! `scale (levels - middle - offset)` is a weight of levels around the middle, less `scale * offset` everywhere: the
//! layer also adds up what it reads, by a weight of ones, and takes as much off each channel.

use super::draft::{Draft, floats, int, plain};
use crate::proto::NodeProto;

/// The weight `name` of a file.
pub(super) struct OffCenter<'w> {
    pub(super) name: &'w str,
    pub(super) dims: &'w [i64],
    /// For each output channel, or one for all.
    pub(super) scales: &'w [f32],
    /// Likewise.
    pub(super) offsets: &'w [f32],
    /// Whether the order is `[in, out]`.
    pub(super) transposed: bool,
}

impl OffCenter<'_> {
    fn channels(&self) -> i64 {
        self.dims[usize::from(self.transposed)]
    }

    /// What is added to each channel for each 1 that was read.
    fn factors(&self) -> Vec<f32> {
        let each = |list: &[f32], i: usize| if list.len() == 1 { list[0] } else { list[i] };
        let factor = |i: usize| -each(self.scales, i) * each(self.offsets, i);
        (0..self.channels() as usize).map(factor).collect()
    }

    /// The sizes of the weight of ones: of one channel, unless these are in groups, and read other inputs.
    fn ones(&self, groups: i64) -> Vec<i64> {
        let mut dims = self.dims.to_vec();
        if groups == 1 {
            dims[usize::from(self.transposed)] = 1;
        }
        dims
    }
}

/// Corrects what a layer gives that multiplies by such a weight. Gives the name of a weight of ones that is missing
/// now, and how many there are.
pub(super) fn correct(draft: &mut Draft, layer: usize, weight: &OffCenter<'_>) -> (String, usize) {
    let node = draft.nodes[layer].clone();
    let dims = weight.ones(int(&node, "group").unwrap_or(1));
    let count = dims.iter().product::<i64>() as usize;
    let ones = draft.fresh(format!("{}_ones", weight.name));
    draft.add(floats(&ones, &dims, &[]));
    let mut spread = vec![weight.channels()];
    if node.op_type == "Conv" {
        spread.insert(0, 1);
        spread.resize(weight.dims.len(), 1);
    }
    let name = format!("{}_offset", weight.name);
    let factors = draft.add_floats(name, &spread, &weight.factors());
    let output = node.output[0].clone();
    let [uncorrected, sums, correction] =
        ["uncorrected", "sums", "correction"].map(|what| draft.fresh(format!("{output}_{what}")));
    draft.nodes[layer].output[0].clone_from(&uncorrected);
    let sum = NodeProto {
        input: vec![node.input[0].clone(), ones.clone()],
        output: vec![sums.clone()],
        name: format!("{}_sums", node.name),
        ..node
    };
    draft.follow(
        layer,
        vec![
            sum,
            plain("Mul", vec![sums, factors], &correction),
            plain("Add", vec![uncorrected, correction], &output),
        ],
    );
    (ones, count)
}
