//! What is digested of models that are changed: fine-tuned, trained with rounding, pruned, factored,
//! distilled, calibrated in other ways, brought within a budget.

use super::battery::Case;
use super::quantizing::{
    RARE_WAYS, climbed, converted, merged_ranges, prepared, quantized, quantized_without_data, way,
};
use super::support::{
    AnyModel, Steps, adapted, checkpoint, deployed, distill, eager, factored, merged, narrowed,
    pruned, reloaded, saved, stored, train, weights,
};
use super::values::Values;
use tinytorch::Tensor;

type AnyCase = Case<AnyModel, Tensor>;

fn steps(case: &AnyCase, model: &mut AnyModel, steps: Steps) {
    train(model, &case.training, &case.labels, case.batch, steps);
}

fn whole(case: &AnyCase, values: &mut Values, prefix: &str, model: &AnyModel) {
    values.digest(&format!("{prefix}/stored"), &stored(&**model));
    values.tensor(&format!("{prefix}/eager"), &eager(model, &case.judged[0]));
    let (outputs, _) = deployed(model, &case.judged[..1]);
    values.tensor(&format!("{prefix}/plan"), &outputs[0]);
}

/// The other optimizers, and a training's checkpoint.
pub(crate) fn trainings(case: &AnyCase, values: &mut Values) {
    for (name, way) in
        [("adamw-clipped", Steps::AdamWClipped), ("sgd-on-schedule", Steps::SgdOnSchedule)]
    {
        let mut model = case.model.clone();
        steps(case, &mut model, way);
        values.tensors(&format!("trained/{name}/weights"), &weights(&*model));
    }
    let bytes = checkpoint(&mut case.model.clone(), &case.training, &case.labels);
    values.bytes("trained/checkpoint", &bytes);
}

/// Training with the rounding in view, then int8.
pub(crate) fn qat(case: &AnyCase, values: &mut Values) {
    for name in ["static", "dynamic", "weight-only", "four-bits", "per-tensor"] {
        let calibration = [case.training.clone()];
        let Some(mut model) = prepared(&case.model, &calibration, &way(name)) else {
            values.put(&format!("qat/{name}"), "refused");
            continue;
        };
        let prefix = format!("qat/{name}");
        values.tensors(&format!("{prefix}/prepared"), &weights(&*model));
        steps(case, &mut model, Steps::Adam);
        values.tensors(&format!("{prefix}/trained"), &weights(&*model));
        values.tensor(&format!("{prefix}/rounded"), &eager(&model, &case.judged[0]));
        values.bytes(&format!("{prefix}/file"), &saved(&model, None).bytes);
        let (model, report) = converted(model);
        values.digest_of_lines(&format!("{prefix}/report"), &report);
        whole(case, values, &prefix, &model);
    }
}

/// Low-rank adapters beside int8 and beside float weights.
pub(crate) fn adapters(case: &AnyCase, values: &mut Values) {
    let calibration = [case.training.clone()];
    let (int8, _) = quantized(&case.model, &calibration, &case.suited).unwrap();
    for (name, model) in [("int8", int8), ("float", case.model.clone())] {
        let mut model = adapted(&model);
        steps(case, &mut model, Steps::Adam);
        let prefix = format!("adapters/{name}");
        values.bytes(&format!("{prefix}/file"), &saved(&model, None).bytes);
        whole(case, values, &prefix, &model);
        whole(case, values, &format!("{prefix}/reloaded"), &reloaded(&model));
        if name == "float" {
            whole(case, values, &format!("{prefix}/merged"), &merged(model));
        }
    }
}

/// Two factors for one weight.
pub(crate) fn low_rank(case: &AnyCase, values: &mut Values) {
    let (mut model, errors) = factored(&case.model);
    values.digest_of_lines("low-rank/errors", &errors);
    whole(case, values, "low-rank", &model);
    steps(case, &mut model, Steps::Adam);
    values.tensors("low-rank/trained", &weights(&*model));
    let calibration = [case.training.clone()];
    let (int8, _) = quantized(&model, &calibration, &case.suited).unwrap();
    whole(case, values, "low-rank/int8", &int8);
}

/// Weights set to 0 and kept there, and channels removed.
pub(crate) fn pruning(case: &AnyCase, values: &mut Values) {
    for (name, over_all) in [("layers", false), ("model", true)] {
        let (mut model, masks) = pruned(&case.model, over_all);
        values.tensors(&format!("pruned/{name}"), &weights(&*model));
        steps(case, &mut model, Steps::Masked(masks));
        values.tensors(&format!("pruned/{name}/trained"), &weights(&*model));
    }
    match narrowed(&case.model) {
        Some(model) => whole(case, values, "narrowed", &model),
        None => values.put("narrowed", "refused"),
    }
}

/// Learning from another model, which is the case's own.
pub(crate) fn distillation(case: &AnyCase, values: &mut Values, mut student: AnyModel) {
    distill(&mut student, &case.model, &case.training, &case.labels);
    values.tensors("distilled/weights", &weights(&*student));
}

/// Other settings, ranges from several calibrations and from none.
pub(crate) fn calibrations(case: &AnyCase, values: &mut Values) {
    for name in RARE_WAYS {
        case.int8(values, name, &way(name), false);
    }
    let merged = merged_ranges(&case.model, &[case.training.clone(), case.judged[1].clone()]);
    values.lines("ranges/merged", merged);
    match quantized_without_data(&case.model, &case.judged[0]) {
        Some((int8, ranges)) => {
            values.lines("ranges/without-data", ranges);
            whole(case, values, "int8/without-data", &int8);
        }
        None => values.put("int8/without-data", "refused"),
    }
}

/// Brought within several budgets.
pub(crate) fn budgets(case: &AnyCase, values: &mut Values, budgets: &[f64]) {
    let inputs = [case.training.clone(), case.judged[1].clone()];
    for budget in budgets {
        let climbed = climbed(&case.model, &inputs, *budget, &case.suited);
        let prefix = format!("within/{budget}");
        values.lines(&format!("{prefix}/raised"), climbed.raised);
        values.number(&format!("{prefix}/error"), climbed.error);
        whole(case, values, &prefix, &climbed.model);
    }
}
