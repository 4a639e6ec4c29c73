//! An int8 model computes what its float model computes.

use super::support::{
    AnyModel, Inputs, RowTransformer, Weights, accuracy, agreement, cnn, error, held_out, mlp,
    output, plain, quantized, subject, transformer, untrained, within_budget,
};
use tinytorch::audit::{AuditOptions, Budget, Outcome, audit_model};
use tinytorch::autograd::Var;
use tinytorch::nn::{Forward, Init};
use tinytorch::quant::{Activations, apply, prepare_without_data};

/// The largest error of a trained model's output.
const BUDGET: f64 = 0.01;

/// What plain int8 may not exceed, however little a model is like one that somebody would use.
const NEVER: f64 = 0.05;

/// Quantized in the usual way, with ranges from training data, a trained model gives the same answers on
/// digits that it has not seen.
fn is_as_good_on_digits<M: Forward<Output = Var> + Clone>(float: &M, floor: f64) {
    let (calibration, judged) = Inputs::Real.images();
    for activations in [Activations::Static, Activations::Dynamic] {
        let (int8, report) = quantized(float, &calibration, activations);
        assert!(report.skipped.is_empty(), "all weights are int8");
        let (a, b) = (output(float, &judged), output(&int8, &judged));
        let error = error(float, &int8, &judged);
        assert!(error > 0.0 && error < BUDGET, "{activations:?}: {error}");
        assert!(agreement(&a, &b) >= 0.99, "{activations:?}");
        let (before, after) = (accuracy(float), accuracy(&int8));
        assert!(before >= floor && after >= 0.99 * before, "{before} became {after}");
    }
}

#[test]
fn test_mlp_output_similarity() {
    is_as_good_on_digits(mlp(), 0.95);
}

#[test]
fn test_cnn_output_similarity() {
    is_as_good_on_digits(cnn(), 0.98);
}

#[test]
fn test_transformer_output_similarity() {
    is_as_good_on_digits(transformer(), 0.95);
}

#[test]
fn test_calibrated_vs_uncalibrated_accuracy() {
    let (calibration, judged) = Inputs::Real.images();
    for (float, preset) in [(mlp(), "mlp"), (cnn(), "cnn")] {
        let (calibrated, _) = quantized(float, &calibration, Activations::Static);
        let mut uncalibrated = float.clone();
        let config = plain(Activations::Static);
        let ranges = prepare_without_data(&uncalibrated, &calibration, &config, None).unwrap();
        apply(&mut uncalibrated, &ranges).unwrap();
        let with = error(float, &calibrated, &judged);
        let without = error(float, &uncalibrated, &judged);
        assert!(with < 0.8 * without, "{preset}: {with} with calibration, {without} without");
    }
}

/// The range of inputs 16 times as large as usual, and nothing else is different: only data tell it, and without
/// them a model reads digits that are cut off.
#[test]
fn test_calibration_keeps_the_accuracy_that_ranges_without_data_lose() {
    let (calibration, judged) = Inputs::Real.images();
    let [calibration, judged] =
        [calibration, judged].map(|images| Var::from(images.value().scale(16.0).unwrap()));
    let mut float = mlp().clone();
    for (name, param) in float.named_params_mut() {
        if name == "layers.0.weight" {
            let smaller = param.value().unwrap().scale(1.0 / 16.0).unwrap();
            *param.value_mut().unwrap() = smaller;
        }
    }
    let (calibrated, _) = quantized(&float, &calibration, Activations::Static);
    let mut uncalibrated = float.clone();
    let config = plain(Activations::Static);
    let ranges = prepare_without_data(&uncalibrated, &calibration, &config, None).unwrap();
    apply(&mut uncalibrated, &ranges).unwrap();
    let right = held_out().labels().to_vec::<i64>().unwrap();
    let accuracy = |model: &AnyModel| {
        let answers = output(model, &judged).argmax_last().unwrap().to_vec::<i64>().unwrap();
        answers.iter().zip(&right).filter(|(a, b)| a == b).count() as f64 / right.len() as f64
    };
    let [before, with, without] = [&float, &calibrated, &uncalibrated].map(accuracy);
    println!("{before} in float, {with} calibrated, {without} without data");
    assert!(before > 0.95 && with >= 0.99 * before, "{before} became {with}");
    assert!(without < with - 0.05, "{with} calibrated, {without} without data");
}

/// Ranges from other inputs than those that follow spoil a model: calibration is not decoration.
#[test]
fn test_stale_calibration_is_worse_than_fitting_calibration() {
    let (calibration, judged) = Inputs::Real.images();
    let faint = Var::from(calibration.value().scale(0.25).unwrap());
    let (fitting, _) = quantized(mlp(), &calibration, Activations::Static);
    let (stale, _) = quantized(mlp(), &faint, Activations::Static);
    let (fitting, stale) = (error(mlp(), &fitting, &judged), error(mlp(), &stale, &judged));
    assert!(stale > 10.0 * fitting, "{stale} with stale ranges, {fitting} with fitting ones");
}

/// Trained models are within the budget in plain int8: with ranges of each row on any inputs, with ranges from
/// calibration on inputs like those they learned from; and on any inputs as `quantize_within` stores them, which
/// begins with the latter.
#[test]
fn test_quantization_error_within_1_percent() {
    fn is_within<M: Forward<Output = Var> + Clone>(name: &str, float: &M) {
        for inputs in Inputs::ALL {
            let (calibration, judged) = inputs.images();
            let holds = |int8: &M, how: &str| {
                let error = error(float, int8, &judged);
                println!("{name}, {inputs:?}, {how}: {:.3} %", error * 100.0);
                assert!(error > 0.0 && error < BUDGET, "{name}, {inputs:?}, {how}: {error}");
            };
            holds(&quantized(float, &calibration, Activations::Dynamic).0, "dynamic");
            if inputs == Inputs::Real {
                holds(&quantized(float, &calibration, Activations::Static).0, "static");
            }
            let mut int8 = float.clone();
            let ladder = within_budget(&mut int8, &calibration);
            assert!(ladder.is_within, "{name}, {inputs:?}: {}", ladder.error);
            holds(&int8, "within the budget");
        }
    }
    is_within("transformer", transformer());
    is_within("mlp", mlp());
    is_within("cnn", cnn());
}

/// Plain int8 of weights drawn in two ways is off by no more than [`NEVER`]. They are harder than trained ones, since
/// every one is as large as it can be and no answer is far from the next: few are within a hundredth.
#[test]
fn test_random_weights_are_off_by_5_percent_at_most() {
    fn holds<M: Forward<Output = Var> + Clone>(name: &str, fresh: &M) {
        for weights in Weights::ALL {
            let float = weights.drawn(fresh);
            for inputs in Inputs::ALL {
                let (calibration, judged) = inputs.images();
                for activations in [Activations::Static, Activations::Dynamic] {
                    let (int8, _) = quantized(&float, &calibration, activations);
                    let error = error(&float, &int8, &judged);
                    let cell = format!("{name}, {weights:?}, {inputs:?}, {activations:?}");
                    println!("{cell}: {:.3} %", error * 100.0);
                    assert!(error > 0.0 && error < NEVER, "{cell}: {error}");
                }
            }
        }
    }
    holds("transformer", &RowTransformer::new(&mut Init::seed(3)).unwrap());
    holds("mlp", &untrained("digits-mlp", 3));
    holds("cnn", &untrained("digits-cnn", 3));
}

/// The audit reports an error that is beyond the budget, and no other.
#[test]
fn test_an_error_beyond_the_budget_is_reported() {
    let mut verdicts = Vec::new();
    let drawn = [untrained("digits-mlp", 3), untrained("digits-cnn", 3)];
    let drawn = drawn.each_ref().map(|fresh| Weights::He.drawn(fresh));
    for float in [mlp(), cnn()].into_iter().chain(&drawn) {
        for inputs in Inputs::ALL {
            let (calibration, judged) = inputs.images();
            let (int8, report) = quantized(float, &calibration, Activations::Dynamic);
            let error = error(float, &int8, &judged);
            let cell = Cell { float: float.clone(), int8, changed: report.changed };
            let passes = cell.passes(&judged);
            assert_eq!(passes, error <= BUDGET, "{inputs:?}: {error}");
            verdicts.push(passes);
        }
    }
    assert!(verdicts.contains(&true) && verdicts.contains(&false), "{verdicts:?}");
}

/// A model and what quantizing has made of it.
struct Cell {
    float: AnyModel,
    int8: AnyModel,
    changed: Vec<String>,
}

impl Cell {
    /// What the audit says of the error on these inputs.
    fn passes(self, judged: &Var) -> bool {
        let Cell { float, int8, changed } = self;
        let subject = subject("cell", float, int8, judged.value(), Activations::Dynamic, changed);
        let report = audit_model(&subject, &Budget::default(), &AuditOptions::default()).unwrap();
        let gate = report.gates.iter().find(|gate| gate.id == "output_error").unwrap();
        gate.result == Outcome::Pass
    }
}

/// One part of an input a million times larger or smaller than the rest of the batch does not disturb
/// the rest, and a whole batch of any magnitude is as accurate as one of usual magnitude.
#[test]
fn test_quantized_output_matches_float32() {
    let judged = Var::from(held_out().inputs());
    let (calibration, _) = Inputs::Real.images();
    let without_bias = |model: &AnyModel| {
        let mut model = model.clone();
        for (name, param) in model.named_params_mut() {
            if name.ends_with("bias") {
                param.value_mut().unwrap().as_mut_slice::<f32>().unwrap().fill(0.0);
            }
        }
        model
    };
    let float = without_bias(mlp());
    let (int8, _) = quantized(&float, &calibration, Activations::Dynamic);
    for magnitude in [1e-9, 1.0, 1e9] {
        let scaled = Var::from(judged.value().scale(magnitude).unwrap());
        let error = error(&float, &int8, &scaled);
        assert!(error > 0.0 && error < BUDGET, "inputs times {magnitude}: {error}");
    }
    let mut mixed = judged.value().clone();
    mixed.as_mut_slice::<f32>().unwrap()[..64].iter_mut().for_each(|v| *v *= 1e6);
    let (a, b) = (output(&int8, &judged), output(&int8, &mixed.into()));
    let rest = |t: &tinytorch::Tensor| t.slice(0, 1..360).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(rest(&a), rest(&b));

    for inputs in Inputs::ALL {
        let (calibration, judged) = inputs.images();
        for model in [mlp(), cnn()] {
            let (int8, _) = quantized(model, &calibration, Activations::Dynamic);
            assert!(error(model, &int8, &judged) < BUDGET, "{inputs:?}");
        }
        let (int8, _) = quantized(transformer(), &calibration, Activations::Dynamic);
        assert!(error(transformer(), &int8, &judged) < BUDGET, "{inputs:?}");
    }
}
