use crate::Result;
use crate::audit::compare::{exceeds, same_bits};
use crate::audit::steadiness::{FLOAT_ACROSS_ISAS, Steadiness};
use crate::audit::{Evidence, Gate, Means, Subject, evidence};
use crate::autograd::{Ctx, Var};
use crate::plan::Plan;
use crate::quant::relative_error;

const ID: &str = "determinism";

/// Numbers of threads that must give the same bits.
const THREADS: [usize; 3] = [1, 2, 3];

/// Samples for the runs on slow instruction sets: scalar code is some 30 times slower.
const SAMPLES: usize = 16;

/// Share of the rounding error that the whole model may differ by between instruction sets, if it
/// computes in float before it rounds to 8 bits: a difference in the last bit flips a level now and
/// then, which weighs as much as any rounding. In `talks-gpt` it is 1.6e-4 of 7.2e-3, in a ResNet-20 with
/// five float layers 1.9e-3 of 9.0e-3.
const SHARE_OF_ERROR: f64 = 0.3;

/// The int8 model gives the same result every time. Each op does, on equal inputs, when it runs again,
/// and on every instruction set: integers to the bit, floats to 1e-5. The deployed model does, to the
/// bit, at any number of threads and whether it runs op by op or as a plan; between instruction sets
/// it does to 1e-5, or as near as levels that flip allow.
pub(crate) fn determinism(subject: &Subject, evidence: &Evidence, means: &Means) -> Result<Gate> {
    let inputs = subject.held_out.inputs();
    let some = inputs.slice(0, 0..inputs.shape()[0].min(SAMPLES))?;
    let names = subject.int8.named_params().into_iter().map(|(name, p)| (p.id(), name)).collect();
    let mut ops = Steadiness::new(&names, means);
    let mut ctx = Ctx::eval().on(means.deployed).observed(&mut ops);
    subject.int8.forward(&Var::from(&some), &mut ctx)?;
    drop(ctx);
    let Steadiness { mut faults, integer_ops, floats_differ, .. } = ops;

    let eager = evidence::eager_outputs(&*subject.int8, means.deployed, inputs)?;
    if !same_bits(&eager, &evidence.int8)? {
        faults.push("the plan gives other bits than the model run op by op".to_string());
    }
    let mut plan = Plan::compile(&*subject.int8, &inputs.slice(0, 0..1)?)?.on(means.deployed);
    for count in THREADS {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        let Ok(pool) = pool else {
            let reason = format!("a pool of {count} threads could not be started");
            return Ok(Gate::unknown(ID, reason));
        };
        let again = pool.install(|| evidence::outputs(&mut plan, inputs))?;
        if !same_bits(&again, &evidence.int8)? {
            faults.push(format!("{count} threads give other bits"));
        }
    }
    let error = relative_error(&evidence.int8, &evidence.float)?;
    let limit = match floats_differ {
        true => FLOAT_ACROSS_ISAS.max(SHARE_OF_ERROR * error),
        false => FLOAT_ACROSS_ISAS,
    };
    let want = plan.run(&some)?;
    let mut furthest = 0f64;
    for &isa in &means.isas {
        plan = plan.on(isa);
        let distance = relative_error(&plan.run(&some)?, &want)?;
        furthest = furthest.max(distance);
        if exceeds(distance, limit) {
            let (isa, deployed) = (isa.name(), means.deployed.name());
            faults.push(format!("the model is {distance:.1e} away on {isa} from {deployed}"));
        }
    }
    let isas: Vec<_> = means.isas.iter().map(|isa| isa.name()).collect();
    let checked = format!(
        "{integer_ops} integer layers equal on {}; model equal at {THREADS:?} threads, \
         {furthest:.0e} across instruction sets, of {limit:.0e} allowed",
        isas.join(", ")
    );
    Ok(Gate::no_faults(ID, &faults, "faults", checked))
}
