//! From a file's messages to a program with its int8 weights, and a frame.

use super::builder::{Builder, Built, Elsewhere};
use crate::apply::Held;
use crate::error::{OnnxError, shown};
use crate::file::Files;
use crate::int8::{self, FileWeight, Lowered};
use crate::memory::Memory;
use crate::program::{Program, Step};
use crate::proto::{GraphProto, ModelProto};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The newest version of ONNX's own operators that is known.
const NEWEST: i64 = 28;

/// Whether the parameters of a graph have values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// All of them.
    Present,
    /// Floats without data are parameters whose values are loaded from elsewhere.
    Elsewhere,
}

/// Reads a model.
pub(crate) fn build(
    proto: &ModelProto,
    mut files: Files,
    values: Values,
) -> Result<Built, OnnxError> {
    let format =
        |problem: &str| OnnxError::Format { file: "the file".into(), problem: problem.into() };
    let graph = proto.graph.as_ref().ok_or_else(|| format("it has no graph"))?;
    let mut opsets = BTreeMap::new();
    for set in &proto.opset_import {
        let domain = if set.domain == "ai.onnx" { "" } else { &set.domain };
        opsets.insert(domain.to_string(), set.version);
    }
    if opsets.is_empty() {
        // Files of the format's first versions name none, and mean the first.
        opsets.insert(String::new(), 1);
    }
    if let Some(version) = opsets.get("").filter(|version| **version > NEWEST) {
        tracing::warn!("the model uses operators of version {version}; up to {NEWEST} are known");
    }
    let reader = Reader { opsets: &opsets, values, graph };
    let memory = Memory::of(proto);
    let mut built = match reader.read(&mut files, memory)? {
        Some(built) => built,
        None => reader.read(&mut files, Memory::default())?.unwrap_or_default(),
    };
    built.frame.opset_import.clone_from(&proto.opset_import);
    Ok(built)
}

/// Reads a graph.
struct Reader<'r> {
    opsets: &'r BTreeMap<String, i64>,
    values: Values,
    graph: &'r GraphProto,
}

impl Reader<'_> {
    /// The graph as a model remembers it; `None` if that would compute something else than the graph says.
    fn read(&self, files: &mut Files, memory: Memory) -> Result<Option<Built>, OnnxError> {
        let lowered = match self.values {
            Values::Present => int8::lower(self.graph, files)?,
            Values::Elsewhere => None,
        };
        let (mut graph, weights, floats) = match lowered {
            None => (Cow::Borrowed(self.graph), BTreeMap::new(), Vec::new()),
            Some(Lowered { graph, weights, floats }) => (Cow::Owned(graph), weights, floats),
        };
        let norms = match memory.is_empty() {
            true => Vec::new(),
            false => memory.restore(graph.to_mut()),
        };
        let elsewhere = match self.values {
            Values::Present => Elsewhere::Some(weights.keys().cloned().collect()),
            Values::Elsewhere => Elsewhere::All,
        };
        let built = Builder::built(self.opsets, files, elsewhere, &graph)?;
        let mut built = Built { floats, ..built };
        load(&mut built.program, weights, files)?;
        Ok(fold(&mut built.program, &graph, &norms).then_some(built))
    }
}

/// Tells the batch norms that give these values that they are folded; `false` if one of them cannot be.
fn fold(program: &mut Program, graph: &GraphProto, outputs: &[String]) -> bool {
    let is_folded = |step: &&Step| graph.node[step.at].output.iter().any(|o| outputs.contains(o));
    let norms: BTreeSet<usize> =
        program.steps.iter().filter(is_folded).filter_map(|step| step.norm).collect();
    norms.iter().for_each(|&norm| program.norms[norm].1 = true);
    norms.len() == outputs.len()
}

/// Gives int8 weights to the parameters of these names.
fn load(
    program: &mut Program,
    mut weights: BTreeMap<String, FileWeight>,
    files: &mut Files,
) -> Result<(), OnnxError> {
    for (name, held) in &mut program.params {
        let Some(values) = weights.remove(name) else { continue };
        let problem = |problem: String| OnnxError::Tensor { tensor: shown(name), problem };
        let Held::Weight(weight) = held else {
            return Err(problem("it is no weight of a layer".into()));
        };
        let stored = values.stored(weight.shape(), files);
        weight.store(stored.map_err(|error| problem(error.to_string()))?);
    }
    Ok(())
}
