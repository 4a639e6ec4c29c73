//! The levels that a layer reads.

use super::draft::{DEQUANTIZE, Draft, QUANTIZE, is_own};
use crate::error::OnnxError;
use crate::file::Files;
use crate::tensor::{self, element};
use std::collections::BTreeMap;
use tinytorch_core::int8::QParams;

/// Operators that give values of their first input, whatever these stand for.
pub(super) const REARRANGING: [&str; 7] =
    ["Flatten", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];

/// An input of a node: the node's place, and which of its inputs.
pub(super) type Reader = (usize, usize);

/// The levels that an input of a node consists of.
pub(super) struct Levels {
    pub(super) params: QParams,
    /// An input that may read this value, which is not rounded yet, instead.
    pub(super) before: Option<(Reader, String)>,
}

/// Who gives and who reads the values of a graph.
pub(super) struct Search<'d> {
    pub(super) draft: &'d Draft,
    givers: BTreeMap<&'d str, usize>,
    readers: BTreeMap<&'d str, Vec<Reader>>,
}

impl<'d> Search<'d> {
    pub(super) fn new(draft: &'d Draft) -> Search<'d> {
        let mut search = Search { draft, givers: BTreeMap::new(), readers: BTreeMap::new() };
        for (at, node) in draft.nodes.iter().enumerate() {
            search.givers.extend(node.output.iter().map(|name| (name.as_str(), at)));
            for (i, name) in node.input.iter().enumerate() {
                search.readers.entry(name).or_default().push((at, i));
            }
        }
        search
    }

    /// The place of the node that gives a value.
    pub(super) fn giver(&self, name: &str) -> Option<usize> {
        self.givers.get(name).copied()
    }

    /// Who reads a value.
    pub(super) fn readers(&self, name: &str) -> &[Reader] {
        self.readers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Who reads a value, be it under another name; nobody, if it must stay.
    pub(super) fn readers_behind_identities(&self, name: &str) -> Vec<Reader> {
        let (mut found, mut names) = (Vec::new(), vec![name]);
        while let Some(name) = names.pop() {
            if self.draft.is_kept(name) {
                return Vec::new();
            }
            for &(at, input) in self.readers(name) {
                let node = &self.draft.nodes[at];
                match (node.op_type.as_str(), &node.output[..]) {
                    ("Identity", [same]) if is_own(node) => names.push(same),
                    _ => found.push((at, input)),
                }
            }
        }
        found
    }

    /// The levels that a node's input consists of, if it does.
    pub(super) fn levels(
        &self,
        reader: Reader,
        files: &mut Files,
    ) -> Result<Option<Levels>, OnnxError> {
        let (mut at, mut input) = reader;
        let mut is_alone = true;
        loop {
            let name = &self.draft.nodes[at].input[input];
            let Some(giver) = self.giver(name) else { return Ok(None) };
            let node = &self.draft.nodes[giver];
            let first = match &node.input[..] {
                [first, ..] if is_own(node) => first,
                _ => return Ok(None),
            };
            if node.op_type == DEQUANTIZE {
                let Some(params) = params(self.draft, giver, files)? else { return Ok(None) };
                let source = self.source(first, params, files)?;
                let before = source.filter(|_| is_alone).map(|name| ((at, input), name));
                return Ok(Some(Levels { params, before }));
            }
            if !REARRANGING.contains(&node.op_type.as_str()) {
                return Ok(None);
            }
            is_alone &= self.readers(name).len() == 1 && !self.draft.is_kept(name);
            (at, input) = (giver, 0);
        }
    }

    /// The value that was rounded to these levels, if they were found here.
    fn source(
        &self,
        levels: &str,
        params: QParams,
        files: &mut Files,
    ) -> Result<Option<String>, OnnxError> {
        let Some(giver) = self.giver(levels) else { return Ok(None) };
        let node = &self.draft.nodes[giver];
        let is_same = node.op_type == QUANTIZE
            && is_own(node)
            && self::params(self.draft, giver, files)? == Some(params);
        Ok(node.input.first().filter(|_| is_same).cloned())
    }
}

/// How a `QuantizeLinear` or `DequantizeLinear` rounds, if it is to 8 bits over one range: signed levels are
/// counted from -128.
pub(super) fn params(
    draft: &Draft,
    at: usize,
    files: &mut Files,
) -> Result<Option<QParams>, OnnxError> {
    let node = &draft.nodes[at];
    let given = |i: usize| node.input.get(i).and_then(|name| draft.constant(name));
    let (Some(scale), Some(zero_point)) = (given(1), given(2)) else { return Ok(None) };
    let scale = tensor::numbers(scale, files)?;
    let offset = match zero_point.data_type {
        element::U8 => 0.0,
        element::I8 => 128.0,
        _ => return Ok(None),
    };
    let zero_point = tensor::numbers(zero_point, files)?;
    let ([scale], [zero_point]) = (&scale[..], &zero_point[..]) else { return Ok(None) };
    // An 8-bit number and the offset make an 8-bit number.
    let params = QParams { scale: *scale, zero_point: (zero_point + offset) as u8 };
    Ok(is_scale(*scale).then_some(params))
}

/// Whether numbers can be divided by it.
pub(super) fn is_scale(scale: f32) -> bool {
    scale > 0.0 && scale.is_finite() && scale.recip().is_finite()
}
