//! A model with a state, and faults that grow while the state is fed back.

use super::support::{assert_failed, dynamic, int8_of, judge, randn, turn};
use std::sync::Arc;
use tinytorch::audit::{
    AuditOptions, Budget, Gate, HeldOut, ModelReport, Outcome, Subject, audit_model,
};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::models::{Feedback, Model, Rebuild, Sample, Sequence, compile, run};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::tensor::Shape;
use tinytorch::{Result, Tensor};

const WIDTH: usize = 64;
const STEPS: usize = 400;

/// What becomes of a state from one step to the next where something is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// A hundredth is lost at each step.
    Leaks,
    /// Each step adds a little of one sign.
    Drifts,
    /// A tenth of what a step adds is in its answer, and not in the state that it leaves.
    AddsLess,
}

/// What a step is given is added to the state, of which the answer is made.
#[derive(Module, Clone)]
struct Memory {
    given: Linear,
    answer: Linear,
    #[module(skip)]
    fault: Option<Fault>,
}

impl Forward<(Var, Var)> for Memory {
    type Output = (Var, Var);

    fn forward(&self, (x, state): &(Var, Var), ctx: &mut Ctx<'_>) -> Result<(Var, Var)> {
        let more = self.given.forward(x, ctx)?.mul_scalar(0.1, ctx)?;
        let next = state.add(&more, ctx)?;
        let left = match self.fault {
            None => next.clone(),
            Some(Fault::Leaks) => next.mul_scalar(0.99, ctx)?,
            Some(Fault::Drifts) => next.add_scalar(0.005, ctx)?,
            Some(Fault::AddsLess) => state.add(&more.mul_scalar(0.9, ctx)?, ctx)?,
        };
        Ok((self.answer.forward(&next, ctx)?, left))
    }
}

impl Rebuild for Memory {
    type Input = (Var, Var);
    type Config = ();
    const NAME: &'static str = "memory";

    fn config(&self) {}

    fn build(_: &(), init: &mut Init) -> Result<Memory> {
        let (given, answer) = (Linear::new(WIDTH, WIDTH, init)?, Linear::new(WIDTH, 8, init)?);
        Ok(Memory { given, answer, fault: None })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        let values = Sample::Values(Shape::new(&[WIDTH])?);
        Ok(vec![values, values])
    }

    fn input_names(&self) -> Vec<String> {
        vec!["x".into(), "state".into()]
    }

    fn output_names(&self) -> Vec<String> {
        vec!["answer".into(), "left".into()]
    }
}

/// The int8 model with this fault, judged step by step from the states that the float model gave, and over the steps in
/// turn.
fn subject(fault: Option<Fault>) -> Subject {
    let float = Memory::build(&(), &mut Init::seed(1)).unwrap();
    let start = vec![randn(&[STEPS, WIDTH], 2), Tensor::zeros([1, WIDTH]).unwrap()];
    let feedback = Feedback::new(&float, &[("left".into(), "state".into())]).unwrap();
    let sequence = Sequence::new(Arc::new(feedback), start, 1).unwrap();
    let mut plan = compile(&float as &dyn Model, &sequence.first().unwrap()).unwrap();
    let met = sequence.met(|inputs| run(&mut plan, inputs)).unwrap();
    let (mut int8, report) = int8_of(&float, &met, &dynamic());
    int8.fault = fault;
    let held_out = HeldOut::in_steps(met, STEPS).unwrap();
    let subject = Subject::new("memory", &float, &int8, held_out).unwrap();
    subject.quantized_by(&dynamic(), &report).over(sequence)
}

fn sequence_of(report: &ModelReport) -> &Gate {
    report.gates.iter().find(|gate| gate.id == "sequence").unwrap()
}

#[test]
fn a_sound_state_passes_and_the_budget_is_the_limit() {
    let _turn = turn();
    let subject = subject(None);
    let report = judge(&subject, &AuditOptions::default());
    let gate = sequence_of(&report);
    assert_eq!(gate.result, Outcome::Pass, "{}", gate.reason);
    assert!(gate.reason.starts_with("400 steps with `left` to `state` fed back: `answer`"));
    let error = gate.value.unwrap() / 100.0;
    for (max_error, expected) in [(1.001 * error, Outcome::Pass), (0.999 * error, Outcome::Fail)] {
        let budget = Budget { max_error, ..Budget::default() };
        let report = audit_model(&subject, &budget, &AuditOptions::default()).unwrap();
        assert_eq!(sequence_of(&report).result, expected, "{}", sequence_of(&report).reason);
    }
}

/// Each step by itself is within the budget, so that nothing else notices.
#[test]
fn faults_that_grow_while_a_state_is_fed_back() {
    let _turn = turn();
    for fault in [Fault::Leaks, Fault::Drifts, Fault::AddsLess] {
        let report = judge(&subject(Some(fault)), &AuditOptions::default());
        assert_failed(&report, "sequence", "`answer`");
        let step = report.gates.iter().find(|gate| gate.id == "output_error").unwrap();
        assert_eq!(step.result, Outcome::Pass, "{fault:?}: {}", step.reason);
    }
}
