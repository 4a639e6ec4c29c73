//! Whether the int8 model gives the same result every time.

use crate::Result;
use crate::audit::compare::{self, all_same_bits, exceeds};
use crate::audit::flips::as_far_as_flips;
use crate::audit::steadiness::{FLOAT_ACROSS_ISAS, Steadiness};
use crate::audit::{AuditOptions, Evidence, Gate, Subject, gate::listed, passes};
use crate::autograd::{Ctx, Var};
use crate::models::{compile, run};
use crate::tensor::Tensor;

const ID: &str = "determinism";

/// Numbers of threads that must give the same bits.
const THREADS: [usize; 3] = [1, 2, 3];

/// Samples for the runs on slow instruction sets: scalar code is some 30 times slower.
const SAMPLES: usize = 16;

/// The int8 model gives the same result every time. Each op does, on equal inputs, when it runs again,
/// and on every instruction set: integers to the bit, floats to 1e-5. The deployed model does, to the
/// bit, at any number of threads, and as a plan what it does op by op, on every instruction set. So a plan is
/// held to the ops, and the ops to each other, sharply; what is left is how far last bits of floats take the whole
/// model, which is 1e-5, or as far as levels that flip allow.
pub(crate) fn determinism(
    subject: &Subject,
    evidence: &Evidence,
    options: &AuditOptions,
) -> Result<Gate> {
    let held_out = &subject.held_out;
    let some = held_out.first(SAMPLES)?;
    let names = subject.int8.named_params().into_iter().map(|(name, p)| (p.id(), name)).collect();
    let mut ops = Steadiness::new(&names, options);
    let mut ctx = Ctx::eval().on(options.deployed).observed(&mut ops);
    subject.int8.forward_list(&some.iter().map(Var::from).collect::<Vec<_>>(), &mut ctx)?;
    drop(ctx);
    let Steadiness { mut faults, integer_ops, floats_differ, .. } = ops;

    let eager = passes::eager_outputs(&*subject.int8, options.deployed, held_out)?;
    if !all_same_bits(&eager, &evidence.int8)? {
        faults.push("the plan gives other bits than the model run op by op".to_string());
    }
    let mut plan = compile(&*subject.int8, &held_out.first(1)?)?.on(options.deployed);
    let pool = |count: &usize| rayon::ThreadPoolBuilder::new().num_threads(*count).build();
    let Ok(pools) = THREADS.iter().map(pool).collect::<std::result::Result<Vec<_>, _>>() else {
        let reason = format!("pools of {} threads could not be started", listed(&THREADS));
        return Ok(Gate::unknown(ID, reason));
    };
    let again = || passes::outputs(&mut plan, held_out);
    faults.extend(other_at(&pools, &evidence.int8, again)?);
    let want = run(&mut plan, &some)?;
    let limits = match floats_differ {
        true => as_far_as_flips(&want, &first_rows_like(&evidence.float, &want)?)?
            .into_iter()
            .map(|limit| limit.max(FLOAT_ACROSS_ISAS))
            .collect(),
        false => vec![FLOAT_ACROSS_ISAS; want.len()],
    };
    let mut furthest = (0f64, limits.first().copied().unwrap_or(FLOAT_ACROSS_ISAS));
    let some_vars: Vec<Var> = some.iter().map(Var::from).collect();
    for &isa in &options.isas {
        plan = plan.on(isa);
        let planned = run(&mut plan, &some)?;
        let eager = subject.int8.forward_list(&some_vars, &mut Ctx::eval().on(isa))?;
        let eager: Vec<_> = eager.into_iter().map(Var::into_value).collect();
        if !all_same_bits(&eager, &planned)? {
            let isa = isa.name();
            faults.push(format!("on {isa} the plan gives other bits than the model run op by op"));
        }
        let distances = compare::apart(&planned, &want)?;
        for ((&distance, &limit), name) in distances.iter().zip(&limits).zip(&evidence.outputs) {
            if distance > furthest.0 {
                furthest = (distance, limit);
            }
            if exceeds(distance, limit) {
                let of = if limits.len() > 1 { format!("`{name}` of ") } else { String::new() };
                let (isa, deployed) = (isa.name(), options.deployed.name());
                faults
                    .push(format!("{of}the model is {distance:.1e} away on {isa} from {deployed}"));
            }
        }
    }
    let (furthest, limit) = furthest;
    let isas: Vec<_> = options.isas.iter().map(|isa| isa.name()).collect();
    let checked = format!(
        "{integer_ops} integer layers equal on {}; model equal at {} threads, {} across instruction sets",
        isas.join(", "),
        listed(&THREADS),
        match furthest {
            0.0 => "to the bit".to_string(),
            furthest =>
                format!("{:.5} % off, of {:.5} % allowed,", furthest * 100.0, limit * 100.0),
        }
    );
    Ok(Gate::no_faults(ID, &faults, "faults", checked))
}

/// The numbers of threads at which a model gives other bits than it gave.
fn other_at(
    pools: &[rayon::ThreadPool],
    gave: &[Tensor],
    mut outputs: impl FnMut() -> Result<Vec<Tensor>> + Send,
) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for pool in pools {
        let again = pool.install(&mut outputs)?;
        if !all_same_bits(&again, gave)? {
            faults.push(format!("{} threads give other bits", pool.current_num_threads()));
        }
    }
    Ok(faults)
}

/// As many rows of each output as there are in others.
fn first_rows_like(outputs: &[Tensor], others: &[Tensor]) -> Result<Vec<Tensor>> {
    let rows = |other: &Tensor| other.shape().first().copied().unwrap_or(0);
    outputs.iter().zip(others).map(|(output, other)| output.slice(0, 0..rows(other))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is split among two halves differs from two threads on, and what leaves a rest over first from three on.
    #[test]
    fn a_model_must_give_the_same_at_one_thread_at_two_and_at_three() {
        let pool = |count| rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap();
        let pools: Vec<_> = THREADS.into_iter().map(pool).collect();
        let answers = |of: f32| Ok(vec![Tensor::from_vec(vec![of, 1.0], [2])?]);
        let other_where = |differs: fn(usize) -> bool| {
            let outputs = || answers(f32::from(u8::from(differs(rayon::current_num_threads()))));
            other_at(&pools, &answers(0.0).unwrap(), outputs).unwrap()
        };
        assert_eq!(other_where(|_| false), Vec::<String>::new());
        assert_eq!(other_where(|threads| threads == 1), ["1 threads give other bits"]);
        assert_eq!(other_where(|threads| threads == 2), ["2 threads give other bits"]);
        assert_eq!(other_where(|threads| threads == 3), ["3 threads give other bits"]);
        let from_two = ["2 threads give other bits", "3 threads give other bits"];
        assert_eq!(other_where(|threads| threads > 1), from_two);
    }
}
