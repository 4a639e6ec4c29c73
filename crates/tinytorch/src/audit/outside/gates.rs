//! The gates that ask of a black box what others ask of a model that can be looked into.

use super::Outside;
use super::model::Parameters;
use crate::Result;
use crate::audit::compare::all_same_bits;
use crate::audit::{Evidence, Gate, Outcome, Subject, compare, passes};

/// Bytes of float models from which the pages of a process show them.
const HEAVY: u64 = 64 << 20;

/// Copies of a model that are loaded at most: engines start threads for each.
const COPIES: u64 = 32;

/// How many times smaller a file of int8 weights must be. A quarter of the floats are its values; the third leaves a
/// twelfth of the float file to what is no weight, of which nothing is known.
const FILE: f64 = 3.0;

/// Bytes of a float file below which what is no weight may take most of it.
const SMALL: u64 = 64 << 10;

/// The share of what the files allow that a process must show.
const SHARE: f64 = 0.8;

/// What is asked of the inside of a model, and which of its parts it asks about.
pub(super) const INSIDE: [(&str, &str); 7] = [
    ("structure", "the parameters"),
    ("coverage", "the layers"),
    ("weight_bytes", "the weights"),
    ("no_f32_copy", "the heap of the engine"),
    ("round_trip", "the file's form"),
    ("overflow", "the sums of the layers"),
    ("calibration", "the ranges"),
];

/// A gate that asks of the inside.
pub(super) fn of_the_inside(id: &'static str, part: &str) -> Gate {
    let reason = format!("only the answers of this model are known, not {part}");
    Gate::not_applicable(id, reason)
}

/// The int8 model gives the same bits again.
pub(super) fn determinism(subject: &Subject, evidence: &Evidence, int8: &Outside) -> Result<Gate> {
    let held_out = &subject.held_out;
    let again = passes::in_batches(held_out, held_out.len(), |batch| int8.answer(batch))?;
    let faults = match all_same_bits(&again, &evidence.int8)? {
        true => Vec::new(),
        false => vec!["the same inputs give other bits the second time".to_string()],
    };
    let checked = "the same inputs give the same bits twice; whether other numbers of threads or instruction sets do is the engine's".to_string();
    Ok(Gate::no_faults("determinism", &faults, "faults", checked))
}

/// An engine stays as near to what the integers of its file give as these are to the float model, or within a
/// hundredth: it may keep more than 8 bits between layers, but not fewer.
pub(super) fn exactness(subject: &Subject, evidence: &Evidence, int8: &Outside) -> Result<Gate> {
    const ID: &str = "exactness";
    const NEAR: f64 = 0.01;
    let Some((exact, risk)) = int8.exact() else {
        let reason = "nothing else tells what this model should give".to_string();
        return Ok(Gate::not_applicable(ID, reason));
    };
    let held_out = &subject.held_out;
    let exact = passes::in_batches(held_out, held_out.len(), |batch| exact.answer(batch))?;
    let apart = compare::worst(&compare::errors(&evidence.int8, &exact)?).1;
    let own = compare::worst(&compare::errors(&exact, &evidence.float)?).1;
    let reason = format!(
        "from what the integers of its file give, which lie {:.2} % from the float model; {risk}",
        100.0 * own
    );
    let gate = Gate::at_most(ID, 100.0 * apart, 100.0 * own.max(NEAR), "%", reason);
    let Some(why) = int8.diagnosis().filter(|_| gate.result == Outcome::Fail) else {
        return Ok(gate);
    };
    let why = why()?.unwrap_or_else(|| "it is none of the faults that are known".to_string());
    Ok(Gate { reason: format!("{why}; {}", gate.reason), ..gate })
}

/// The weights and ranges that a file names are those of the float model.
pub(super) fn parameters(int8: &Outside) -> Gate {
    const ID: &str = "parameters";
    match int8.parameters() {
        None => of_the_inside(ID, "the weights and ranges"),
        Some(Parameters { faults, checked }) => {
            Gate::no_faults(ID, faults, "faults", checked.clone())
        }
    }
}

/// The file takes a third of the disk or less.
pub(super) fn file_bytes(float: &Outside, int8: &Outside) -> Gate {
    const ID: &str = "file_bytes";
    let Some((float, int8)) = sizes(float, int8) else {
        return Gate::not_applicable(ID, "the models are not known as files".to_string());
    };
    let reason = format!("{float} bytes in float, {int8} in int8");
    if float < SMALL {
        let why = "in files so small most may be no weight";
        return Gate::not_applicable(ID, format!("{why}; {reason}"));
    }
    Gate::at_least(ID, float as f64 / int8.max(1) as f64, FILE, "x smaller", reason)
}

/// A process that holds the int8 model is smaller, as far as its file is.
pub(super) fn process_memory(float: &Outside, int8: &Outside) -> Result<Gate> {
    const ID: &str = "process_memory";
    let (Some(of_float), Some(of_int8)) = (float.measure(), int8.measure()) else {
        let reason = "no fresh process can be asked to hold these models".to_string();
        return Ok(Gate::not_applicable(ID, reason));
    };
    let Some((float_file, int8_file)) = sizes(float, int8) else {
        return Ok(Gate::not_applicable(ID, "the models are not known as files".to_string()));
    };
    let copies = HEAVY.div_ceil(float_file.max(1));
    if copies > COPIES {
        let reason = format!(
            "{float_file} bytes of a model do not show in an engine's process, {} do",
            HEAVY / COPIES
        );
        return Ok(Gate::not_applicable(ID, reason));
    }
    let copies = copies as usize;
    let (float, int8) = match (of_float(copies), of_int8(copies)) {
        (Ok(float), Ok(int8)) => (float, int8),
        (Err(error), _) | (_, Err(error)) => return Ok(Gate::unknown(ID, error.to_string())),
    };
    let possible = float_file as f64 / int8_file.max(1) as f64;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let reason = format!(
        "{copies} copies take {:.1} MB in float, {:.1} MB in int8 ({}); the files are {possible:.2}x apart",
        megabytes(float.bytes),
        megabytes(int8.bytes),
        match float.how == int8.how {
            true => float.how,
            false => format!("{}, {}", float.how, int8.how),
        }
    );
    let ratio = float.bytes as f64 / int8.bytes.max(1) as f64;
    Ok(Gate::at_least(ID, ratio, SHARE * possible, "x smaller", reason))
}

/// Bytes of both files, if both are there.
fn sizes(float: &Outside, int8: &Outside) -> Option<(u64, u64)> {
    let size = |model: &Outside| Some(std::fs::metadata(model.file()?).ok()?.len());
    Some((size(float)?, size(int8)?))
}
