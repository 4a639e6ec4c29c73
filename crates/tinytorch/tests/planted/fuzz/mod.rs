//! Verdicts under fire: small models drawn at random, each audited as it is and with one fault drawn at
//! random. A sound one fails no gate; a fault that does harm is caught by its gate, which names what is at fault.
//!
//! `scripts/fuzz_verdicts.sh` does it with hundreds of models.

mod drawn;
mod files;
mod norms;
mod ranges;
mod running;
mod samples;
mod scales;
mod vectors;
mod weights;

use super::{Base, Stage};
use drawn::Drawn;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tinytorch::audit::{AuditOptions, Budget, ModelReport, Outcome, Subject, audit_model};
use tinytorch::{Result, Rng};

/// Small models need more than the usual hundredth for the rounding of their few values.
const BUDGET: f64 = 0.05;

/// A way in which a quantized model can be wrong.
struct Fault {
    name: &'static str,
    /// `None` if this model has no room for the fault.
    plant: fn(&Drawn, &mut Rng) -> Option<Planted>,
}

/// A model with a fault, and what an audit has to say about it.
struct Planted {
    subject: Result<Subject>,
    options: AuditOptions,
    /// The gate that has to fail, unless the file is refused.
    gate: &'static str,
    /// What the gate, or the refusal, has to name.
    culprit: String,
    /// Whether it is harmful whatever it does to outputs.
    is_certain: bool,
}

impl Planted {
    fn new(subject: Result<Subject>, gate: &'static str, culprit: impl Into<String>) -> Planted {
        let (options, culprit) = (AuditOptions::default(), culprit.into());
        Planted { subject, options, gate, culprit, is_certain: true }
    }

    /// The int8 model of a file.
    fn file(base: &Base, path: PathBuf, gate: &'static str, culprit: impl Into<String>) -> Planted {
        Planted::new(base.subject_of(path), gate, culprit)
    }
}

/// What came of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// Its gate failed and named it, or the file was refused by its name.
    Placed,
    /// Another gate failed, or the right one without a name.
    Misplaced,
    /// No gate failed.
    Missed,
    /// The outputs are as near as before: nothing to catch.
    Harmless,
}

fn faults() -> Vec<Fault> {
    [
        weights::FAULTS,
        scales::FAULTS,
        vectors::FAULTS,
        ranges::FAULTS,
        norms::FAULTS,
        files::FAULTS,
        running::FAULTS,
        samples::FAULTS,
    ]
    .into_iter()
    .flatten()
    .map(|&(name, plant)| Fault { name, plant })
    .collect()
}

/// A fault as its list has it.
type Listed = (&'static str, fn(&Drawn, &mut Rng) -> Option<Planted>);

fn judged(subject: &Subject, options: &AuditOptions) -> Result<ModelReport> {
    audit_model(subject, &Budget { max_error: BUDGET, float_floor: None }, options)
}

fn fate(drawn: &Drawn, planted: &Planted) -> (Fate, String) {
    let report = planted.subject.as_ref().map(|subject| judged(subject, &planted.options));
    let report = match report {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => return refused(&error.to_string(), planted),
        Err(error) => return refused(&error.to_string(), planted),
    };
    let failed: Vec<_> = report.gates.iter().filter(|g| g.result == Outcome::Fail).collect();
    let words = failed.iter().map(|gate| format!("{}: {}", gate.id, gate.reason));
    let words = words.collect::<Vec<_>>().join("\n");
    let is_placed = |gate: &&&tinytorch::audit::Gate| {
        gate.id == planted.gate && gate.reason.contains(&planted.culprit)
    };
    let found = match (failed.is_empty(), failed.iter().any(|gate| is_placed(&gate))) {
        (_, true) => Fate::Placed,
        (false, _) => Fate::Misplaced,
        (true, _) => Fate::Missed,
    };
    match &planted.subject {
        Ok(subject)
            if found != Fate::Placed && !planted.is_certain && !drawn.is_harmed(subject) =>
        {
            (Fate::Harmless, words)
        }
        _ => (found, words),
    }
}

fn refused(words: &str, planted: &Planted) -> (Fate, String) {
    let fate = match words.contains(&planted.culprit) && !words.contains('\n') {
        true => Fate::Placed,
        false => Fate::Misplaced,
    };
    (fate, words.to_string())
}

/// Draws `count` models from a seed, and prints what came of them.
fn fuzz(count: usize, seed: u64) {
    let stage = Stage::enter();
    let faults = faults();
    let mut rng = Rng::seed(seed);
    let mut order: Vec<usize> = (0..faults.len()).collect();
    let mut tally: BTreeMap<Fate, Vec<String>> = BTreeMap::new();
    let mut kinds = BTreeMap::<&str, usize>::new();
    let (mut failed, mut undecided) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for number in 0..count {
        let drawn = Drawn::draw(&stage, number as u64 ^ seed << 32, &mut rng);
        let report = judged(&drawn.base.subject(), &AuditOptions::default()).unwrap();
        for gate in report.gates.iter().filter(|gate| gate.result == Outcome::Fail) {
            failed.push(format!("{}: {}: {}", drawn.name(), gate.id, gate.reason));
        }
        for gate in report.gates.iter().filter(|gate| gate.result == Outcome::Unknown) {
            *undecided.entry(gate.id).or_default() += 1;
        }

        // Each fault once before any comes twice, in an order of its own each time.
        if number % faults.len() == 0 {
            rng.shuffle(&mut order);
        }
        let start = number % faults.len();
        let turn = (start..faults.len()).chain(0..start).map(|place| &faults[order[place]]);
        let Some((fault, planted)) =
            turn.filter_map(|fault| Some((fault, (fault.plant)(&drawn, &mut rng)?))).next()
        else {
            panic!("no fault fits {}", drawn.name())
        };
        let (fate, words) = fate(&drawn, &planted);
        *kinds.entry(fault.name).or_default() += 1;
        let line = format!(
            "{} in {}, by {} with `{}`: {words}",
            fault.name,
            drawn.name(),
            planted.gate,
            planted.culprit
        );
        tally.entry(fate).or_default().push(line);
    }
    let of = |fate| tally.get(&fate).map_or(&[][..], |lines| lines);
    let harmful = count - of(Fate::Harmless).len();
    println!(
        "{count} sound models: {} failed, gates undecided: {undecided:?}. {count} faults of {} kinds: {} without \
         harm; of {harmful} harmful ones {} caught and placed, {} caught, {} missed.",
        failed.len(),
        kinds.len(),
        of(Fate::Harmless).len(),
        of(Fate::Placed).len(),
        of(Fate::Misplaced).len(),
        of(Fate::Missed).len(),
    );
    let wrong = [of(Fate::Misplaced), of(Fate::Missed)].concat();
    assert!(
        failed.is_empty() && wrong.is_empty(),
        "sound models that failed:\n{}\nfaults that were not placed:\n{}",
        failed.join("\n"),
        wrong.join("\n")
    );
}

#[test]
fn random_faults_are_caught_and_placed_and_sound_models_pass() {
    assert!(faults().len() >= 40);
    fuzz(30, 1);
}

/// As many models as `TINYTORCH_FUZZ_MODELS` says, from the seed `TINYTORCH_FUZZ_SEED`.
#[test]
#[ignore = "takes minutes; scripts/fuzz_verdicts.sh runs it"]
fn many_random_faults_are_caught_and_placed_and_sound_models_pass() {
    let number = |name: &str, usual| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => usual,
    };
    fuzz(number("TINYTORCH_FUZZ_MODELS", 500) as usize, number("TINYTORCH_FUZZ_SEED", 2));
}
