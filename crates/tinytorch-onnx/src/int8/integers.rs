//! Products of integers over a range that is found as the values come.
//!
//! `DynamicQuantizeLinear` gives unsigned levels and their zero point; `MatMulInteger` and `ConvInteger` multiply
//! them by a constant. Levels counted from 128 are levels over a fixed range, so the product runs as any other; what
//! the zero point differs from 128 by meets the sum of the weights at each result. That of a matrix is known; that of a
//! kernel is less at an image's border, where it is a convolution of ones.

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
            "MatMulInteger" => self.product(draft, node, Form::Matrix, files),
            "ConvInteger" => self.product(draft, node, Form::Convolution, files),
            _ => Ok(None),
        }
    }

    /// Integers that are wanted as floats are there as such.
    fn cast(&self, node: &NodeProto) -> Option<Vec<NodeProto>> {
        let wants_floats = int(node, "to") == Some(i64::from(element::F32));
        let floats = self.floats.get(node.input.first()?).filter(|_| wants_floats)?;
        Some(vec![plain("Identity", vec![floats.clone()], node.output.first()?)])
    }

    /// A product of levels by a constant, as floats: that of levels counted from the middle, and what the zero point
    /// differs from it by times the sums of the weights that each result meets.
    fn product(
        &mut self,
        draft: &mut Draft,
        node: &NodeProto,
        form: Form,
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
        let zero_points = match given(3).map(|zero| draft.constant(zero)) {
            None => vec![0.0],
            Some(Some(zero_points)) => tensor::numbers(zero_points, files)?,
            Some(None) => return Ok(None),
        };
        let dims = weight.dims.clone();
        let values = tensor::numbers(weight, files)?;
        let Some((sums_dims, sums)) = form.sums(&values, &dims, &zero_points) else {
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
        let sums = draft.add_floats(format!("{name}_sums"), &sums_dims, &sums);
        let [centered, weights, product, zero, moved, correction, floats] =
            ["centered", "weights", "product", "zero", "moved", "correction", "floats"]
                .map(|what| draft.fresh(format!("{output}_{what}")));
        let with_zero_points = [name.clone(), one.clone()].into_iter().chain(given(3).cloned());
        let mut nodes = vec![
            dequantize(vec![levels.clone(), one.clone(), middle], &centered, None),
            dequantize(with_zero_points.collect(), &weights, Some(form.axis())),
            form.node(node, [centered.clone(), weights], &product),
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
        let met = match form {
            Form::Matrix => sums,
            Form::Convolution => {
                let plane = ones(draft, &centered, &one, &mut nodes);
                let met = draft.fresh(format!("{output}_met"));
                nodes.push(without_groups(form.node(node, [plane, sums], &met)));
                met
            }
        };
        let to = vec![integer("to", i64::from(element::I32))];
        nodes.extend([
            plain("Sub", vec![zero, from], &moved),
            plain("Mul", vec![moved, met], &correction),
            plain("Sub", vec![product, correction], &floats),
            NodeProto { attribute: to, ..plain("Cast", vec![floats.clone()], output) },
        ]);
        self.floats.insert(output.clone(), floats);
        Ok(Some(nodes))
    }
}

/// What multiplies.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// A matrix `[in, out]`.
    Matrix,
    /// A kernel `[out, in of a group, ..]`.
    Convolution,
}

impl Form {
    /// The axis of the results in the weight.
    fn axis(self) -> i64 {
        match self {
            Form::Matrix => 1,
            Form::Convolution => 0,
        }
    }

    fn node(self, node: &NodeProto, inputs: [String; 2], output: &str) -> NodeProto {
        match self {
            Form::Matrix => plain("MatMul", inputs.to_vec(), output),
            Form::Convolution => NodeProto {
                attribute: node.attribute.clone(),
                ..plain("Conv", inputs.to_vec(), output)
            },
        }
    }

    /// Weights less their zero points, one for all or one for each result, summed over what is added up at every
    /// place: the rows of a matrix, the channels of a kernel. With the dimensions that are left.
    fn sums(
        self,
        values: &[f32],
        dims: &[i64],
        zero_points: &[f32],
    ) -> Option<(Vec<i64>, Vec<f32>)> {
        let size = |dim: &i64| usize::try_from(*dim).ok().filter(|size| *size > 0);
        let sizes = dims.iter().map(size).collect::<Option<Vec<usize>>>()?;
        let (results, added, places, left) = match (self, &sizes[..]) {
            (Form::Matrix, &[rows, columns]) => (columns, rows, 1, vec![dims[1]]),
            (Form::Convolution, &[out, within, ref kernel @ ..]) => {
                let left = [&[dims[0], 1], &dims[2..]].concat();
                (out, within, kernel.iter().product(), left)
            }
            _ => return None,
        };
        let zero_points = match zero_points {
            [one] => vec![*one; results],
            _ if zero_points.len() == results => zero_points.to_vec(),
            _ => return None,
        };
        let at = |result: usize, term: usize, place: usize| match self {
            Form::Matrix => term * results + result,
            Form::Convolution => (result * added + term) * places + place,
        };
        let mut sums = Vec::with_capacity(results * places);
        for (result, zero_point) in zero_points.iter().enumerate() {
            for place in 0..places {
                let terms = (0..added).map(|term| values[at(result, term, place)] - zero_point);
                sums.push(terms.sum());
            }
        }
        Some((left, sums))
    }
}

/// An image of one channel, as large as those of a value, all ones. Gives its name.
fn ones(draft: &mut Draft, like: &str, one: &str, nodes: &mut Vec<NodeProto>) -> String {
    let mut list = |what: &str, values: [i64; 2]| {
        let name = draft.fresh(format!("{like}_{what}"));
        draft.add(TensorProto {
            name: name.clone(),
            dims: vec![2],
            data_type: element::I64,
            int64_data: values.to_vec(),
            ..TensorProto::default()
        });
        name
    };
    let [starts, ends, axes] =
        [("starts", [0, 0]), ("ends", [1, 1]), ("axes", [0, 1])].map(|(what, v)| list(what, v));
    let none = draft.add_floats(format!("{like}_none"), &[], &[0.0]);
    let [first, zeros, ones] =
        ["first", "zeros", "ones"].map(|what| draft.fresh(format!("{like}_{what}")));
    nodes.extend([
        plain("Slice", vec![like.to_string(), starts, ends, axes], &first),
        plain("Mul", vec![first, none], &zeros),
        plain("Add", vec![zeros, one.to_string()], &ones),
    ]);
    ones
}

/// A convolution of one channel, which every result sees.
fn without_groups(mut node: NodeProto) -> NodeProto {
    node.attribute.retain(|attribute| attribute.name != "group");
    node
}
