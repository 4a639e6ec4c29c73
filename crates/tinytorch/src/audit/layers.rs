//! Both models layer by layer, each int8 layer held against the float one.

use super::compare::exceeds;
use super::rounding::{rounded, rounded_at_best, rounded_weight};
use super::{AuditOptions, Distribution, Subject};
use crate::Result;
use crate::autograd::{Observer, OpRun, Param, ParamId};
use crate::graph::{Compute, Exec};
use crate::int8::Encoding;
use crate::quant::Folded;
use crate::quant::relative_error;
use crate::tensor::{Shape, Tensor};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tinytorch_kernels::{Isa, Ran};

/// How many times what rounding explains a layer may add. A range that was calibrated on many samples
/// is wider than that of the few it is held against: layers of `digits-cnn` add up to 1.33 times what
/// rounding explains, those of ResNet-20 1.45 times, layers with dynamic ranges 1.0 times.
const UNEXPLAINED: f64 = 2.0;

/// What a layer may add beyond that, as a fraction: the rounding of the sums, far below any rounding to
/// 8 bits.
const NEGLIGIBLE: f64 = 1e-4;

/// What a layer with a weight did on a batch of held-out data.
#[derive(Clone, Debug)]
pub struct LayerEvidence {
    /// Dotted name of the weight.
    pub name: String,
    /// The op that multiplied by it.
    pub op: &'static str,
    /// Whether the op takes rows of a table, which nothing multiplies.
    pub looks_up: bool,
    /// The kernel that ran.
    pub kernel: Ran,
    /// Shape of the weight.
    pub shape: Shape,
    /// Bytes of the weight as floats.
    pub float_bytes: usize,
    /// Bytes of the weight as it is stored.
    pub stored_bytes: usize,
    /// Relative error of its output on the float model's own input: what this layer adds.
    pub own_error: f64,
    /// What rounding this layer's weight and input would add, with ranges made for this very input.
    pub expected_error: f64,
    /// How far the kernel's output is from the float op's on the values that the levels stand for.
    pub kernel_error: f64,
    /// Relative error of its output where it stands: what has gathered up to here.
    pub propagated_error: f64,
    /// Time of the float layer.
    pub float_time: Duration,
    /// Time of the int8 layer.
    pub int8_time: Duration,
    /// How the float weight's values lie, with the batch norm that was folded in, and which int8 levels they became.
    pub weight: Distribution,
    /// How the float model's input of the layer lies; `None` for a look-up, which reads indices.
    pub activation: Option<Distribution>,
}

impl LayerEvidence {
    /// Whether a kernel multiplied int8 by int8.
    pub fn ran_in_int8(&self) -> bool {
        self.kernel.int8
    }

    /// Whether it takes rows of a table, which nothing multiplies.
    pub fn is_look_up(&self) -> bool {
        self.looks_up
    }

    /// What the layer gets wrong beyond what rounding explains, in a sentence that names it.
    pub fn fault(&self) -> Option<String> {
        let LayerEvidence { name, own_error, expected_error, kernel_error, .. } = self;
        let percent = |share: &f64| share * 100.0;
        if exceeds(*kernel_error, NEGLIGIBLE) {
            return Some(format!(
                "the kernel of `{name}` is {:.2} % away from what its levels stand for",
                percent(kernel_error)
            ));
        }
        exceeds(*own_error, UNEXPLAINED * expected_error + NEGLIGIBLE).then(|| {
            format!(
                "`{name}` adds {:.2} % of its own output, where rounding explains {:.2} %",
                percent(own_error),
                percent(expected_error)
            )
        })
    }
}

/// Input and output of every weighted op of the float model, in order.
pub(super) struct FloatPass<'a> {
    names: BTreeMap<ParamId, String>,
    /// Weights and biases with the batch norm that can be folded in.
    folded: &'a Folded,
    runs: VecDeque<FloatRun>,
}

struct FloatRun {
    name: String,
    op: Arc<dyn Compute>,
    input: Tensor,
    weight: Tensor,
    /// The weight with the batch norm that follows folded in.
    folded_weight: Option<Tensor>,
    output: Tensor,
    /// The output after a batch norm that followed at once.
    normed: Option<Tensor>,
    elapsed: Duration,
}

impl<'a> FloatPass<'a> {
    pub(super) fn new(names: BTreeMap<ParamId, String>, folded: &'a Folded) -> FloatPass<'a> {
        FloatPass { names, folded, runs: VecDeque::new() }
    }
}

impl Observer for FloatPass<'_> {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let (output, elapsed) = (run.output.clone(), run.elapsed);
        if let Some(id) = run.weight
            && let [input, weight, ..] = run.inputs
        {
            self.runs.push_back(FloatRun {
                name: self.names.get(&id).cloned().unwrap_or_default(),
                op: run.op.clone(),
                input: (*input).clone(),
                weight: (*weight).clone(),
                folded_weight: self.folded.values.get(&id).cloned(),
                output,
                normed: None,
                elapsed,
            });
        } else if let Some(last) = self.runs.back_mut()
            && run.inputs[0].shares_storage(&last.output)
            && run.op.properties().normalizes_channels
        {
            last.normed = Some(output);
        }
        Ok(())
    }
}

/// Compares every weighted op of the int8 model with the float one in the same place.
pub(super) struct Int8Pass<'a> {
    params: &'a BTreeMap<ParamId, (String, &'a Param)>,
    subject: &'a Subject,
    options: &'a AuditOptions,
    float: VecDeque<FloatRun>,
    found: Comparison,
}

/// What comparing two passes has shown.
#[derive(Default)]
pub(super) struct Comparison {
    pub(super) layers: Vec<LayerEvidence>,
    /// Layers that ran in another place than in the float model.
    pub(super) out_of_order: Vec<String>,
}

impl<'a> Int8Pass<'a> {
    pub(super) fn new(
        params: &'a BTreeMap<ParamId, (String, &'a Param)>,
        subject: &'a Subject,
        options: &'a AuditOptions,
        float: FloatPass<'_>,
    ) -> Int8Pass<'a> {
        let found = Comparison::default();
        Int8Pass { params, subject, options, float: float.runs, found }
    }

    pub(super) fn finish(mut self) -> Comparison {
        let left = self.float.iter().map(|run| format!("`{}` did not run", run.name));
        self.found.out_of_order.extend(left);
        self.found
    }

    /// The float run of a layer: the next one, unless the order is another.
    fn float_run(&mut self, name: &str) -> Option<FloatRun> {
        let place = self.float.iter().position(|run| run.name == name);
        if place != Some(0) {
            let instead = self.float.front().map_or("nothing", |run| &run.name);
            let fault = format!("`{name}` ran where the float model runs `{instead}`");
            self.found.out_of_order.push(fault);
        }
        self.float.remove(place?)
    }
}

impl Observer for Int8Pass<'_> {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let Some((name, param)) = run.weight.and_then(|id| self.params.get(&id)) else {
            return Ok(());
        };
        let Some(float) = self.float_run(name) else { return Ok(()) };
        let bias = name.strip_suffix("weight").map(|layer| format!("{layer}bias"));
        let folded = bias.is_some_and(|bias| self.subject.changed.contains(&bias))
            || param.int8().is_some_and(|weight| weight.shift().is_some());
        let (normed, folded_weight) =
            if folded { (float.normed, float.folded_weight) } else { (None, None) };
        let float_output = normed.unwrap_or(float.output);
        let float_weight = folded_weight.unwrap_or(float.weight);
        let is_look_up = run.op.properties().looks_up;
        let input = param.int8().filter(|_| !is_look_up).map_or(Encoding::F32, |w| w.input());
        let is_image = float_weight.shape().rank() == 4;

        // What the layer gives, and what it should, on the input that the float model gave it.
        let mut inputs = run.inputs.to_vec();
        inputs[0] = &float.input;
        let own = run.op.forward(&inputs, &mut Exec::new(self.options.deployed))?;
        let (mut kernel_error, mut expected_error) = (0.0, 0.0);
        if let Some(int8) = param.int8() {
            let compute = |x: &Tensor, weight: &Tensor, others: &[Tensor]| {
                let inputs: Vec<&Tensor> = [x, weight].into_iter().chain(others).collect();
                float.op.forward(&inputs, &mut Exec::new(Isa::active()))
            };
            let levels = rounded(&float.input, input, is_image)?;
            let bias = inputs.get(1).map(|bias| bias.to_vec::<f32>()).transpose()?;
            let offset = int8.offset(bias.as_deref());
            let offset = offset.map(|o| Tensor::from_vec(o.to_vec(), [o.len()])).transpose()?;
            let exact = compute(&levels, &int8.dequantize()?, offset.as_slice())?;
            kernel_error = relative_error(&own, &exact)?;
            let bits = self.subject.config.scheme_of(name).weight_bits();
            let levels = rounded_at_best(&float.input, input, is_image)?;
            let weight = rounded_weight(&float_weight, int8.scales().granularity(), bits)?;
            let best = compute(&levels, &weight, &[])?;
            expected_error = relative_error(&best, &compute(&float.input, &float_weight, &[])?)?;
        }
        let float_bytes = param.shape().len() * size_of::<f32>();
        let stored_bytes = param.int8().map_or(float_bytes, |weight| weight.bytes());
        let activation =
            (!is_look_up).then(|| Distribution::of_activation(&float.input, input)).transpose()?;
        self.found.layers.push(LayerEvidence {
            name: name.clone(),
            op: run.op.name(),
            looks_up: is_look_up,
            kernel: run.kernel,
            shape: param.shape(),
            float_bytes,
            stored_bytes,
            own_error: relative_error(&own, &float_output)?,
            expected_error,
            kernel_error,
            propagated_error: relative_error(run.output, &float_output)?,
            float_time: float.elapsed,
            int8_time: run.elapsed,
            weight: Distribution::of_weight(&float_weight, param.int8().map(|w| &**w))?,
            activation,
        });
        Ok(())
    }
}
