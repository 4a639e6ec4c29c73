//! Whether the outputs are near the float model's.

use crate::Result;
use crate::audit::{Budget, Evidence, Gate, Metric, Subject, compare};

/// The int8 model's outputs are near the float model's, and no layer adds more than rounding explains. Of
/// several outputs the worst is the measurement.
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
        subject.task.counted(subject.held_out.targets()),
        worst.unwrap_or_default()
    );
    let faults: Vec<String> = evidence.layers.iter().filter_map(|layer| layer.fault()).collect();
    let gate = Gate::at_most(ID, error * 100.0, budget.max_error * 100.0, "%", reason);
    Ok(gate.unless_faulty(&faults))
}
