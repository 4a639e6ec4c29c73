//! Whether an int8 graph is the float graph over int8 weights: the same steps with the same settings on the same values,
//! whatever anything is called and whatever the file says of itself.

use super::draft::int;
use super::lookalikes::{Apart, Lookalikes};
use super::settings::{are_comparable, other_attribute};
use super::side::{Giver, Meeting, Side, Single, is_layer, is_same_constant, is_unordered};
use crate::error::shown;
use crate::node::{free_names, operator};
use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use std::collections::{BTreeMap, BTreeSet};

/// What of the float graph is what of the int8 graph, by names.
#[derive(Debug, Default)]
pub(crate) struct Counterparts {
    /// The int8 graph's parameter for each of the float graph's that it has.
    pub(crate) params: BTreeMap<String, String>,
    /// What the int8 graph adds to the outputs of a layer without a bias, by the float graph's weight of that layer.
    pub(crate) shifts: BTreeMap<String, String>,
    /// The scales of the float graph's batch norms that the int8 graph lacks.
    pub(crate) folded: BTreeSet<String>,
}

/// Goes from the outputs of both graphs to their inputs, and finds each step of the float graph in the int8 graph. Where that lacks a
/// batch norm it is taken for one that was folded. Terms of a sum that are made alike are told apart by `apart`; which stands for which is
/// no judgement: whatever is found, every value is then held against its counterpart's.
///
/// # Errors
/// The first difference, as a sentence without an end.
pub(crate) fn counterparts(
    float: (&ModelProto, Single<'_>),
    int8: (&ModelProto, Single<'_>),
    apart: Apart<'_>,
) -> Result<Counterparts, String> {
    let by_weights = walk(float, int8, apart);
    // Where a step behind tells terms apart that a sum does not, their order stands, and what they hold is judged.
    by_weights.or_else(|_| walk(float, int8, &|_, _| 0.0))
}

fn walk(
    float: (&ModelProto, Single<'_>),
    int8: (&ModelProto, Single<'_>),
    apart: Apart<'_>,
) -> Result<Counterparts, String> {
    let ([float, int8], singles) = ([float.0, int8.0], [float.1, int8.1]);
    let (Some(of_float), Some(of_int8)) = (&float.graph, &int8.graph) else {
        return Err("one of the files has no graph".into());
    };
    let versions = [float, int8].map(own_version);
    if !are_comparable(versions) {
        let [was, is] = versions;
        return Err(format!("it uses version {is} of ONNX's operators, and the float model {was}"));
    }
    let ends = [
        (of_float.input.len(), of_int8.input.len()),
        (of_float.output.len(), of_int8.output.len()),
    ];
    if ends.iter().any(|(was, is)| was != is) {
        return Err("it has another number of inputs or outputs than the float model".into());
    }
    let outputs = of_float.output.iter().zip(&of_int8.output);
    let mut walk = Walk {
        sides: [Side::of(of_float, singles[0]), Side::of(of_int8, singles[1])],
        versions,
        lookalikes: Lookalikes::new(apart, versions),
        met: BTreeMap::new(),
        ahead: outputs
            .map(|(was, is)| Pair { was: &was.name, is: &is.name, turned: false })
            .collect(),
        sums: Vec::new(),
        found: Counterparts::default(),
    };
    loop {
        if let Some(pair) = walk.ahead.pop() {
            walk.meet(pair)?;
        } else if let Some(sum) = walk.sums.pop() {
            walk.terms(sum);
        } else {
            break;
        }
    }
    Ok(walk.found)
}

/// The version of ONNX's own operators that a file uses.
pub(super) fn own_version(model: &ModelProto) -> i64 {
    let own = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    own.map_or(1, |set| set.version)
}

/// Values of the float and the int8 graph that must be each other's counterparts.
struct Pair<'m> {
    was: &'m str,
    is: &'m str,
    /// Whether one is a weight in the other order of rows and columns.
    turned: bool,
}

struct Walk<'m> {
    sides: [Side<'m>; 2],
    versions: [i64; 2],
    lookalikes: Lookalikes<'m>,
    /// The int8 graph's value for each of the float graph's that was met.
    met: BTreeMap<&'m str, &'m str>,
    /// Values that must be each other's counterparts, and were not looked at.
    ahead: Vec<Pair<'m>>,
    /// Terms of sums, which are told apart once everything else has said which value is which.
    sums: Vec<[&'m [String]; 2]>,
    found: Counterparts,
}

impl<'m> Walk<'m> {
    /// Makes sure that two values are each other's counterparts, if what gives them reads such.
    fn meet(&mut self, Pair { was, is, turned }: Pair<'m>) -> Result<(), String> {
        let Meeting { values: [(was, giver), (is, other)], folded } =
            Side::meeting(&self.sides, was, is);
        self.found.folded.extend(folded.into_iter().map(str::to_string));
        if let Some(known) = self.met.insert(was, is) {
            return match known == is {
                true => Ok(()),
                false => Err(format!("`{}` stands for two values of it", shown(was))),
            };
        }
        let apart = || {
            let (was, is, from, not) = (shown(was), shown(is), told(other), told(giver));
            Err(format!(
                "`{is}` is not the float model's `{was}`: it comes from {from}, and not from {not}"
            ))
        };
        match (giver, other) {
            (Giver::Nothing, Giver::Nothing) => Ok(()),
            (Giver::Input(i), Giver::Input(j)) if i == j => Ok(()),
            (Giver::Param(a), Giver::Param(b)) if has_sizes(a, b, turned) => {
                self.found.params.insert(was.to_string(), is.to_string());
                Ok(())
            }
            (Giver::Constant(a), Giver::Constant(b)) if is_same_constant(a, b) => Ok(()),
            (Giver::Node(a, i), Giver::Node(b, j)) if i == j && operator(a) == operator(b) => {
                self.nodes([a, b], [was, is])
            }
            _ => apart(),
        }
    }

    fn nodes(&mut self, [a, b]: [&'m NodeProto; 2], [was, is]: [&'m str; 2]) -> Result<(), String> {
        let weights = [a, b].map(|node| node.input.get(1).map(String::as_str));
        let are_params = weights.iter().zip(&self.sides).all(|(weight, side)| {
            weight.is_some_and(|weight| matches!(side.behind(weight).1, Giver::Param(_)))
        });
        // A layer's weight means the same in either order, which the node tells.
        let turns = |name: &str| name == "transB" && are_params;
        if let Some(other) = other_attribute([a, b], self.versions, turns) {
            let op = shown(&operator(b));
            return Err(format!(
                "the {op} that gives `{}` has {other} in the float model",
                shown(is)
            ));
        }
        for (before, now) in graphs(a).zip(graphs(b)) {
            if !is_same_body(before, now, self.versions) {
                return Err(format!("what is inside of `{}` is another graph", shown(is)));
            }
            let mut free = BTreeSet::new();
            free_names(before, &mut free);
            // What a body reads from outside has one name in both, as the bodies are the same.
            let names = free.iter().map(|name| {
                let of = |side: &Side<'m>| {
                    side.givers.get_key_value(name.as_str()).map(|(name, _)| *name)
                };
                let (was, is) = (of(&self.sides[0])?, of(&self.sides[1])?);
                Some(Pair { was, is, turned: false })
            });
            let names: Option<Vec<_>> = names.collect();
            self.ahead.extend(names.ok_or("a graph inside of it reads what nothing gives")?);
        }
        let given = |node: &'m NodeProto| {
            let last = node.input.iter().rposition(|name| !name.is_empty());
            &node.input[..last.map_or(0, |last| last + 1)]
        };
        let (before, now) = (given(a), given(b));
        let has_shift = before.len() == 2 && now.len() == 3 && is_layer(a);
        if before.len() != now.len() && !has_shift {
            return Err(format!(
                "what gives `{}` reads another number of values than what gives the float model's `{}`",
                shown(is),
                shown(was)
            ));
        }
        if has_shift {
            let ([_, weight], [.., shift]) = (before, now) else { return Ok(()) };
            let (weight, shift) = (self.sides[0].behind(weight).0, self.sides[1].behind(shift).0);
            let shift = shift.to_string();
            // A weight that two layers read has one shift in both.
            if self
                .found
                .shifts
                .insert(weight.to_string(), shift.clone())
                .is_some_and(|other| other != shift)
            {
                return Err(format!("the layers of `{}` add different values", shown(weight)));
            }
        }
        let has_turned = int(a, "transB").unwrap_or(0) != int(b, "transB").unwrap_or(0);
        if is_unordered(a) && before.len() > 1 {
            self.sums.push([before, now]);
            return Ok(());
        }
        self.ahead.extend(before.iter().zip(now).enumerate().map(|(place, (was, is))| Pair {
            was,
            is,
            turned: has_turned && place == 1,
        }));
        Ok(())
    }

    /// Goes on with the terms of a sum, each with its counterpart.
    fn terms(&mut self, [before, now]: [&'m [String]; 2]) {
        let ordered = self.lookalikes.in_the_order_of(&self.sides, &self.met, [before, now]);
        let now = ordered.unwrap_or_else(|| now.iter().map(String::as_str).collect());
        let pairs = before.iter().zip(now).map(|(was, is)| Pair { was, is, turned: false });
        self.ahead.extend(pairs);
    }
}

/// What gives a value, in words.
fn told(giver: Giver<'_>) -> String {
    match giver {
        Giver::Nothing => "nowhere".to_string(),
        Giver::Input(i) => format!("input {i}"),
        Giver::Param(tensor) => format!("a parameter of sizes {:?}", tensor.dims),
        Giver::Constant(_) => "a constant of its own".to_string(),
        Giver::Node(node, _) => shown(&operator(node)),
    }
}

/// Whether two parameters are of the same sizes, in the other order if one is turned.
fn has_sizes(a: &TensorProto, b: &TensorProto, turned: bool) -> bool {
    match turned {
        true => a.dims.iter().eq(b.dims.iter().rev()),
        false => a.dims == b.dims,
    }
}

fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().filter_map(|attribute| attribute.g.as_ref())
}

/// Whether two graphs within nodes have the same nodes under the same names of values.
fn is_same_body(a: &GraphProto, b: &GraphProto, versions: [i64; 2]) -> bool {
    let names = |graph: &GraphProto| {
        let ends = graph.input.iter().chain(&graph.output).map(|one| one.name.clone());
        ends.collect::<Vec<_>>()
    };
    let is_same = |(a, b): (&NodeProto, &NodeProto)| {
        operator(a) == operator(b)
            && (&a.input, &a.output) == (&b.input, &b.output)
            && other_attribute([a, b], versions, |_| false).is_none()
            && graphs(a).count() == graphs(b).count()
            && graphs(a).zip(graphs(b)).all(|(a, b)| is_same_body(a, b, versions))
    };
    names(a) == names(b)
        && a.initializer == b.initializer
        && a.node.len() == b.node.len()
        && a.node.iter().zip(&b.node).all(is_same)
}
