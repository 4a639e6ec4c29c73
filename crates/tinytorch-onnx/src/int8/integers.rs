//! Products of integers over a range that is found as the values come.
//!
//! `DynamicQuantizeLinear` gives unsigned levels and their zero point; `MatMulInteger` multiplies them by a constant.
//! Levels counted from 128 are levels over a fixed range, so the product runs as any other; what the zero point
//! differs from 128 by meets the sum of each column, which is known.

use super::draft::{Draft, dequantize, int, integer, is_own, plain};
use crate::error::OnnxError;
use crate::file::Files;
use crate::proto::{NodeProto, TensorProto};
use crate::tensor::{self, element};
use std::collections::{BTreeMap, BTreeSet};

/// The level from which others are counted.
const MIDDLE: i32 = 128;

/// What was found of such products so far.
#[derive(Default)]
pub(super) struct Integers {
    /// Values that are levels without a sign.
    levels: BTreeSet<String>,
    /// By the names of integers, those of the same numbers as floats.
    floats: BTreeMap<String, String>,
}

impl Integers {
    /// The nodes that a node becomes, unless it stays what it is.
    pub(super) fn expand(
        &mut self,
        draft: &mut Draft,
        node: &NodeProto,
        files: &mut Files,
    ) -> Result<Option<Vec<NodeProto>>, OnnxError> {
        if !is_own(node) {
            return Ok(None);
        }
        match node.op_type.as_str() {
            "DynamicQuantizeLinear" => {
                self.levels.extend(node.output.first().cloned());
                Ok(None)
            }
            "Cast" => Ok(self.cast(node)),
            "MatMulInteger" => self.product(draft, node, files),
            _ => Ok(None),
        }
    }

    /// Integers that are wanted as floats are there as such.
    fn cast(&self, node: &NodeProto) -> Option<Vec<NodeProto>> {
        let wants_floats = int(node, "to") == Some(i64::from(element::F32));
        let floats = self.floats.get(node.input.first()?).filter(|_| wants_floats)?;
        Some(vec![plain("Identity", vec![floats.clone()], node.output.first()?)])
    }

    fn product(
        &mut self,
        draft: &mut Draft,
        node: &NodeProto,
        files: &mut Files,
    ) -> Result<Option<Vec<NodeProto>>, OnnxError> {
        let given = |i: usize| node.input.get(i).filter(|name| !name.is_empty());
        let (Some(levels), Some(name), Some(output)) = (given(0), given(1), node.output.first())
        else {
            return Ok(None);
        };
        let Some(weight) = draft.constant(name).filter(|_| self.levels.contains(levels)) else {
            return Ok(None);
        };
        let middle = given(3).map(|zero| draft.constant(zero));
        let &[_, columns] = &weight.dims[..] else { return Ok(None) };
        let zero_points = match middle {
            None => vec![0.0],
            Some(Some(zero_points)) => tensor::numbers(zero_points, files)?,
            Some(None) => return Ok(None),
        };
        let Some(sums) = column_sums(&tensor::numbers(weight, files)?, columns, &zero_points)
        else {
            return Ok(None);
        };
        let middle = draft.fresh(format!("{levels}_middle"));
        draft.add(TensorProto {
            name: middle.clone(),
            data_type: element::U8,
            int32_data: vec![MIDDLE],
            ..TensorProto::default()
        });
        let one = draft.add_floats(format!("{levels}_one"), &[], &[1.0]);
        let from = draft.add_floats(format!("{levels}_from"), &[], &[MIDDLE as f32]);
        let sums = draft.add_floats(format!("{name}_sums"), &[columns], &sums);
        let [centered, weights, product, zero, moved, correction, floats] =
            ["centered", "weights", "product", "zero", "moved", "correction", "floats"]
                .map(|what| draft.fresh(format!("{output}_{what}")));
        let with_zero_points = [name.clone(), one.clone()].into_iter().chain(given(3).cloned());
        let mut nodes = vec![
            dequantize(vec![levels.clone(), one.clone(), middle], &centered, None),
            dequantize(with_zero_points.collect(), &weights, Some(1)),
            plain("MatMul", vec![centered, weights], &product),
        ];
        let zero = match given(2) {
            Some(point) => {
                let to = vec![integer("to", i64::from(element::F32))];
                nodes
                    .push(NodeProto { attribute: to, ..plain("Cast", vec![point.clone()], &zero) });
                zero
            }
            None => draft.add_floats(zero, &[], &[0.0]),
        };
        let to = vec![integer("to", i64::from(element::I32))];
        nodes.extend([
            plain("Sub", vec![zero, from], &moved),
            plain("Mul", vec![moved, sums], &correction),
            plain("Sub", vec![product, correction], &floats),
            NodeProto { attribute: to, ..plain("Cast", vec![floats.clone()], output) },
        ]);
        self.floats.insert(output.clone(), floats);
        Ok(Some(nodes))
    }
}

/// The sum of each column of a matrix less its zero points, one for all or one for each.
fn column_sums(values: &[f32], columns: i64, zero_points: &[f32]) -> Option<Vec<f32>> {
    let columns = usize::try_from(columns).ok().filter(|columns| *columns > 0)?;
    if zero_points.len() != 1 && zero_points.len() != columns {
        return None;
    }
    let mut sums = vec![0.0; columns];
    for row in values.chunks_exact(columns) {
        for (column, value) in row.iter().enumerate() {
            let zero_point = zero_points[if zero_points.len() == 1 { 0 } else { column }];
            sums[column] += value - zero_point;
        }
    }
    Some(sums)
}
