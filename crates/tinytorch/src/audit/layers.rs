use super::Distribution;
use super::compare::relative_error;
use crate::Result;
use crate::autograd::{Observer, OpRun, Param, ParamId};
use crate::graph::Exec;
use crate::int8::Input;
use crate::tensor::{Dtype, Shape, Tensor};
use std::collections::BTreeMap;
use std::time::Duration;
use tinytorch_kernels::Isa;

/// What a layer with a weight did on a batch of held-out data.
#[derive(Clone, Debug)]
pub struct LayerEvidence {
    /// Dotted name of the weight.
    pub name: String,
    /// The op that multiplied by it.
    pub op: &'static str,
    /// The kernel that ran.
    pub kernel: &'static str,
    /// Shape of the weight.
    pub shape: Shape,
    /// Bytes of the weight as floats.
    pub float_bytes: usize,
    /// Bytes of the weight as it is stored.
    pub stored_bytes: usize,
    /// Relative error of its output on the float model's own input: what this layer adds.
    pub own_error: f64,
    /// Relative error of its output where it stands: what has gathered up to here.
    pub propagated_error: f64,
    /// Time of the float layer.
    pub float_time: Duration,
    /// Time of the int8 layer.
    pub int8_time: Duration,
    /// The instruction sets whose integer results differ from the others', if any.
    pub disagreeing: Vec<&'static str>,
    /// How the float weight's values lie, with the batch norm that was folded in, and which int8 levels they became.
    pub weight: Distribution,
    /// How the float model's input of the layer lies; `None` for a look-up, which reads indices.
    pub activation: Option<Distribution>,
}

impl LayerEvidence {
    /// Whether a kernel multiplied int8 by int8.
    pub fn ran_in_int8(&self) -> bool {
        is_int8_kernel(self.kernel)
    }
}

/// Kernels that multiply 8-bit integers carry it in their name, such as `gemm_int8_avx2`.
fn is_int8_kernel(kernel: &str) -> bool {
    kernel.contains("_int8_")
}

/// Input and output of every weighted op of the float model, in order.
pub(super) struct FloatPass {
    /// Weights and biases with the batch norm that can be folded in.
    folded: BTreeMap<ParamId, Tensor>,
    runs: Vec<FloatRun>,
}

struct FloatRun {
    input: Tensor,
    weight: Tensor,
    /// The weight with the batch norm that follows folded in.
    folded_weight: Option<Tensor>,
    output: Tensor,
    /// The output after a batch norm that followed at once.
    normed: Option<Tensor>,
    elapsed: Duration,
}

impl FloatPass {
    pub(super) fn new(folded: BTreeMap<ParamId, Tensor>) -> FloatPass {
        FloatPass { folded, runs: Vec::new() }
    }
}

impl Observer for FloatPass {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let (output, elapsed) = (run.output.clone(), run.elapsed);
        if let Some(id) = run.weight
            && let [input, weight, ..] = run.inputs
        {
            let (input, weight) = ((*input).clone(), (*weight).clone());
            let folded_weight = self.folded.get(&id).cloned();
            let run = FloatRun { input, weight, folded_weight, output, normed: None, elapsed };
            self.runs.push(run);
        } else if let Some(last) = self.runs.last_mut()
            && run.inputs[0].shares_storage(&last.output)
            && run.op.name() == "batch_norm2d"
        {
            last.normed = Some(output);
        }
        Ok(())
    }
}

/// Compares every weighted op of the int8 model with the float one in the same place.
pub(super) struct Int8Pass<'a> {
    params: &'a BTreeMap<ParamId, (String, &'a Param)>,
    /// Parameters that took in a batch norm.
    changed: &'a [String],
    float: std::vec::IntoIter<FloatRun>,
    layers: Vec<LayerEvidence>,
}

impl<'a> Int8Pass<'a> {
    pub(super) fn new(
        params: &'a BTreeMap<ParamId, (String, &'a Param)>,
        changed: &'a [String],
        float: FloatPass,
    ) -> Int8Pass<'a> {
        Int8Pass { params, changed, float: float.runs.into_iter(), layers: Vec::new() }
    }

    pub(super) fn into_layers(self) -> Vec<LayerEvidence> {
        self.layers
    }
}

impl Observer for Int8Pass<'_> {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let known = run.weight.and_then(|id| self.params.get(&id));
        let (Some((name, param)), Some(float)) =
            (known, run.weight.and_then(|_| self.float.next()))
        else {
            return Ok(());
        };
        let bias = name.strip_suffix("weight").map(|layer| format!("{layer}bias"));
        let folded = bias.is_some_and(|bias| self.changed.contains(&bias))
            || param.int8().is_some_and(|weight| weight.shift().is_some());
        let (normed, folded_weight) =
            if folded { (float.normed, float.folded_weight) } else { (None, None) };
        let float_output = normed.unwrap_or(float.output);
        let float_weight = folded_weight.unwrap_or(float.weight);
        let mut inputs = run.inputs.to_vec();
        inputs[0] = &float.input;
        let own = run.op.forward(&inputs, &mut Exec::new(Isa::active()))?;
        let float_bytes = param.shape().len() * size_of::<f32>();
        let stored_bytes = param.int8().map_or(float_bytes, |weight| weight.bytes());
        let disagreeing =
            if is_int8_kernel(run.kernel) { disagreeing_isas(&run)? } else { Vec::new() };
        let input = param.int8().map_or(Input::Float, |weight| weight.input());
        let is_float = float.input.dtype() == Dtype::F32;
        let activation = is_float.then(|| Distribution::of_activation(&float.input, input));
        self.layers.push(LayerEvidence {
            name: name.clone(),
            op: run.op.name(),
            kernel: run.kernel,
            shape: param.shape(),
            float_bytes,
            stored_bytes,
            own_error: relative_error(&own, &float_output)?,
            propagated_error: relative_error(run.output, &float_output)?,
            float_time: float.elapsed,
            int8_time: run.elapsed,
            disagreeing,
            weight: Distribution::of_weight(&float_weight, param.int8().map(|w| &**w))?,
            activation: activation.transpose()?,
        });
        Ok(())
    }
}

/// The instruction sets on which the op gives other bits than scalar code.
fn disagreeing_isas(run: &OpRun<'_>) -> Result<Vec<&'static str>> {
    let bits = |isa: Isa| -> Result<Vec<u32>> {
        let output = run.op.forward(run.inputs, &mut Exec::new(isa))?;
        Ok(output.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect())
    };
    let reference = bits(Isa::Scalar)?;
    let mut disagreeing = Vec::new();
    for isa in Isa::available() {
        if bits(isa)? != reference {
            disagreeing.push(isa.name());
        }
    }
    Ok(disagreeing)
}
