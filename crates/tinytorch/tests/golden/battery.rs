//! What is digested of every model: weights, gradients, outputs, files, in float and in int8.

use super::quantizing::{QuantConfig, WAYS, quantized, report_lines, way};
use super::support::{
    Forward, Input, Kept, Steps, deployed, eager, gradients, random_labels, saved, stored, train,
    weights,
};
use super::values::Values;
use tinytorch::Tensor;
use tinytorch::autograd::Var;

/// A model and what it is fed.
pub(crate) struct Case<M, F> {
    pub(crate) model: M,
    /// The settings that suit it.
    pub(crate) suited: QuantConfig,
    /// Data to train on and to calibrate with.
    pub(crate) training: F,
    /// The answers to it.
    pub(crate) labels: Tensor,
    /// Samples of a training step.
    pub(crate) batch: usize,
    /// Inputs of two sizes, one of them odd.
    pub(crate) judged: [F; 2],
}

impl<M: Forward<F::Input, Output = Var> + Kept, F: Input> Case<M, F> {
    /// A case with random answers.
    pub(crate) fn new(
        model: M,
        suited: QuantConfig,
        training: F,
        batch: usize,
        judged: [F; 2],
    ) -> Case<M, F> {
        let labels = random_labels(&eager(&model, &training), 2);
        Case { model, suited, training, labels, batch, judged }
    }

    /// Digests the model as it is, trains it for a few steps, digests it again, and quantizes the trained
    /// one in every way.
    pub(crate) fn digest(&mut self, values: &mut Values) {
        values.tensors("built/weights", &weights(&self.model));
        let grads = gradients(&self.model, &self.training, &self.labels);
        values.tensors("built/gradients", &grads);
        train(&mut self.model, &self.training, &self.labels, self.batch, Steps::Adam);
        values.tensors("trained/weights", &weights(&self.model));
        self.digest_as_is(values);
    }

    /// Digests a model that was trained elsewhere.
    pub(crate) fn digest_as_is(&self, values: &mut Values) {
        values.digest("float/stored", &stored(&self.model));
        self.outputs(values, "float", &self.model, true);
        let file = saved(&self.model, None);
        values.bytes("float/file", &file.bytes);
        values.bytes("float/file/tensors", &joined(&file.tensors));
        self.int8(values, "suited", &self.suited, true);
        for name in WAYS {
            self.int8(values, name, &way(name), false);
        }
    }

    /// Quantizes in one way.
    pub(crate) fn int8(&self, values: &mut Values, name: &str, config: &QuantConfig, full: bool) {
        let calibration = [self.training.clone()];
        let Some((int8, report)) = quantized(&self.model, &calibration, config) else {
            values.put(&format!("int8/{name}"), "refused");
            return;
        };
        let prefix = format!("int8/{name}");
        values.digest(&format!("{prefix}/stored"), &stored(&int8));
        values.tensors(&format!("{prefix}/weights"), &weights(&int8));
        values.digest_of_lines(&format!("{prefix}/report"), &report_lines(&report));
        self.outputs(values, &prefix, &int8, full);
        if full {
            let file = saved(&int8, Some((config, &report)));
            values.bytes(&format!("{prefix}/file"), &file.bytes);
            values.bytes(&format!("{prefix}/file/tensors"), &joined(&file.tensors));
        }
    }

    /// Outputs for both inputs, op by op and deployed; with `full` the steps of the plan.
    pub(crate) fn outputs(&self, values: &mut Values, prefix: &str, model: &M, full: bool) {
        let (planned, steps) = deployed(model, &self.judged);
        for ((input, planned), which) in self.judged.iter().zip(planned).zip(["odd", "even"]) {
            values.tensor(&format!("{prefix}/eager/{which}"), &eager(model, input));
            values.tensor(&format!("{prefix}/plan/{which}"), &planned);
        }
        if full {
            values.lines(&format!("{prefix}/steps"), steps);
        }
    }
}

fn joined(tensors: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (what, data) in tensors {
        bytes.extend((what.len() as u64).to_le_bytes());
        bytes.extend(what.bytes());
        bytes.extend((data.len() as u64).to_le_bytes());
        bytes.extend(data);
    }
    bytes
}
