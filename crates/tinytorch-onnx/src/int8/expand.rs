//! Operators of integers as what they mean: floats between `DequantizeLinear` and `QuantizeLinear`.

use super::draft::{DEQUANTIZE, Draft, QUANTIZE, dequantize, int, is_own, plain};
use super::integers::Integers;
use super::levels::REARRANGING;
use crate::error::OnnxError;
use crate::file::Files;
use crate::proto::{AttributeProto, NodeProto, TensorProto};
use crate::tensor::{self, element};
use std::collections::BTreeMap;

/// Operators of one input that round what an operator of floats gives.
const OF_ONE: [(&str, &str); 6] = [
    ("QLinearAveragePool", "AveragePool"),
    ("QLinearGlobalAveragePool", "GlobalAveragePool"),
    ("QLinearLeakyRelu", "LeakyRelu"),
    ("QLinearReduceMean", "ReduceMean"),
    ("QLinearSigmoid", "Sigmoid"),
    ("QLinearSoftmax", "Softmax"),
];

/// Those of two.
const OF_TWO: [(&str, &str); 2] = [("QLinearAdd", "Add"), ("QLinearMul", "Mul")];

/// How levels are read: the names of their scale and of their zero point.
type Steps = [String; 2];

/// Replaces every operator of integers that is known, and moves what rearranges levels to their floats.
pub(super) fn expand(draft: &mut Draft, files: &mut Files) -> Result<(), OnnxError> {
    let nodes = std::mem::take(&mut draft.nodes);
    let mut writer = Writer { draft, steps: BTreeMap::new() };
    let mut integers = Integers::default();
    for node in nodes {
        if let Some(nodes) = integers.expand(writer.draft, &node, files)? {
            nodes.into_iter().for_each(|node| writer.keep(node));
        } else if !writer.node(&node, files)? {
            writer.keep(node);
        }
    }
    Ok(())
}

struct Writer<'d> {
    draft: &'d mut Draft,
    /// How the levels that were met so far are read.
    steps: BTreeMap<String, Steps>,
}

impl Writer<'_> {
    /// Writes a node as it is.
    fn keep(&mut self, node: NodeProto) {
        if let (QUANTIZE, [_, scale, zero_point], [levels]) =
            (node.op_type.as_str(), &node.input[..], &node.output[..])
        {
            self.steps.insert(levels.clone(), [scale.clone(), zero_point.clone()]);
        }
        self.draft.nodes.push(node);
    }

    /// Writes a node as floats, if it is one of integers.
    fn node(&mut self, node: &NodeProto, files: &mut Files) -> Result<bool, OnnxError> {
        if int(node, "channels_last").is_some_and(|last| last != 0) {
            return Ok(false);
        }
        let op = node.op_type.as_str();
        let named = |table: &[(&str, &'static str)]| {
            table.iter().find(|(name, _)| *name == op).map(|(_, float)| *float)
        };
        if let Some(float) = named(&OF_ONE) {
            return Ok(self.rounded(node, float, &[0], 3));
        }
        if let Some(float) = named(&OF_TWO) {
            return Ok(self.rounded(node, float, &[0, 3], 6));
        }
        match op {
            "QLinearConcat" => Ok(self.concat(node)),
            "QLinearConv" => self.layer(node, "Conv", 6, 8, files),
            "QLinearMatMul" => self.layer(node, "MatMul", 6, 8, files),
            "QGemm" => self.layer(node, "Gemm", 7, 6, files),
            _ => Ok(self.rearranged(node)),
        }
    }

    /// The floats behind levels, scale and zero point, which are inputs from `first` on.
    fn floats(&mut self, node: &NodeProto, first: usize, axis: Option<i64>) -> String {
        let input = node.input[first..first + 3].to_vec();
        let output = self.draft.fresh(format!("{}_floats", input[0]));
        self.keep(dequantize(input, &output, axis));
        output
    }

    /// An operator of floats whose result is rounded, by a scale and a zero point from the input `last` on, if
    /// these are there.
    fn result(&mut self, node: &NodeProto, op: &str, input: Vec<String>, last: usize) {
        let steps = node.input.get(last..last + 2).filter(|steps| !steps[0].is_empty());
        let output = match steps {
            Some(_) => self.draft.fresh(format!("{}_floats", node.output[0])),
            None => node.output[0].clone(),
        };
        let known = |attribute: &&AttributeProto| {
            !["channels_last", "opset"].contains(&attribute.name.as_str())
        };
        let attribute = node.attribute.iter().filter(known).cloned().collect();
        let name = node.name.clone();
        self.keep(NodeProto { attribute, name, ..plain(op, input, &output) });
        if let Some([scale, zero_point]) = steps {
            let input = vec![output, scale.clone(), zero_point.clone()];
            self.keep(plain(QUANTIZE, input, &node.output[0]));
        }
    }

    /// An operator whose levels are the inputs at these places.
    fn rounded(&mut self, node: &NodeProto, op: &str, levels: &[usize], last: usize) -> bool {
        if node.input.len() < last + 2 || node.output.len() != 1 {
            return false;
        }
        let input = levels.iter().map(|&first| self.floats(node, first, None)).collect();
        self.result(node, op, input, last);
        true
    }

    fn concat(&mut self, node: &NodeProto) -> bool {
        let Some(parts) = node.input.len().checked_sub(2) else { return false };
        if parts % 3 != 0 || node.output.len() != 1 {
            return false;
        }
        let input = (2..2 + parts).step_by(3).map(|first| self.floats(node, first, None));
        let input = input.collect();
        self.result(node, "Concat", input, 0);
        true
    }

    /// A layer of levels and a weight, with a bias among its inputs that is a multiple of the products' steps.
    fn layer(
        &mut self,
        node: &NodeProto,
        op: &str,
        last: usize,
        bias: usize,
        files: &mut Files,
    ) -> Result<bool, OnnxError> {
        if node.input.len() < 6 || node.output.len() != 1 {
            return Ok(false);
        }
        let bias = node.input.get(bias).filter(|name| !name.is_empty());
        let steps = match bias {
            Some(bias) => match self.products(node, bias, files)? {
                Some(steps) => Some((bias.clone(), steps)),
                None => return Ok(false),
            },
            None => None,
        };
        let channels = match op {
            "Conv" => 0,
            "Gemm" => 1 - int(node, "transB").unwrap_or(0),
            _ => -1,
        };
        let mut input = vec![self.floats(node, 0, None), self.floats(node, 3, Some(channels))];
        if let Some((bias, steps)) = steps {
            let output = self.draft.fresh(format!("{bias}_floats"));
            self.keep(dequantize(vec![bias, steps], &output, Some(0)));
            input.push(output);
        }
        self.result(node, op, input, last);
        Ok(true)
    }

    /// The steps of a layer's products as a constant, for a bias of this name.
    fn products(
        &mut self,
        node: &NodeProto,
        bias: &str,
        files: &mut Files,
    ) -> Result<Option<String>, OnnxError> {
        let constant = |i: usize| self.draft.constant(&node.input[i]).cloned();
        let (Some(input), Some(weight)) = (constant(1), constant(4)) else { return Ok(None) };
        let alpha = node.attribute.iter().find(|attribute| attribute.name == "alpha");
        let alpha = alpha.map_or(1.0, |alpha| alpha.f);
        let (input, weight) = (tensor::numbers(&input, files)?, tensor::numbers(&weight, files)?);
        let [input] = input[..] else { return Ok(None) };
        let steps = weight.iter().flat_map(|scale| (alpha * input * scale).to_le_bytes());
        let name = self.draft.fresh(format!("{bias}_steps"));
        self.draft.add(TensorProto {
            name: name.clone(),
            dims: if weight.len() == 1 { Vec::new() } else { vec![weight.len() as i64] },
            data_type: element::F32,
            raw_data: steps.collect::<Vec<u8>>().into(),
            ..TensorProto::default()
        });
        Ok(Some(name))
    }

    /// An operator that rearranges levels does so with the floats that these stand for.
    fn rearranged(&mut self, node: &NodeProto) -> bool {
        let steps = node.input.first().and_then(|levels| self.steps.get(levels));
        let is_known = REARRANGING.contains(&node.op_type.as_str()) && is_own(node);
        let Some(steps) = steps.filter(|_| is_known && node.output.len() == 1).cloned() else {
            return false;
        };
        let floats = self.draft.fresh(format!("{}_floats", node.input[0]));
        let result = self.draft.fresh(format!("{}_floats", node.output[0]));
        let with_steps = |value: &String| [std::slice::from_ref(value), &steps[..]].concat();
        self.keep(plain(DEQUANTIZE, with_steps(&node.input[0]), &floats));
        let input = [&[floats], &node.input[1..]].concat();
        self.keep(NodeProto { input, output: vec![result.clone()], ..node.clone() });
        self.keep(plain(QUANTIZE, with_steps(&result), &node.output[0]));
        true
    }
}
