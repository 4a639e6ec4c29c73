//! Faults for the gates that few of the others fail.

use super::models::{Impostor, Instead};
use super::{Base, Stage, assert_caught, audit, audit_with, faulty, probe, quantized};
use tinytorch::audit::{AuditOptions, Budget, ModelFiles, Outcome, Subject, audit_model};
use tinytorch::autograd::{Param, Role};
use tinytorch::data::{Dataset, Examples};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::Init;
use tinytorch::{Rng, Tensor};
use tinytorch_kernels::Isa;
use tinytorch_kernels::isa::Fault;

/// A subject that does something else than its model.
fn instead(base: &Base, instead: Instead) -> Subject {
    let mut subject = base.subject();
    subject.int8 = Impostor::boxed(subject.int8, instead);
    subject
}

fn judged_by(base: &Base, samples: Examples) -> Subject {
    ModelFiles::open(base.float(), base.int8()).unwrap().judged_by(samples).unwrap()
}

#[test]
fn samples_that_were_all_calibrated_on_and_one_that_was() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let all = judged_by(base, base.train.select(&(0..400).collect::<Vec<_>>()).unwrap());
    assert_caught(&audit(&all), "unseen", "400 of 400 samples");
    let one: Vec<f32> = base.train.inputs().slice(0, 3..4).unwrap().to_vec().unwrap();
    let mut inputs: Vec<f32> = base.held_out.inputs().to_vec().unwrap();
    inputs[17 * one.len()..18 * one.len()].copy_from_slice(&one);
    let inputs = Tensor::from_vec(inputs, *base.held_out.inputs().shape()).unwrap();
    let samples = Examples::new(inputs, base.held_out.labels().clone()).unwrap();
    assert_caught(
        &audit(&judged_by(base, samples)),
        "unseen",
        "1 of 600 samples were calibrated on, such as 17",
    );
}

#[test]
fn outputs_that_saving_does_not_keep() {
    let stage = Stage::enter();
    // The last pass has 24 samples; parameters and files are what they were.
    let report = audit(&instead(stage.mlp(), Instead::WrongAmong(0..40)));
    assert_caught(&report, "round_trip", "the loaded model gives other outputs");
}

#[test]
fn a_file_that_holds_another_model_than_the_one_that_ran() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let other = base.edited_file(|file| {
        file.change("layers.1.weight", |values: &mut [i8]| values[0] = values[0].wrapping_add(1));
    });
    let subject = base.subject().files(base.float(), other);
    assert_caught(&audit(&subject), "round_trip", "the loaded parameters differ");
}

#[test]
fn samples_that_are_wrong_in_small_passes() {
    let stage = Stage::enter();
    for below in [3, 8] {
        let report = audit(&instead(stage.mlp(), Instead::WrongAmong(0..below)));
        assert_caught(&report, "batches", "in a pass of 1");
    }
}

/// Working memory that is larger than a pass and is not cleared. Samples of whole passes alone never show it.
#[test]
fn what_a_larger_pass_has_left_behind() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let whole = base.held_out.select(&(0..512).collect::<Vec<_>>()).unwrap();
    for samples in [base.held_out.clone(), whole] {
        let mut subject = judged_by(base, samples);
        subject.int8 = Impostor::boxed(subject.int8, Instead::Leftovers);
        assert_caught(&audit(&subject), "batches", "in a pass of");
    }
}

#[test]
fn one_range_for_all_samples_of_a_pass() {
    let stage = Stage::enter();
    let report = audit(&instead(stage.mlp(), Instead::SharedRange));
    assert_caught(&report, "batches", "in a pass of 1");
}

#[test]
fn outputs_that_depend_on_the_number_of_threads() {
    let stage = Stage::enter();
    let report = audit(&instead(stage.mlp(), Instead::Drift { by_threads: true }));
    assert_caught(&report, "determinism", "threads give other bits");
}

#[test]
fn outputs_that_change_when_they_are_run_again() {
    let stage = Stage::enter();
    let report = audit(&instead(stage.mlp(), Instead::Drift { by_threads: false }));
    assert_caught(&report, "determinism", "gives other bits when it runs again");
}

#[test]
fn outputs_of_the_plan_that_are_others_than_those_of_the_model() {
    let stage = Stage::enter();
    let more = Instead::PlannedMore { factor: 1.1, on_scalar_alone: false };
    assert_caught(&audit(&instead(stage.mlp(), more)), "determinism", "the plan gives other bits");
}

/// Each op is the same everywhere, and what a plan makes of it is not.
#[test]
fn outputs_of_the_plan_on_another_instruction_set() {
    let stage = Stage::enter();
    if Isa::active() == Isa::Scalar {
        return;
    }
    let more = Instead::PlannedMore { factor: 1.1, on_scalar_alone: true };
    let report = audit(&instead(stage.mlp(), more));
    assert_caught(&report, "determinism", "on scalar the plan gives other bits");
}

#[test]
fn sums_of_a_decoder_that_overflow() {
    let stage = Stage::enter();
    let report = audit_with(&stage.gpt().subject(), &faulty(Fault::SaturatingPairs));
    assert_caught(&report, "overflow", "is exact");
}

#[test]
fn notes_that_are_longer_than_the_weights() {
    let stage = Stage::enter();
    let base = stage.mlp();
    for key in ["tokenizer", "a diary"] {
        let path = base.edited_file(|file| file.note(key, "word ".repeat(10_000)));
        assert_caught(&audit(&base.subject_of(path).unwrap()), "file_bytes", "bytes in float");
    }
}

/// A record of channels that were equalized, by nothing, and again and again.
#[test]
fn channels_that_are_said_to_be_equalized_many_times() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let told = |times: usize| {
        let path = base.edited_file(|file| {
            file.rewrite("quantization", |record| {
                let mut record: serde_json::Value = serde_json::from_str(record).unwrap();
                let one = serde_json::json!({
                    "weight": "layers.0.weight", "bias": "layers.0.bias", "next": "layers.1.weight",
                    "exponents": vec![0; 128],
                });
                record["equalized"] = vec![one; times].into();
                record.to_string()
            });
        });
        audit(&base.subject_of(path).unwrap())
    };
    assert_caught(&told(100), "file_bytes", "bytes in float");
    let once = told(1);
    let gate = once.gates.iter().find(|gate| gate.id == "file_bytes").unwrap();
    assert_eq!(gate.result, Outcome::Pass, "{}", gate.reason);
}

/// Every answer is asked of the next sample, so that the float model is no better than chance.
#[test]
fn labels_of_other_samples() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let mut labels = base.held_out.labels().to_vec::<i64>().unwrap();
    labels.iter_mut().for_each(|label| *label = (*label + 1) % 10);
    let labels = Tensor::from_vec(labels, [base.held_out.len()]).unwrap();
    let samples = Examples::new(base.held_out.inputs().clone(), labels).unwrap();
    assert_caught(&audit(&judged_by(base, samples)), "f32_floor", "accuracy");
}

/// Two answers change places: one output in five is wrong.
#[test]
fn two_outputs_that_change_places() {
    let stage = Stage::enter();
    let report = audit(&stage.mlp().edited(|file| {
        let scales = |values: &mut [f32]| values.swap(3, 5);
        file.change("layers.4.weight_scale", scales);
        file.change("layers.4.bias", scales);
        file.change("layers.4.weight", |values: &mut [i8]| {
            let (head, tail) = values.split_at_mut(5 * 63);
            head[3 * 63..4 * 63].swap_with_slice(&mut tail[..63]);
        });
    }));
    assert_caught(&report, "agreement", "same top-1 answer");
    assert_caught(&report, "accuracy", "accuracy");
    assert_caught(&report, "classes", "class 3");
}

#[test]
fn an_output_that_is_always_chosen() {
    let stage = Stage::enter();
    let report = audit(&stage.mlp().edited(|file| {
        file.change("layers.4.bias", |values: &mut [f32]| values[7] += 1000.0);
    }));
    assert_caught(&report, "agreement", "same top-1 answer");
    assert_caught(&report, "accuracy", "accuracy");
}

/// Parameters that only the int8 model has: floats of one weight, of all, and one weight once more as int8.
#[test]
fn weights_that_are_kept_twice() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let subject = base.subject();
    let floats = |name: &str| {
        let params = subject.float.named_params();
        let (_, param) = params.into_iter().find(|(other, _)| other == name).unwrap();
        Param::new(param.value().unwrap().clone(), Role::LinearWeight)
    };
    let again = {
        let params = subject.int8.named_params();
        let (_, param) = params.into_iter().find(|(n, _)| n == "layers.1.weight").unwrap();
        param.clone()
    };
    let all = (0..5).map(|i| floats(&format!("layers.{i}.weight"))).collect();
    for beside in [vec![floats("layers.1.weight")], all, vec![again]] {
        let report = audit(&instead(base, Instead::Beside(beside)));
        assert_caught(&report, "weight_bytes", "live heap");
    }
}

/// A model of 2 million operations for each sample, so that one alone is timed too.
fn large() -> Subject {
    let widths = MlpConfig { inputs: 64, hidden: vec![1024, 512], outputs: 10 };
    let float = Architecture::Mlp(widths).build(&mut Init::seed(3)).unwrap();
    quantized(float, Tensor::rand([64, 64], -1.0, 1.0, &mut Rng::seed(4)).unwrap())
}

/// Half a million steps more than the float model takes, for all, for many and for a sample alone.
#[test]
fn models_that_dawdle() {
    let _stage = Stage::enter();
    let times = 500_000;
    let options = AuditOptions { latency: true, ..AuditOptions::default() };
    for (from, to, slow) in [
        (0, 1000, "batch 1 is slower"),
        (2, 1000, "batch 32 is slower"),
        (0, 2, "batch 1 is slower"),
    ] {
        let mut subject = large();
        subject.int8 = Impostor::boxed(subject.int8, Instead::Dawdle { times, from, to });
        assert_caught(&audit_with(&subject, &options), "latency", slow);
    }
}

/// Data-free ranges leave this model 90 % off, so that only what loses all of a layer is worse: levels too coarse
/// for anything but 0, and levels so fine that everything is the last.
#[test]
fn ranges_that_are_worse_than_none() {
    let stage = Stage::enter();
    for (scale, factor) in [
        ("layers.0.input_scale", 1e4),
        ("layers.2.input_scale", 1e4),
        ("layers.4.input_scale", 1e-4),
    ] {
        let subject = stage.mlp().edited(|file| {
            file.change(scale, |scale: &mut [f32]| scale[0] *= factor);
        });
        assert_caught(&audit(&subject), "calibration", "without data");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_program_that_loads_the_floats_instead() {
    let stage = Stage::enter();
    let options = probe("answer_a_probe_with_the_float_model");
    let report = audit_with(&stage.mlp().subject(), &options);
    assert_caught(&report, "process_memory", "copies in a fresh process");
}

/// Not after loading, and for good from the first large pass on.
#[test]
#[cfg(target_os = "linux")]
fn a_program_that_unpacks_the_weights_when_it_first_runs() {
    let stage = Stage::enter();
    let options = probe("answer_a_probe_with_a_cache_of_floats");
    let report = audit_with(&stage.cnn().subject(), &options);
    assert_caught(&report, "process_memory", "passes of each");
}

/// Made and thrown away while the model is compiled.
#[test]
fn floats_that_are_made_and_thrown_away() {
    let stage = Stage::enter();
    let options = probe("answer_a_probe_with_floats_for_every_pass");
    let report = audit_with(&stage.mlp().subject(), &options);
    assert_caught(&report, "no_f32_copy", "a float copy of `layers.");
}

/// Both sides of the budget: what is measured, a hair more and a hair less.
#[test]
fn the_budget_is_the_limit() {
    let stage = Stage::enter();
    let subject = stage.mlp().subject();
    let outcome = |max_error: f64| {
        let budget = Budget { max_error, float_floor: Some(90.0) };
        let report = audit_model(&subject, &budget, &AuditOptions::default()).unwrap();
        let gate = report.gates.into_iter().find(|gate| gate.id == "output_error").unwrap();
        (gate.result, gate.value.unwrap(), report.advice.len())
    };
    let (passed, error, advice) = outcome(0.5);
    assert_eq!((passed, advice), (Outcome::Pass, 0));
    assert_eq!(outcome(error / 100.0 * 1.001).0, Outcome::Pass);
    assert_eq!(outcome(error / 100.0 * 0.999).0, Outcome::Fail);
}

/// What would help is measured: the error falls step by step, from what the gate says to within the budget.
#[test]
fn a_budget_that_is_missed_ends_in_advice() {
    let stage = Stage::enter();
    let subject = stage.mlp().subject();
    let judged = |max_error: f64| {
        let budget = Budget { max_error, float_floor: Some(90.0) };
        audit_model(&subject, &budget, &AuditOptions::default()).unwrap()
    };
    let measured = |report: &tinytorch::audit::ModelReport| {
        report.gates.iter().find(|gate| gate.id == "output_error").unwrap().value.unwrap()
    };
    let error = measured(&judged(0.5));
    let report = judged(error / 100.0 * 0.7);
    let advice = &report.advice;
    assert!(!advice.is_empty());
    assert!((advice[0].error_before_percent - error).abs() < 1e-9, "{advice:?}");
    for (step, next) in advice.iter().zip(&advice[1..]) {
        assert_eq!(step.error_after_percent, next.error_before_percent);
    }
    for step in advice {
        assert!(step.error_after_percent < step.error_before_percent, "{advice:?}");
        assert!(step.more_bytes > 0 && step.slower_percent.is_none(), "{advice:?}");
    }
    let broken = stage.mlp().edited(|file| {
        file.change("layers.1.bias", |values: &mut [f32]| values[0] += 100.0);
    });
    assert!(audit(&broken).advice.is_empty(), "precision is not what is missing");
}
