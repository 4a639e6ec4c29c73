//! A float graph over the values of its int8 form.

use super::counterparts::Counterparts;
use crate::apply::Held;
use crate::error::shown;
use crate::program::Program;
use std::collections::{BTreeMap, BTreeSet};
use tinytorch_core::autograd::{Param, Stored};
use tinytorch_core::int8::{Int8Weight, QWeight};

/// Gives parameters of a float graph the values of their counterparts in the graph `from`, and tells batch norms that it lacks that they
/// are folded.
///
/// # Errors
/// What does not fit, as a sentence without an end.
pub(crate) fn take_values(
    to: &mut Program,
    from: &Program,
    found: &Counterparts,
) -> Result<(), String> {
    let theirs: BTreeMap<&str, &Held> =
        from.params.iter().map(|(name, held)| (name.as_str(), held)).collect();
    let of = |name: &String| {
        let held = theirs.get(name.as_str()).copied();
        held.ok_or_else(|| format!("`{}` is no parameter of it", shown(name)))
    };
    let from_folded =
        from.norms.iter().filter(|(_, folded)| *folded).map(|(name, _)| name.as_str());
    let (from_folded, mut folded): (BTreeSet<&str>, _) = (from_folded.collect(), 0);
    for (name, held) in &mut to.params {
        let wrong = |problem: String| format!("`{}`: {problem}", shown(name));
        if let Some(other) = found.params.get(name) {
            let (own, other): (&mut Param, &Param) = match (held, of(other)?) {
                (Held::Weight(own), Held::Weight(other)) => (own, other),
                (Held::Param(own), Held::Param(other)) => (own, other),
                _ => return Err(wrong("it is used in another way".into())),
            };
            if own.shape() != other.shape() {
                return Err(wrong(format!("it is {}, not {}", other.shape(), own.shape())));
            }
            let stored = other.stored().clone();
            own.store(match found.shifts.get(name) {
                Some(shift) => with_shift(stored, of(shift)?).map_err(wrong)?,
                None => stored,
            });
        }
        let is_lacking = found.folded.contains(name);
        let says_folded =
            found.params.get(name).is_some_and(|name| from_folded.contains(norm_of(name)));
        if (is_lacking || says_folded)
            && let Some(norm) = to.norms.iter_mut().find(|norm| norm.0 == norm_of(name))
        {
            norm.1 = true;
            folded += usize::from(is_lacking);
        }
    }
    match folded == found.folded.len() {
        true => Ok(()),
        false => Err("it lacks a batch norm that no layer can do".into()),
    }
}

/// What the batch norm is called whose scale has this name.
fn norm_of(scale: &str) -> &str {
    scale.strip_suffix(".weight").unwrap_or(scale)
}

/// An int8 weight that adds to its output channels what another graph adds as a bias.
fn with_shift(stored: Stored, shift: &Held) -> Result<Stored, String> {
    let none = || "what is added to its outputs is no shift of an int8 weight".to_string();
    let (Stored::Int8(weight), Held::Param(shift)) = (&stored, shift) else { return Err(none()) };
    if weight.shift().is_some() {
        return Err(none());
    }
    let shift =
        shift.value().and_then(|shift| shift.to_vec()).map_err(|error| error.to_string())?;
    let values = QWeight::clone(weight).with_shift(shift.into()).map_err(|e| e.to_string())?;
    Ok(Stored::Int8(Int8Weight::new(values, weight.input())))
}
