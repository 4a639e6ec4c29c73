//! An int8 model computes what its float model computes.

use super::support::{
    AnyModel, Inputs, RowTransformer, Weights, accuracy, agreement, cnn, error, held_out, mlp,
    output, plain, quantized, subject, transformer, untrained,
};
use tinytorch::audit::{AuditOptions, Budget, Outcome, audit_model};
use tinytorch::autograd::Var;
use tinytorch::nn::{Forward, Init};
use tinytorch::quant::{Activations, apply, prepare_without_data};

/// The largest error of a trained model's output.
const BUDGET: f64 = 0.01;

/// What no model may exceed, however little it is like one that somebody would use.
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

/// Three models, with weights drawn in two ways and trained, on three kinds of inputs, in plain int8:
/// a scale per output channel, and 8 bits over each row's own range. Random models are harder than
/// trained ones, since every weight is as large as it can be and no answer is far from the next.
#[test]
fn test_quantization_error_within_1_percent() {
    fn cells<M: Forward<Output = Var> + Clone>(name: &str, trained: &M, fresh: M) -> Vec<Cell<M>> {
        let drawn = |weights: Weights| {
            let mut model = fresh.clone();
            weights.draw(&mut model, 101);
            model
        };
        let (xavier, he) = (drawn(Weights::Xavier), drawn(Weights::He));
        let mut cells = Vec::new();
        for (weights, model) in [("trained", trained), ("Xavier", &xavier), ("He", &he)] {
            for inputs in Inputs::ALL {
                let (calibration, judged) = inputs.images();
                let (int8, report) = quantized(model, &calibration, Activations::Dynamic);
                let error = error(model, &int8, &judged);
                let cell = format!("{name}, {weights}, {inputs:?}");
                println!("{cell}: {:.3} %", error * 100.0);
                let limit = if weights == "trained" { BUDGET } else { NEVER };
                assert!(error > 0.0 && error < limit, "{cell}: {error}");
                cells.push(Cell {
                    name: cell,
                    error,
                    float: model.clone(),
                    int8,
                    changed: report.changed,
                });
            }
        }
        cells
    }
    cells("transformer", transformer(), RowTransformer::new(&mut Init::seed(3)).unwrap());
    let mlps = cells("mlp", mlp(), untrained("digits-mlp", 3));
    let cnns = cells("cnn", cnn(), untrained("digits-cnn", 3));

    // The audit reports what is over the budget, and nothing else.
    for (index, cell) in mlps.into_iter().chain(cnns).enumerate() {
        let (_, judged) = Inputs::ALL[index % 3].images();
        let (name, error) = (cell.name.clone(), cell.error);
        assert_eq!(cell.passes(&judged), error <= BUDGET, "{name}: {error}");
    }
}

/// A model, its weights and its inputs, and what quantizing has made of them.
struct Cell<M> {
    name: String,
    error: f64,
    float: M,
    int8: M,
    changed: Vec<String>,
}

impl Cell<AnyModel> {
    /// What the audit says of the error on these inputs.
    fn passes(self, judged: &Var) -> bool {
        let Cell { name, float, int8, changed, .. } = self;
        let subject = subject(&name, float, int8, judged.value(), Activations::Dynamic, changed);
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
