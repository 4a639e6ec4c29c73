//! Whether the outputs are near the float model's.

use crate::Result;
use crate::audit::interval::FEWEST;
use crate::audit::{Budget, Evidence, Gate, Subject, compare};
use crate::tensor::{Dtype, Tensor};

/// The int8 model's outputs are near the float model's, and no layer adds more than rounding explains, over all
/// samples. Of several outputs the worst is the measurement. Fewer than 30 rows, or rows that are all alike, tell
/// nothing.
pub(crate) fn output_error(
    subject: &Subject,
    evidence: &Evidence,
    budget: &Budget,
) -> Result<Gate> {
    const ID: &str = "output_error";
    let errors = compare::errors(&evidence.int8, &evidence.float)?;
    let (place, error) = compare::worst(&errors);
    let worst = evidence.layers.iter().max_by(|a, b| a.own_error.total_cmp(&b.own_error));
    let worst = worst.map(|layer| {
        format!(
            "; `{}` adds the most, {:.2} % of its own output",
            layer.name,
            layer.own_error * 100.0
        )
    });
    let each = evidence.outputs.iter().zip(&errors);
    let each = each.map(|(name, error)| format!("`{name}` {:.2} %", error * 100.0));
    let of_several = match errors.len() {
        0 | 1 => String::new(),
        _ => format!(" of `{}` ({})", evidence.outputs[place], each.collect::<Vec<_>>().join(", ")),
    };
    let reason = format!(
        "relative L2 error{of_several} on {}, mean removed{}",
        subject.counted(),
        worst.unwrap_or_default()
    );
    let faults: Vec<String> = evidence.layers.iter().filter_map(|layer| layer.fault()).collect();
    if let Some(why) = tells_nothing(&evidence.float)? {
        return Ok(Gate::unknown(ID, why).unless_faulty(&faults));
    }
    let gate = Gate::at_most(ID, error * 100.0, budget.max_error * 100.0, "%", reason);
    Ok(gate.unless_faulty(&faults))
}

/// Why these outputs of the float model cannot tell how far others are off, if they cannot: an error is
/// relative to what outputs differ by.
pub(super) fn tells_nothing(outputs: &[Tensor]) -> Result<Option<String>> {
    for output in outputs.iter().filter(|output| output.dtype() == Dtype::F32) {
        let columns = if output.rank() == 1 { 1 } else { output.shape().last_dim().max(1) };
        let rows = output.len() / columns;
        if rows < FEWEST {
            return Ok(Some(format!(
                "{rows} rows of outputs are too few to tell how much outputs differ; {FEWEST} are not"
            )));
        }
        let values = output.to_vec::<f32>()?;
        let (first, others) = values.split_at(columns.min(values.len()));
        if others.chunks(columns).all(|row| row == first) {
            let why = "the float model gives the same output for every sample, which tells nothing";
            return Ok(Some(why.to_string()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_rows_that_differ_tell_an_error() {
        let tells = |output: Tensor| tells_nothing(&[output]).unwrap().is_none();
        let rows = |n: usize| Tensor::arange(3 * n).unwrap().reshape([n, 3]).unwrap();
        assert!(tells(rows(30)) && !tells(rows(29)));
        // Of a single axis each value is a row, and the last of more has the columns.
        assert!(tells(Tensor::arange(30).unwrap()) && !tells(Tensor::arange(29).unwrap()));
        assert!(tells(Tensor::arange(60).unwrap().reshape([2, 15, 2]).unwrap()));
        assert!(!tells(Tensor::ones([100, 3]).unwrap()));
        let mut one = vec![1.0; 300];
        one[299] = 2.0;
        assert!(tells(Tensor::from_vec(one, [100, 3]).unwrap()));
        // What is no float has no error to tell.
        assert!(tells(Tensor::full(1i64, [2, 3]).unwrap()));
    }
}
