use super::{Gate, LayerEvidence, Outcome};
use serde::Serialize;
use tinytorch_kernels::Isa;

/// The result of an audit, in the stable form of `report.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program and its version.
    pub tool: String,
    /// Where it ran.
    pub machine: Machine,
    /// One entry per model.
    pub models: Vec<ModelReport>,
}

impl Report {
    /// A report of this program on this machine.
    pub fn new(models: Vec<ModelReport>) -> Report {
        let tool = concat!("tinytorch ", env!("CARGO_PKG_VERSION")).to_string();
        Report { tool, machine: Machine::this(), models }
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
    /// The gates.
    pub gates: Vec<Gate>,
    /// Every layer with a weight, in the order in which they ran.
    pub layers: Vec<LayerReport>,
}

impl ModelReport {
    pub(super) fn new(
        name: String,
        architecture: serde_json::Value,
        gates: Vec<Gate>,
        layers: &[LayerEvidence],
    ) -> ModelReport {
        let sound = |gate: &Gate| matches!(gate.result, Outcome::Pass | Outcome::NotApplicable);
        let verdict = if gates.iter().all(sound) { Outcome::Pass } else { Outcome::Fail };
        let layers = layers.iter().map(LayerReport::new).collect();
        ModelReport { name, architecture, verdict, gates, layers }
    }
}

/// What an audit has found about one layer, on a batch of held-out data.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Dotted name of its weight.
    pub name: String,
    /// The op that multiplied by the weight.
    pub op: &'static str,
    /// The kernel that ran.
    pub kernel: &'static str,
    /// Bytes of the weight as floats.
    pub float_bytes: usize,
    /// Bytes of the weight as it is stored.
    pub int8_bytes: usize,
    /// Relative error that the layer adds, in percent of its output.
    pub own_error_percent: f64,
    /// Relative error that has gathered up to its output, in percent.
    pub propagated_error_percent: f64,
    /// Time of the float layer, in microseconds.
    pub float_microseconds: f64,
    /// Time of the int8 layer, in microseconds.
    pub int8_microseconds: f64,
}

impl LayerReport {
    fn new(layer: &LayerEvidence) -> LayerReport {
        LayerReport {
            name: layer.name.clone(),
            op: layer.op,
            kernel: layer.kernel,
            float_bytes: layer.float_bytes,
            int8_bytes: layer.stored_bytes,
            own_error_percent: layer.own_error * 100.0,
            propagated_error_percent: layer.propagated_error * 100.0,
            float_microseconds: layer.float_time.as_secs_f64() * 1e6,
            int8_microseconds: layer.int8_time.as_secs_f64() * 1e6,
        }
    }
}
