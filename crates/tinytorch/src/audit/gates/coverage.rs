use crate::Result;
use crate::audit::{Evidence, Gate, Subject};
use crate::quant::is_weight;

/// Share of the weight bytes that must be stored and multiplied as int8.
const COVERED: f64 = 0.9;

/// The op that takes rows of a table, which are turned into floats since nothing multiplies them.
const LOOK_UP: &str = "embedding";

/// The weights are int8 in memory and in the multiplication, by the kernels that ran.
pub(crate) fn coverage(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let (mut all, mut covered, mut exceptions) = (0usize, 0usize, Vec::new());
    for (name, param) in subject.int8.named_params() {
        if !is_weight(param) {
            continue;
        }
        let bytes = param.shape().len() * size_of::<f32>();
        all += bytes;
        let ran = evidence.layers.iter().filter(|layer| layer.name == name);
        let kernels: Vec<_> = ran.clone().map(|layer| layer.kernel).collect();
        let looked_up = ran.clone().count() > 0 && ran.clone().all(|layer| layer.op == LOOK_UP);
        match param.int8() {
            None => exceptions.push(format!("`{name}` is stored as floats")),
            Some(_)
                if looked_up || (!kernels.is_empty() && ran.clone().all(|l| l.ran_in_int8())) =>
            {
                covered += bytes;
            }
            Some(_) if kernels.is_empty() => exceptions.push(format!("`{name}` never ran")),
            Some(_) => exceptions.push(format!("`{name}` ran as {}", kernels.join(", "))),
        }
    }
    let share = covered as f64 / all.max(1) as f64;
    let kernels: std::collections::BTreeSet<_> = evidence.layers.iter().map(|l| l.kernel).collect();
    let kernels = kernels.into_iter().collect::<Vec<_>>().join(", ");
    let reason = match exceptions.is_empty() {
        true => format!("every weight ran in int8, through {kernels}"),
        false => format!("exceptions: {}", exceptions.join("; ")),
    };
    Ok(Gate::at_least("coverage", share * 100.0, COVERED * 100.0, "% of weight bytes", reason))
}
