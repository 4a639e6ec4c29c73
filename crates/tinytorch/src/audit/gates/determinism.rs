use crate::Result;
use crate::audit::compare::{relative_error, same_bits};
use crate::audit::evidence;
use crate::audit::{Evidence, Gate, Means, Subject};
use crate::plan::Plan;

/// Largest relative difference between instruction sets, from float ops around the integer layers.
const ACROSS_ISAS: f64 = 1e-5;

/// Samples for the runs on slow instruction sets: scalar code is some 30 times slower.
const SAMPLES: usize = 64;

/// The int8 model gives the same result every time: integer layers to the bit on every instruction
/// set, the deployed model to the bit at any number of threads and whether it runs op by op or as a
/// plan, and to 1e-5 across instruction sets.
pub(crate) fn determinism(subject: &Subject, evidence: &Evidence, means: &Means) -> Result<Gate> {
    let mut faults = Vec::new();
    for layer in evidence.layers.iter().filter(|layer| !layer.disagreeing.is_empty()) {
        let isas = layer.disagreeing.join(", ");
        faults.push(format!("`{}` gives other bits on {isas} than on scalar", layer.name));
    }
    for layer in evidence.layers.iter().filter(|layer| layer.unsteady) {
        faults.push(format!("`{}` gives other bits when it runs again", layer.name));
    }
    let inputs = subject.held_out.inputs();
    let eager = evidence::eager_outputs(&*subject.int8, means.deployed, inputs)?;
    if !same_bits(&eager, &evidence.int8)? {
        faults.push("the plan gives other bits than the model run op by op".to_string());
    }
    let mut plan = Plan::compile(&*subject.int8, &inputs.slice(0, 0..1)?)?.on(means.deployed);
    let threads = [1, 2, 3];
    for count in threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        let Ok(pool) = pool else {
            let reason = format!("a pool of {count} threads could not be started");
            return Ok(Gate::unknown("determinism", reason));
        };
        let again = pool.install(|| evidence::outputs(&mut plan, inputs))?;
        if !same_bits(&again, &evidence.int8)? {
            faults.push(format!("{count} threads give other bits"));
        }
    }
    let some = inputs.slice(0, 0..inputs.shape()[0].min(SAMPLES))?;
    let want = plan.run(&some)?;
    let mut furthest = 0f64;
    for &isa in &means.isas {
        plan = plan.on(isa);
        let distance = relative_error(&plan.run(&some)?, &want)?;
        furthest = furthest.max(distance);
        if distance.is_nan() || distance > ACROSS_ISAS {
            faults.push(format!(
                "{} is {distance:.1e} away from {}",
                isa.name(),
                means.deployed.name()
            ));
        }
    }
    let isas: Vec<_> = means.isas.iter().map(|isa| isa.name()).collect();
    let checked = format!(
        "{} integer layers equal on {}; model equal at {threads:?} threads, {furthest:.0e} across \
         instruction sets",
        evidence.layers.iter().filter(|layer| layer.ran_in_int8()).count(),
        isas.join(", ")
    );
    Ok(Gate::no_faults("determinism", &faults, "faults", checked))
}
