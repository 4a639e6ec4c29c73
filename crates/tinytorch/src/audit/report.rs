//! The stable form of an audit's result.

use super::{
    Advice, Changed, ClassReport, Confusion, Distribution, Evidence, Gate, LayerEvidence, Metric,
    Origins, Outcome, SampleErrors, Saturation, Subject, Task, date, wiring,
};
use crate::Result;
use crate::files::TensorFile;
use crate::quant::Tried;
use crate::tensor::Tensor;
use serde::Serialize;
use std::collections::BTreeSet;
use tinytorch_kernels::Isa;

/// The result of an audit, in the stable form of `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program and its version.
    pub tool: String,
    /// When it was made, in UTC: `2026-02-28T13:05:09Z`.
    pub date: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Where it ran.
    pub machine: Machine,
    /// One entry per model.
    pub models: Vec<ModelReport>,
}

impl Report {
    /// A report of this program on this machine.
    pub fn new(models: Vec<ModelReport>) -> Report {
        let tool = concat!("tinytorch ", env!("CARGO_PKG_VERSION")).to_string();
        let command = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        Report { tool, date: date::now(), command, machine: Machine::this(), models }
    }

    /// Whether every model passed.
    pub fn passed(&self) -> bool {
        self.models.iter().all(|model| model.verdict == Outcome::Pass)
    }
}

/// The machine that an audit ran on.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Operating system and processor architecture, such as `linux x86_64`.
    pub platform: String,
    /// The processor's own name, where the system tells.
    pub processor: Option<String>,
    /// Threads that work runs on.
    pub threads: usize,
    /// The instruction set that kernels used.
    pub isa: &'static str,
}

impl Machine {
    /// This machine.
    pub fn this() -> Machine {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name"));
        let processor = model.and_then(|line| line.split_once(':'));
        Machine {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor.map(|(_, name)| name.trim().to_string()),
            threads: rayon::current_num_threads(),
            isa: Isa::active().name(),
        }
    }
}

/// What an audit has found about one model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReport {
    /// The model's name.
    pub name: String,
    /// Its architecture and hyper-parameters.
    pub architecture: serde_json::Value,
    /// `pass` only if no gate reads `fail` or `unknown`.
    pub verdict: Outcome,
    /// Why nothing but the answers was judged; `null` where all that the models are made of was.
    pub answers_alone: Option<String>,
    /// The gates.
    pub gates: Vec<Gate>,
    /// What was judged and how.
    pub origins: Origins,
    /// Samples that the models were judged by.
    pub held_out_samples: usize,
    /// What the models are for.
    pub task: Task,
    /// How well the float model does on the held-out samples, in the task's measure.
    pub float_quality: f64,
    /// How well the int8 model does on them.
    pub int8_quality: f64,
    /// What shrinks, before and after.
    pub bytes: Vec<BytesPair>,
    /// Times of both models, one entry per batch size; empty if none were taken.
    pub latency: Vec<LatencyPairs>,
    /// Every class and group, where samples have some.
    pub classes: Vec<ClassReport>,
    /// The first samples that get other answers.
    pub changed: Vec<Changed>,
    /// Which classes became which others, those of most answers first.
    pub confusions: Vec<Confusion>,
    /// How far the outputs of single samples are off; `null` where they are no floats.
    pub sample_errors: Option<SampleErrors>,
    /// Which layers would help if they were raised, one after the other; empty unless precision is what is missing.
    pub advice: Vec<Advice>,
    /// The models that were judged in a search for this one, the fastest first; empty where none was searched for.
    pub tried: Vec<Tried>,
    /// Every layer with a weight, in the order in which they ran.
    pub layers: Vec<LayerReport>,
    /// How many activations lie outside of the ranges that calibration fixed, on the held-out samples and on
    /// brighter ones; empty where none is fixed.
    pub saturation: Vec<Saturation>,
}

impl ModelReport {
    /// A report of gates alone, of which nothing else is known: for whoever judges or shows gates of their own.
    pub fn of_gates(name: impl Into<String>, gates: Vec<Gate>) -> ModelReport {
        ModelReport {
            name: name.into(),
            architecture: serde_json::Value::Null,
            verdict: verdict_of(&gates),
            answers_alone: None,
            gates,
            origins: Origins::default(),
            held_out_samples: 0,
            task: Task::Classification,
            float_quality: f64::NAN,
            int8_quality: f64::NAN,
            bytes: Vec::new(),
            latency: Vec::new(),
            classes: Vec::new(),
            changed: Vec::new(),
            confusions: Vec::new(),
            sample_errors: None,
            advice: Vec::new(),
            tried: Vec::new(),
            layers: Vec::new(),
            saturation: Vec::new(),
        }
    }

    pub(super) fn new(
        subject: &Subject,
        evidence: &Evidence,
        judged: Judged,
        origins: Origins,
    ) -> Result<ModelReport> {
        let Judged { gates, latency, classes, changed, confusions, sample_errors } = judged;
        let verdict = verdict_of(&gates);
        let (task, targets) = (subject.task.clone(), subject.held_out.targets());
        let quality = |outputs: &[Tensor]| match targets {
            [] => Ok(f64::NAN),
            targets => task.score(outputs, targets),
        };
        let mut weights = BytesPair { what: "weights", float: 0, int8: 0 };
        let mut seen = BTreeSet::new();
        // A table that is also the output head runs twice and is stored once.
        for layer in evidence.layers.iter().filter(|layer| seen.insert(&layer.name)) {
            weights.float += layer.float_bytes;
            weights.int8 += layer.stored_bytes;
        }
        let file = BytesPair {
            what: "file",
            float: TensorFile::open(&evidence.files.float)?.file_bytes(),
            int8: TensorFile::open(&evidence.files.int8)?.file_bytes(),
        };
        Ok(ModelReport {
            name: subject.name.clone(),
            architecture: architecture(&subject.int8.description()?),
            verdict,
            answers_alone: None,
            gates,
            origins,
            held_out_samples: subject.held_out.len(),
            float_quality: quality(&evidence.float)?,
            int8_quality: quality(&evidence.int8)?,
            task: task.clone(),
            bytes: vec![weights, file],
            latency,
            classes,
            changed,
            confusions,
            sample_errors,
            advice: Vec::new(),
            tried: subject.tried.clone(),
            layers: layers(subject, evidence)?,
            saturation: evidence.saturation.clone(),
        })
    }
}

fn layers(subject: &Subject, evidence: &Evidence) -> Result<Vec<LayerReport>> {
    if evidence.layers.is_empty() {
        return Ok(Vec::new());
    }
    let mut wiring = wiring::of(subject)?;
    let after = |layer: &LayerEvidence| wiring.remove(&layer.name).into_iter().flatten().collect();
    let mut after = evidence.layers.iter().map(after).collect::<Vec<Vec<String>>>().into_iter();
    let layers = evidence.layers.iter();
    Ok(layers
        .map(|layer| LayerReport::new(layer, subject, after.next().unwrap_or_default()))
        .collect())
}

/// What gates add up to: what could not be measured or decided is no pass.
pub(super) fn verdict_of(gates: &[Gate]) -> Outcome {
    let sound = |gate: &Gate| matches!(gate.result, Outcome::Pass | Outcome::NotApplicable);
    if gates.iter().all(sound) { Outcome::Pass } else { Outcome::Fail }
}

/// A description, of whose long texts, such as a graph, the beginning is told.
fn architecture(description: &str) -> serde_json::Value {
    const LONG: usize = 256;
    let mut value: serde_json::Value = serde_json::from_str(description).unwrap_or_default();
    for field in value.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
        if let serde_json::Value::String(text) = field
            && let Some((end, _)) = text.char_indices().nth(LONG)
        {
            *text = format!("{}.. ({} bytes)", &text[..end], text.len());
        }
    }
    value
}

/// What the gates have found.
#[derive(Debug)]
pub struct Judged {
    /// Every gate, in the order of the report.
    pub gates: Vec<Gate>,
    /// The passes that were timed on the way.
    pub latency: Vec<LatencyPairs>,
    /// Every class and group.
    pub classes: Vec<ClassReport>,
    /// The first samples that get other answers.
    pub changed: Vec<Changed>,
    /// Which classes became which others.
    pub confusions: Vec<Confusion>,
    /// How far the outputs of single samples are off.
    pub sample_errors: Option<SampleErrors>,
}

/// How large something is in float and in int8.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BytesPair {
    /// What was measured: `weights`, `file`.
    pub what: &'static str,
    /// Bytes of the float model.
    pub float: usize,
    /// Bytes of the int8 model.
    pub int8: usize,
}

/// Times of passes of both models, taken in turn: entry `i` of both lists is a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyPairs {
    /// Samples per pass.
    pub batch: usize,
    /// Microseconds per pass of the float model.
    pub float_us: Vec<f64>,
    /// Microseconds per pass of the int8 model.
    pub int8_us: Vec<f64>,
}

/// What an audit has found about one layer, on a batch of held-out data.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Dotted name of its weight.
    pub name: String,
    /// The node of the user's own graph that it is, operator and name, where there is such a graph.
    pub node: Option<String>,
    /// The layers whose results it reads, whatever lies between, by their names.
    pub after: Vec<String>,
    /// The op that multiplied by the weight.
    pub op: &'static str,
    /// The kernel that ran.
    pub kernel: &'static str,
    /// Shape of the weight.
    pub shape: Vec<usize>,
    /// Bytes of the weight as floats.
    pub float_bytes: usize,
    /// Bytes of the weight as it is stored.
    pub int8_bytes: usize,
    /// Relative error that the layer adds, in percent of its output.
    pub own_error_percent: f64,
    /// Relative error that rounding explains, in percent.
    pub expected_error_percent: f64,
    /// Relative error that has gathered up to its output, in percent.
    pub propagated_error_percent: f64,
    /// Median time of the float layer as it is deployed, in microseconds for 32 samples; `null` if no time was taken.
    pub float_microseconds: Option<f64>,
    /// The same of the int8 layer, quantizing its input included.
    pub int8_microseconds: Option<f64>,
    /// The float weight's values, with the batch norm that was folded in, and the int8 levels they
    /// became.
    pub weight: Distribution,
    /// The float values that the layer reads; `null` for a look-up, which reads indices.
    pub activation: Option<Distribution>,
}

impl LayerReport {
    fn new(layer: &LayerEvidence, subject: &Subject, after: Vec<String>) -> LayerReport {
        LayerReport {
            name: layer.name.clone(),
            node: subject.float.node_of(&layer.name),
            after,
            op: layer.op,
            kernel: layer.kernel.name,
            shape: layer.shape.to_vec(),
            float_bytes: layer.float_bytes,
            int8_bytes: layer.stored_bytes,
            own_error_percent: layer.own_error * 100.0,
            expected_error_percent: layer.expected_error * 100.0,
            propagated_error_percent: layer.propagated_error * 100.0,
            float_microseconds: layer.float_time.map(|time| time.as_secs_f64() * 1e6),
            int8_microseconds: layer.int8_time.map(|time| time.as_secs_f64() * 1e6),
            weight: layer.weight.clone(),
            activation: layer.activation.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_no_pass() {
        let pass = Gate::at_most("a", 0.0, 1.0, "", String::new());
        let apart = Gate::not_applicable("b", String::new());
        let unknown = Gate::unknown("c", String::new());
        let fail = Gate::at_most("d", 2.0, 1.0, "", String::new());
        assert_eq!(verdict_of(&[pass.clone(), apart.clone()]), Outcome::Pass);
        assert_eq!(verdict_of(&[pass.clone(), unknown]), Outcome::Fail);
        assert_eq!(verdict_of(&[fail, pass, apart]), Outcome::Fail);
    }
}
