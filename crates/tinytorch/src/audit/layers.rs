//! Both models layer by layer, each int8 layer held against the float one, over all samples.

use super::distribution::Gathered;
use super::interval::FEWEST;
use super::rounding::{QRange, rounded, rounded_weight};
use super::spread::{Spread, squared_distance};
use super::{AuditOptions, Distribution, Subject};
use crate::Result;
use crate::autograd::{Observer, OpRun, Param, ParamId};
use crate::graph::{Compute, Exec};
use crate::int8::{Encoding, QWeight};
use crate::quant::Folded;
use crate::tensor::{Dtype, Shape, Tensor};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tinytorch_kernels::{Isa, Ran};

/// How many times what rounding explains a layer may add. A range that was calibrated on other samples
/// is wider than that of those it is held against: layers of `digits-cnn` add up to 1.33 times what
/// rounding explains, those of ResNet-20 1.45 times, layers with dynamic ranges 1.0 times.
const UNEXPLAINED: f64 = 2.0;

/// What a layer may add beyond that, as a fraction of what its outputs differ by: the rounding of the
/// sums, far below any rounding to 8 bits.
const NEGLIGIBLE: f64 = 1e-4;

/// The same as a fraction of its outputs' size, which is what floats are rounded by: some 100 units in the
/// last place.
const FLOAT_ROUNDING: f64 = 1e-5;

/// What a layer with a weight did on the held-out data.
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
    /// What rounding this layer's weight and input would add, with ranges made for these very inputs.
    pub expected_error: f64,
    /// How far the kernel's output is from the float op's on the values that the levels stand for.
    pub kernel_error: f64,
    /// Relative error of its output where it stands: what has gathered up to here.
    pub propagated_error: f64,
    /// Time of the float layer as it is deployed, on a batch of 32; the median of passes in turn, if they were timed.
    pub float_time: Option<Duration>,
    /// Time of the int8 layer, likewise.
    pub int8_time: Option<Duration>,
    /// How the float weight's values lie, with the batch norm that was folded in, and which int8 levels they became.
    pub weight: Distribution,
    /// How the float model's input of the layer lies; `None` for a look-up, which reads indices.
    pub activation: Option<Distribution>,
    fault: Option<String>,
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

    /// What the layer gets wrong beyond what rounding explains, in a sentence that names it. Nothing is said
    /// of fewer than 30 rows, or of rows that are all alike.
    pub fn fault(&self) -> Option<String> {
        self.fault.clone()
    }
}

/// The range of what each weighted op of the float model reads, in order, over all samples.
#[derive(Default)]
pub(super) struct RangePass {
    ranges: Vec<(f32, f32)>,
    next: usize,
}

impl RangePass {
    /// The next batch begins.
    pub(super) fn begin(&mut self) {
        self.next = 0;
    }

    pub(super) fn finish(self) -> Vec<(f32, f32)> {
        self.ranges
    }
}

impl Observer for RangePass {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        if run.weight.is_none() || run.inputs.len() < 2 {
            return Ok(());
        }
        if self.ranges.len() == self.next {
            self.ranges.push((f32::INFINITY, f32::NEG_INFINITY));
        }
        if reads_floats(&run) {
            let (low, high) = &mut self.ranges[self.next];
            for v in run.inputs[0].to_vec::<f32>()?.into_iter().filter(|v| v.is_finite()) {
                (*low, *high) = (low.min(v), high.max(v));
            }
        }
        self.next += 1;
        Ok(())
    }
}

/// Input and output of every weighted op of the float model, in order.
pub(super) struct FloatPass<'a> {
    names: &'a BTreeMap<ParamId, String>,
    /// Weights and biases with the batch norm that can be folded in.
    folded: &'a Folded,
    runs: VecDeque<FloatRun>,
}

pub(super) struct FloatRun {
    /// Its place among all of them.
    place: usize,
    name: String,
    op: Arc<dyn Compute>,
    input: Tensor,
    weight: Tensor,
    /// The weight with the batch norm that follows folded in.
    folded_weight: Option<Tensor>,
    /// What the norm leaves to each channel where the layer has no bias.
    folded_shift: Option<Box<[f32]>>,
    output: Tensor,
    /// The output after a batch norm that followed at once.
    normed: Option<Tensor>,
}

impl<'a> FloatPass<'a> {
    pub(super) fn new(names: &'a BTreeMap<ParamId, String>, folded: &'a Folded) -> FloatPass<'a> {
        FloatPass { names, folded, runs: VecDeque::new() }
    }

    pub(super) fn finish(self) -> VecDeque<FloatRun> {
        self.runs
    }
}

impl Observer for FloatPass<'_> {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let output = run.output.clone();
        if let Some(id) = run.weight
            && let [input, weight, ..] = run.inputs
        {
            self.runs.push_back(FloatRun {
                place: self.runs.len(),
                name: self.names.get(&id).cloned().unwrap_or_default(),
                op: run.op.clone(),
                input: (*input).clone(),
                weight: (*weight).clone(),
                folded_weight: self.folded.values.get(&id).cloned(),
                folded_shift: self.folded.shifts.get(&id).cloned(),
                output,
                normed: None,
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

/// Whether a weight is multiplied by floats. One row for all, as a BERT has for the kind of its sequences, is no
/// look-up, although it is read beside ids.
fn reads_floats(run: &OpRun<'_>) -> bool {
    !run.op.properties().looks_up && run.inputs[0].dtype() == Dtype::F32
}

/// What comparing all batches has shown.
#[derive(Default)]
pub(super) struct Comparison {
    layers: Vec<Sums>,
    /// Layers that ran in another place than in the float model.
    out_of_order: BTreeSet<String>,
}

impl Comparison {
    /// Every layer in the order in which they ran, and what ran out of order.
    pub(super) fn finish(self) -> (Vec<LayerEvidence>, Vec<String>) {
        let layers = self.layers.into_iter().map(Sums::finish).collect();
        (layers, self.out_of_order.into_iter().collect())
    }
}

/// Compares every weighted op of the int8 model with the float one in the same place, on one batch.
pub(super) struct Int8Pass<'a> {
    params: &'a BTreeMap<ParamId, (String, &'a Param)>,
    subject: &'a Subject,
    options: &'a AuditOptions,
    /// The range of what each weighted op of the float model reads, over all samples.
    ranges: &'a [(f32, f32)],
    float: VecDeque<FloatRun>,
    found: &'a mut Comparison,
    next: usize,
}

impl<'a> Int8Pass<'a> {
    pub(super) fn new(
        params: &'a BTreeMap<ParamId, (String, &'a Param)>,
        subject: &'a Subject,
        options: &'a AuditOptions,
        ranges: &'a [(f32, f32)],
        float: VecDeque<FloatRun>,
        found: &'a mut Comparison,
    ) -> Int8Pass<'a> {
        Int8Pass { params, subject, options, ranges, float, found, next: 0 }
    }

    pub(super) fn finish(self) {
        let left = self.float.iter().map(|run| format!("`{}` did not run", run.name));
        self.found.out_of_order.extend(left);
    }

    /// The float run of a layer: the next one, unless the order is another.
    fn float_run(&mut self, name: &str) -> Option<FloatRun> {
        let place = self.float.iter().position(|run| run.name == name);
        if place != Some(0) {
            let instead = self.float.front().map_or("nothing", |run| &run.name);
            let fault = format!("`{name}` ran where the float model runs `{instead}`");
            self.found.out_of_order.insert(fault);
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
        let floats = reads_floats(&run);
        let int8 = param.int8().map(|weight| &**weight);
        let input = param.int8().filter(|_| floats).map_or(Encoding::F32, |w| w.input());
        let range = self.ranges.get(float.place).copied();
        let place = self.next;
        self.next += 1;
        if self.found.layers.len() == place {
            let sums = Sums::new((name, *param), &run, &float, range)?;
            self.found.layers.push(sums);
        }
        let Some(sums) = self.found.layers.get_mut(place) else { return Ok(()) };
        let folded = float.folded_weight.is_some() && int8.is_some();
        let float_output = float.normed.as_ref().filter(|_| folded).unwrap_or(&float.output);
        let float_weight = float.folded_weight.as_ref().filter(|_| folded).unwrap_or(&float.weight);
        let is_image = float_weight.shape().rank() == 4;

        // What the layer gives, and what it should, on the input that the float model gave it.
        let mut inputs = run.inputs.to_vec();
        inputs[0] = &float.input;
        let own = run.op.forward(&inputs, &mut Exec::new(self.options.deployed))?;
        if let Some(int8) = int8 {
            let compute = |x: &Tensor, weight: &Tensor, others: &[Tensor]| {
                let inputs: Vec<&Tensor> = [x, weight].into_iter().chain(others).collect();
                float.op.forward(&inputs, &mut Exec::new(Isa::active()))
            };
            // Made for each batch, since those of all layers together are twice the float model.
            let stored = int8.dequantize()?;
            let levels = rounded(&float.input, input.into(), is_image)?;
            let bias = inputs.get(1).map(|bias| bias.to_vec::<f32>()).transpose()?;
            let offset = int8.offset(bias.as_deref());
            let offset = offset.map(|o| Tensor::from_vec(o.to_vec(), [o.len()])).transpose()?;
            let exact = compute(&levels, &stored, offset.as_slice())?;
            drop(stored);
            sums.kernel += squared_distance(&own, &exact)?;
            sums.exact.add(&exact)?;
            let levels = rounded(&float.input, QRange::at_best(input, range), is_image)?;
            let bits = self.subject.weight_bits(name, Some(int8))?;
            let nearest = rounded_weight(float_weight, int8.scales().granularity(), bits)?;
            let best = compute(&levels, &nearest, &[])?;
            drop(nearest);
            let clean = compute(&float.input, float_weight, &[])?;
            sums.expected += squared_distance(&best, &clean)?;
            sums.clean.add(&clean)?;
        }
        // What corrects means makes up for the layers before, too, and is judged by what it does to them.
        let own = match int8.filter(|_| self.subject.corrected.contains(name)) {
            Some(int8) => without_correction(&own, int8, float.folded_shift.as_deref(), is_image)?,
            None => own,
        };
        sums.own += squared_distance(&own, float_output)?;
        sums.propagated += squared_distance(run.output, float_output)?;
        sums.output.add(float_output)?;
        if let Some(activation) = &mut sums.activation {
            activation.add(&float.input.to_vec::<f32>()?);
        }
        Ok(())
    }
}

/// The output of a layer without what its weight adds to each channel beyond what a norm left there.
fn without_correction(
    output: &Tensor,
    int8: &QWeight,
    folded: Option<&[f32]>,
    is_image: bool,
) -> Result<Tensor> {
    let Some(shift) = int8.shift() else { return Ok(output.clone()) };
    let norm = |channel: usize| folded.map_or(0.0, |folded| folded[channel]);
    let added = shift.iter().enumerate().map(|(channel, shift)| shift - norm(channel)).collect();
    let sizes: &[usize] = if is_image { &[shift.len(), 1, 1] } else { &[shift.len()] };
    output.sub(&Tensor::from_vec(added, sizes)?)
}

/// What has been summed up of a layer, all distances as squares.
struct Sums {
    name: String,
    op: &'static str,
    looks_up: bool,
    kernel_ran: Ran,
    shape: Shape,
    stored_bytes: usize,
    weight: Distribution,
    activation: Option<Gathered>,
    own: f64,
    expected: f64,
    kernel: f64,
    propagated: f64,
    output: Spread,
    exact: Spread,
    clean: Spread,
}

impl Sums {
    fn new(
        (name, param): (&str, &Param),
        run: &OpRun<'_>,
        float: &FloatRun,
        range: Option<(f32, f32)>,
    ) -> Result<Sums> {
        let int8 = param.int8().map(|weight| &**weight);
        let float_weight =
            float.folded_weight.as_ref().filter(|_| int8.is_some()).unwrap_or(&float.weight);
        let (looks_up, floats) = (run.op.properties().looks_up, reads_floats(run));
        let input = param.int8().filter(|_| floats).map_or(Encoding::F32, |w| w.input());
        let float_bytes = param.shape().len() * size_of::<f32>();
        Ok(Sums {
            name: name.to_string(),
            op: run.op.name(),
            looks_up,
            kernel_ran: run.kernel,
            shape: param.shape(),
            stored_bytes: int8.map_or(float_bytes, QWeight::bytes),
            weight: Distribution::of_weight(float_weight, int8)?,
            activation: range.filter(|_| floats).map(|range| Gathered::new(range, input)),
            own: 0.0,
            expected: 0.0,
            kernel: 0.0,
            propagated: 0.0,
            output: Spread::default(),
            exact: Spread::default(),
            clean: Spread::default(),
        })
    }

    fn finish(self) -> LayerEvidence {
        let fault = self.fault();
        LayerEvidence {
            own_error: relative(self.own, &self.output),
            expected_error: relative(self.expected, &self.clean),
            kernel_error: relative(self.kernel, &self.exact),
            propagated_error: relative(self.propagated, &self.output),
            name: self.name,
            op: self.op,
            looks_up: self.looks_up,
            kernel: self.kernel_ran,
            float_bytes: self.shape.len() * size_of::<f32>(),
            shape: self.shape,
            stored_bytes: self.stored_bytes,
            float_time: None,
            int8_time: None,
            weight: self.weight,
            activation: self.activation.map(Gathered::finish),
            fault,
        }
    }

    /// Distances are held against what rounding explains and what the outputs differ by; where they do not
    /// differ, or hardly, by what floats are rounded by.
    fn fault(&self) -> Option<String> {
        if self.output.rows() < FEWEST || self.output.around_means() == 0.0 {
            return None;
        }
        let Sums { name, .. } = self;
        let percent = |squared: f64, of: &Spread| relative(squared, of) * 100.0;
        if beyond(self.kernel, 0.0, &self.exact) {
            return Some(format!(
                "the kernel of `{name}` is {:.2} % away from what its levels stand for",
                percent(self.kernel, &self.exact)
            ));
        }
        unexplained(self.own, self.expected, &self.output).then(|| {
            format!(
                "`{name}` adds {:.2} % of its own output, where rounding explains {:.2} %",
                percent(self.own, &self.output),
                percent(self.expected, &self.clean)
            )
        })
    }
}

/// Whether a layer adds more, squared, than rounding explains.
fn unexplained(own: f64, expected: f64, output: &Spread) -> bool {
    beyond(own, UNEXPLAINED * expected.sqrt(), output)
}

/// Whether a squared distance is more than what is explained and the rounding of floats; NaN is more than
/// anything.
fn beyond(squared: f64, explained: f64, of: &Spread) -> bool {
    let rounding = NEGLIGIBLE * of.around_means() + FLOAT_ROUNDING * of.size();
    let most = explained + rounding;
    squared.sqrt() > most || squared.is_nan() || most.is_nan()
}

/// A distance as a share of what the values differ by, or, where they do not differ, of their size.
fn relative(squared: f64, of: &Spread) -> f64 {
    let distance = squared.sqrt();
    match of.around_means() {
        _ if distance == 0.0 => 0.0,
        0.0 if of.size() > 0.0 => distance / of.size(),
        // Something where there should be nothing: all of it is wrong.
        0.0 => 1.0,
        spread => distance / spread,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_what_rounding_explains_is_the_limit() {
        let mut outputs = Spread::default();
        outputs.add(&Tensor::arange(64).unwrap().reshape([32, 2]).unwrap()).unwrap();
        let expected = 0.01 * outputs.around_means();
        let of = |times: f64| unexplained((times * expected).powi(2), expected.powi(2), &outputs);
        assert!(!of(1.0) && !of(2.0));
        // Rounding of the sums adds 1 % of what is explained here.
        assert!(of(2.03) && of(f64::NAN));
    }

    #[test]
    fn what_is_not_explained_at_all_may_be_the_rounding_of_floats() {
        let mut outputs = Spread::default();
        outputs.add(&Tensor::arange(64).unwrap().reshape([32, 2]).unwrap()).unwrap();
        // By hand: 341 for each of 64 values around two means, and 85,344 in all.
        let rounding = 1e-4 * (64.0 * 341f64).sqrt() + 1e-5 * 85_344f64.sqrt();
        assert!(!beyond((0.99 * rounding).powi(2), 0.0, &outputs));
        assert!(beyond((1.01 * rounding).powi(2), 0.0, &outputs));
    }
}
