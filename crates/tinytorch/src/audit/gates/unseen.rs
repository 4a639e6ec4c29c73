//! Whether the samples that judge are others than those that the model was calibrated on.

use crate::Result;
use crate::audit::{Gate, Subject};
use crate::int8::Encoding;
use crate::quant::SeenRows;

const ID: &str = "unseen";

/// Samples that are named.
const NAMED: usize = 8;

/// None of the held-out samples is among those that the ranges were calibrated on, by the digests of both.
/// What the float model was trained on is told if it is known; no gate can find it out.
pub(crate) fn unseen(subject: &Subject) -> Result<Gate> {
    let training = match &subject.trained_on {
        Some(data) => format!("the float model says that it was trained on {data}"),
        None => {
            "what the float model was trained on is not known, so that its own quality may not be \
                 that on unseen data"
                .to_string()
        }
    };
    let params = subject.int8.named_params();
    let is_static = |input| matches!(input, Encoding::Static(_));
    if !params.iter().filter_map(|(_, param)| param.int8()).any(|w| is_static(w.input())) {
        return Ok(Gate::not_applicable(ID, format!("no range was calibrated; {training}")));
    }
    let Some(seen) = &subject.seen else {
        let reason =
            format!("it is not known on which samples the ranges were calibrated; {training}");
        return Ok(match subject.delivered {
            // A file that does not tell is no excuse.
            Some(_) => Gate::unknown(ID, reason),
            None => Gate::not_applicable(ID, reason),
        });
    };
    let (mut again, mut first) = (Vec::new(), 0);
    for batch in subject.given() {
        let rows = SeenRows::of(&batch?)?;
        again.extend(rows.iter().zip(first..).filter(|(row, _)| seen.has(row)).map(|(_, i)| i));
        first += rows.len();
    }
    let of = subject.held_out.len();
    let reason = match again.is_empty() {
        true => {
            format!("none of {of} samples is among the {} of calibration; {training}", seen.len())
        }
        false => {
            let first: Vec<String> = again.iter().take(NAMED).map(ToString::to_string).collect();
            format!(
                "{} of {of} samples were calibrated on, such as {}; judge by others; {training}",
                again.len(),
                first.join(", ")
            )
        }
    };
    Ok(Gate::at_most(ID, again.len() as f64, 0.0, "samples", reason))
}
