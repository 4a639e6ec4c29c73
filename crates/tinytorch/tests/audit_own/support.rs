//! A model of a program's own, and the ways to quantize and judge it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tinytorch::audit::{
    AuditOptions, Budget, HeldOut, ModelReport, Outcome, Probe, Subject, audit_model,
};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{DataLoader, TensorDataset};
use tinytorch::models::{ListModel, Model, Rebuild, Sample};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::optim::Adam;
use tinytorch::quant::{Activations, QuantConfig, QuantReport, Scheme, quantize_model};
use tinytorch::tensor::Shape;
use tinytorch::train::{Classification, Trainer};
use tinytorch::{Result, Rng, Tensor};

/// One test at a time: audits read the whole process's heap.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has left nothing behind.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A struct that tinytorch does not know.
#[derive(Module, Clone)]
pub(crate) struct Net {
    pub(crate) hidden: Linear,
    pub(crate) head: Linear,
}

pub(crate) const INPUTS: usize = 64;
/// Wide enough that what a process holds for each weight beside its values hardly counts.
pub(crate) const WIDTH: usize = 1024;
pub(crate) const OUTPUTS: usize = 4;

impl Forward for Net {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let hidden = self.hidden.forward(x, ctx)?.relu(ctx)?;
        self.head.forward(&hidden, ctx)
    }
}

impl Rebuild for Net {
    type Input = Var;
    type Config = ();
    const NAME: &'static str = "net";

    fn config(&self) {}

    fn build(_: &(), init: &mut Init) -> Result<Net> {
        Ok(Net {
            hidden: Linear::new(INPUTS, WIDTH, init)?,
            head: Linear::new(WIDTH, OUTPUTS, init)?,
        })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[INPUTS])?)])
    }
}

pub(crate) fn dynamic() -> QuantConfig {
    let scheme = Scheme::default().with_activations(Activations::Dynamic);
    QuantConfig { scheme, destroys_floats_knowingly: true, ..QuantConfig::default() }
}

pub(crate) fn randn(dims: &[usize], seed: u64) -> Tensor {
    Tensor::randn(dims, 1.0, &mut Rng::seed(seed)).unwrap()
}

pub(crate) fn outputs(model: &dyn Model, inputs: &[Tensor]) -> Tensor {
    let inputs: Vec<Var> = inputs.iter().map(Var::from).collect();
    model.forward_list(&inputs, &mut Ctx::eval()).unwrap().remove(0).into_value()
}

pub(crate) fn int8_of<M: Rebuild>(
    float: &M,
    example: &[Tensor],
    config: &QuantConfig,
) -> (M, QuantReport) {
    let mut int8 = float.clone();
    let example: Vec<Var> = example.iter().map(Var::from).collect();
    let model: &mut dyn ListModel = &mut int8;
    let report = quantize_model(model, [Ok(example)], config).unwrap();
    (int8, report)
}

/// The int8 form of `float`, judged on these inputs and targets.
pub(crate) fn subject<M: Rebuild>(float: &M, inputs: &[Tensor], target: Tensor) -> (Subject, M) {
    let (int8, report) = int8_of(float, inputs, &dynamic());
    let held_out = HeldOut::new(inputs.to_vec(), [target]).unwrap();
    let subject = Subject::new(M::NAME, float, &int8, held_out).unwrap();
    (subject.quantized_by(&dynamic(), &report), int8)
}

/// Five percent: 8 bits of small untrained layers.
pub(crate) fn judge(subject: &Subject, options: &AuditOptions) -> ModelReport {
    let budget = Budget { max_error: 0.05, ..Budget::default() };
    audit_model(subject, &budget, options).unwrap()
}

#[track_caller]
pub(crate) fn assert_passed(report: &ModelReport, not_applicable: &[&str]) {
    for gate in &report.gates {
        let expected = match not_applicable.contains(&gate.id) {
            true => Outcome::NotApplicable,
            false => Outcome::Pass,
        };
        assert_eq!(gate.result, expected, "{}: {}", gate.id, gate.reason);
    }
    assert_eq!(report.verdict, Outcome::Pass);
}

#[track_caller]
pub(crate) fn assert_failed(report: &ModelReport, gate: &str, part: &str) {
    let gate = report.gates.iter().find(|g| g.id == gate).unwrap();
    assert_eq!(gate.result, Outcome::Fail, "{}: {}", gate.id, gate.reason);
    assert!(gate.reason.contains(part), "{}: {}", gate.id, gate.reason);
    assert_eq!(report.verdict, Outcome::Fail);
}

/// This binary, started to run only the test `answer_a_probe`.
pub(crate) fn probe() -> Probe {
    let args = ["--exact", "answer_a_probe", "--ignored", "--nocapture", "--test-threads=1"];
    // Nothing here is about how long it takes, also where numeric code is not optimized.
    let limit = Duration::from_secs(900);
    Probe { limit, ..Probe::new(std::env::current_exe().unwrap(), args.map(String::from)) }
}

/// Gates that are left out without a probe and with dynamic activations.
pub(crate) const WITHOUT: [&str; 4] = ["unseen", "process_memory", "no_f32_copy", "calibration"];

/// Gates that are left out besides where outputs choose no class.
pub(crate) const WITHOUT_CLASSES: [&str; 6] =
    ["unseen", "process_memory", "no_f32_copy", "calibration", "agreement", "classes"];

/// Four clouds of points, one for each class.
pub(crate) fn clouds(samples: usize, seed: u64) -> (Tensor, Tensor) {
    let noise = randn(&[samples, INPUTS], seed).to_vec::<f32>().unwrap();
    let at = |i: usize| {
        let (sample, column) = (i / INPUTS, i % INPUTS);
        if column % OUTPUTS == sample % OUTPUTS { 1.5 } else { -0.5 }
    };
    let values = noise.iter().enumerate().map(|(i, v)| 0.4 * v + at(i)).collect::<Vec<f32>>();
    let labels = (0..samples).map(|sample| (sample % OUTPUTS) as i64).collect();
    (
        Tensor::from_vec(values, [samples, INPUTS]).unwrap(),
        Tensor::from_vec(labels, [samples]).unwrap(),
    )
}

pub(crate) fn train(model: &mut Net, (inputs, labels): (Tensor, Tensor), epochs: u64) {
    let data = TensorDataset::new([inputs, labels]).unwrap();
    let loader = DataLoader::new(data, 32).unwrap().shuffle(true).seed(1);
    let mut trainer = Trainer::new(Classification, Adam::new(3e-3)).seed(1);
    trainer.fit(model, &loader, None, epochs).unwrap();
}

pub(crate) fn trained() -> Net {
    let mut net = Net::build(&(), &mut Init::seed(1)).unwrap();
    train(&mut net, clouds(256, 2), 4);
    net
}
