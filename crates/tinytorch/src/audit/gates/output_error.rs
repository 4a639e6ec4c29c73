use crate::Result;
use crate::audit::{Budget, Evidence, Gate, Subject, Task};
use crate::quant::relative_error;

/// The int8 model's outputs are near the float model's, and no layer adds more than rounding explains.
pub(crate) fn output_error(
    subject: &Subject,
    evidence: &Evidence,
    budget: &Budget,
) -> Result<Gate> {
    const ID: &str = "output_error";
    let error = relative_error(&evidence.int8, &evidence.float)?;
    let worst = evidence.layers.iter().max_by(|a, b| a.own_error.total_cmp(&b.own_error));
    let worst = worst.map(|layer| {
        format!(
            "; `{}` adds the most, {:.2} % of its own output",
            layer.name,
            layer.own_error * 100.0
        )
    });
    let reason = format!(
        "relative L2 error on {}, mean removed{}",
        Task::of(&subject.held_out).counted(subject.held_out.labels()),
        worst.unwrap_or_default()
    );
    let faults: Vec<String> = evidence.layers.iter().filter_map(|layer| layer.fault()).collect();
    let gate = Gate::at_most(ID, error * 100.0, budget.max_error * 100.0, "%", reason);
    Ok(gate.unless_faulty(&faults))
}
