//! Which layers feed which, whatever lies between them.

use super::Subject;
use crate::Result;
use crate::autograd::{ParamId, Var};
use crate::models::ListModel;
use crate::quant::{is_weight, lowered};
use std::collections::{BTreeMap, BTreeSet};

/// The layers whose results each layer of the float model reads, by the names of their weights. What is used more than once is one
/// layer.
///
/// # Errors
/// If the model does not run on the samples.
pub(super) fn of(subject: &Subject) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let batch = subject.held_out.first(subject.held_out.fixed().unwrap_or(1))?;
    let batch: Vec<Var> = batch.iter().map(Var::from).collect();
    let mut wiring: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let Some(graph) = lowered(&*subject.float as &dyn ListModel, &batch)? else {
        return Ok(wiring);
    };
    let weights: BTreeMap<ParamId, String> = subject
        .float
        .named_params()
        .into_iter()
        .filter(|(_, param)| is_weight(param))
        .map(|(name, param)| (param.id(), name))
        .collect();
    // Of each node, the layers whose results reach it.
    let mut reaching: Vec<BTreeSet<&str>> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let read = node.edges().filter_map(|edge| reaching.get(edge.node()));
        let read: BTreeSet<&str> = read.flatten().copied().collect();
        match node.params.iter().find_map(|param| weights.get(param)) {
            Some(name) => {
                let others = read.into_iter().filter(|other| *other != name).map(str::to_string);
                wiring.entry(name.clone()).or_default().extend(others);
                reaching.push([name.as_str()].into());
            }
            None => reaching.push(read),
        }
    }
    Ok(wiring)
}
