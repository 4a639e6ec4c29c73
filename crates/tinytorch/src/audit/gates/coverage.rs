//! Whether the weights are int8 where they are stored and multiplied.

use crate::Result;
use crate::audit::{Evidence, Gate, Subject};
use crate::quant::is_weight;

/// Share of the weight bytes that must be stored and multiplied as int8.
const COVERED: f64 = 0.9;

/// The weights are int8 in memory and in the multiplication, by the kernels that ran; rows of a table
/// that are looked up become floats, since nothing multiplies them. Few may be exceptions, and only
/// on request.
pub(crate) fn coverage(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let (mut all, mut covered) = (0usize, 0usize);
    let (mut requested, mut faults) = (Vec::new(), Vec::new());
    for (name, param) in subject.int8.named_params() {
        if !is_weight(param) {
            continue;
        }
        let bytes = param.shape().len() * size_of::<f32>();
        all += bytes;
        let ran = evidence.layers.iter().filter(|layer| layer.name == name);
        let kernels: Vec<_> = ran.clone().map(|layer| layer.kernel.name).collect();
        let fault = match param.int8() {
            None if subject.config.keeps_float(&name) => {
                requested.push(format!("`{name}` was to stay float"));
                continue;
            }
            None => format!("`{name}` is stored as floats"),
            Some(_) if kernels.is_empty() => format!("`{name}` never ran"),
            Some(_) if ran.clone().all(|layer| layer.ran_in_int8() || layer.is_look_up()) => {
                covered += bytes;
                continue;
            }
            Some(_) => format!("`{name}` ran as {}", kernels.join(", ")),
        };
        faults.push(fault);
    }
    let share = covered as f64 / all.max(1) as f64;
    let kernels: std::collections::BTreeSet<_> =
        evidence.layers.iter().map(|l| l.kernel.name).collect();
    let kernels = kernels.into_iter().collect::<Vec<_>>().join(", ");
    let reason = match requested.is_empty() {
        true => format!("ran through {kernels}"),
        false => format!("{}; the others ran through {kernels}", requested.join("; ")),
    };
    Ok(judged(share, reason).unless_faulty(&faults))
}

fn judged(share: f64, reason: String) -> Gate {
    Gate::at_least("coverage", share * 100.0, COVERED * 100.0, "% of weight bytes", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Outcome;

    #[test]
    fn a_tenth_may_stay_float_and_no_more() {
        assert_eq!(judged(0.9, String::new()).result, Outcome::Pass);
        assert_eq!(judged(0.899, String::new()).result, Outcome::Fail);
    }
}
