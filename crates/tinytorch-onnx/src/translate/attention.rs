//! Attention and rotary positions.

use super::writer::attribute::{integers, tensor};
use super::writer::{Value, Writer, untranslated};
use crate::int8::integer;
use crate::tensor::{element, proto};
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::Node;
use tinytorch_core::ops::{Attention, RopePairs, Rotate};
use tinytorch_core::{Result, Tensor};

impl Writer<'_> {
    /// `softmax(Q K^T / sqrt(dim)) V`, where what a mask leaves out gets a weight of 0.
    pub(super) fn attention(&mut self, node: &Node, how: Attention) -> Result<String> {
        let [q, k, v] = [self.input(node, 0)?, self.input(node, 1)?, self.input(node, 2)?];
        let scale = self.number("scale", 1.0 / (q.width().max(1) as f32).sqrt())?;
        let scaled = self.write("Mul", [q.name.clone(), scale], Vec::new());
        let mut order: Vec<usize> = (0..k.rank()).collect();
        order.swap(k.rank() - 2, k.rank() - 1);
        let keys = self.write("Transpose", [&k.name], vec![integers("perm", &order)]);
        let mut scores = self.write("MatMul", [scaled, keys], Vec::new());
        if how.causal {
            let lengths = [&q, &k].map(|one| one.shapes.map(|shape| shape[shape.rank() - 2]));
            if lengths[0] != lengths[1] {
                return Err(untranslated("causal attention to keys of another length").into());
            }
            let rank = q.rank().max(k.rank());
            let kept = self.earlier(&scores, rank)?;
            scores = self.only(kept, scores)?;
        }
        let keep = node.input(3).map(|_| self.input(node, 3)).transpose()?;
        let Some(keep) = keep else {
            let weights = self.write("Softmax", [scores], vec![integer("axis", -1)]);
            return Ok(self.write("MatMul", [weights, v.name], Vec::new()));
        };
        let kept = self.cast(keep.name, element::BOOL);
        let scores = self.only(kept.clone(), scores)?;
        let weights = self.write("Softmax", [scores], vec![integer("axis", -1)]);
        // A query that may look at no key gets zeros.
        let ones = self.cast(kept, element::F32);
        let weights = self.write("Mul", [weights, ones], Vec::new());
        Ok(self.write("MatMul", [weights, v.name], Vec::new()))
    }

    pub(super) fn cast(&mut self, value: String, to: i32) -> String {
        self.write("Cast", [value], vec![integer("to", to.into())])
    }

    /// The scores that are kept, and the least number where others were.
    fn only(&mut self, kept: String, scores: String) -> Result<String> {
        let least = self.number("least", f32::MIN)?;
        Ok(self.write("Where", [kept, scores, least], Vec::new()))
    }

    /// For each query the keys up to its own position.
    fn earlier(&mut self, scores: &str, rank: usize) -> Result<String> {
        let sizes = self.write("Shape", [scores], Vec::new());
        let sizes = self.part(&sizes, rank as i64 - 2, rank as i64, 0)?;
        let one = proto("", &Tensor::from_vec(vec![1.0f32], [1])?)?;
        let ones = self.write("ConstantOfShape", [sizes], vec![tensor("value", one)]);
        let triangle = self.write("Trilu", [ones], vec![integer("upper", 0)]);
        Ok(self.cast(triangle, element::BOOL))
    }

    /// Pairs of entries, each turned by the angle of its position.
    pub(super) fn rotate(&mut self, how: Rotate, x: &Value) -> Result<String> {
        let (rank, dim) = (x.rank() as i64, x.width());
        let length = self.length(&x.name, x.rank() - 2)?;
        let axis = self.list("axes", &[0])?;
        let length = self.write("Unsqueeze", [length, axis.clone()], Vec::new());
        let start = self.list("starts", &[0])?;
        let mut turns = Vec::with_capacity(2);
        for (name, table) in ["cos", "sin"].into_iter().zip(turns_of(how, self.positions, dim)?) {
            let table = self.constant(name, &table)?;
            let inputs = [table, start.clone(), length.clone(), axis.clone()];
            turns.push(self.write("Slice", inputs, Vec::new()));
        }
        let halves = match how.rope.pairs {
            RopePairs::Halves => [(0, dim / 2, 1), (dim / 2, dim, 1)],
            RopePairs::Interleaved => [(0, dim, 2), (1, dim, 2)],
        };
        let mut parts = Vec::with_capacity(2);
        for (from, to, step) in halves {
            let mut inputs = vec![x.name.clone()];
            for (name, number) in [("starts", from), ("ends", to)] {
                inputs.push(self.list(name, &[number as i64])?);
            }
            inputs.extend([self.list("axes", &[rank - 1])?, self.list("steps", &[step])?]);
            parts.push(self.write("Slice", inputs, Vec::new()));
        }
        let mut times = |i: usize, j: usize| self.write("Mul", [&parts[i], &turns[j]], Vec::new());
        let products = [times(0, 0), times(1, 1), times(0, 1), times(1, 0)];
        let [ac, bs, as_, bc] = products;
        let first = self.write("Sub", [ac, bs], Vec::new());
        let second = self.write("Add", [as_, bc], Vec::new());
        if how.rope.pairs == RopePairs::Halves {
            return Ok(self.write("Concat", [first, second], vec![integer("axis", -1)]));
        }
        let last = self.list("axes", &[rank])?;
        let pairs =
            [first, second].map(|part| self.write("Unsqueeze", [part, last.clone()], Vec::new()));
        let pairs = self.write("Concat", pairs, vec![integer("axis", -1)]);
        let mut sizes = vec![0; x.rank()];
        sizes[x.rank() - 1] = dim as i64;
        let sizes = self.list("sizes", &sizes)?;
        Ok(self.write("Reshape", [pairs, sizes], Vec::new()))
    }
}

/// The cosines and sines by which the pairs of a vector are turned at every position: what the rotation makes of a
/// 1 in the first place of each pair.
fn turns_of(how: Rotate, positions: usize, dim: usize) -> Result<[Tensor; 2]> {
    let place = |pair: usize| match how.rope.pairs {
        RopePairs::Halves => (pair, pair + dim / 2),
        RopePairs::Interleaved => (2 * pair, 2 * pair + 1),
    };
    let mut ones = vec![0.0f32; positions * dim];
    for row in ones.chunks_exact_mut(dim.max(1)) {
        (0..dim / 2).for_each(|pair| row[place(pair).0] = 1.0);
    }
    let ones = Var::from(Tensor::from_vec(ones, [positions, dim])?);
    let turned = ones.rope(how.rope, how.offset, &mut Ctx::eval())?.value().to_vec::<f32>()?;
    let of = |which: fn((usize, usize)) -> usize| {
        let rows = turned.chunks_exact(dim.max(1));
        let values = rows.flat_map(|row| (0..dim / 2).map(|pair| row[which(place(pair))]));
        Tensor::from_vec(values.collect(), [positions, dim / 2])
    };
    Ok([of(|pair| pair.0)?, of(|pair| pair.1)?])
}
