//! Audits of a program's own models: of every kind of task, of two inputs, after a fine-tuning in int8,
//! and with probes that do not answer. Each sound model passes every gate, and a planted fault fails the
//! right one.

use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tinytorch::audit::{
    AuditOptions, Budget, Direction, HeldOut, Metric, ModelFiles, ModelReport, Outcome, Probe,
    Subject, Task, audit_model, changed_params,
};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{DataLoader, TensorDataset};
use tinytorch::files::{Provenance, digest_params, save_model};
use tinytorch::fit::lora::{self as adapters, AdapterConfig};
use tinytorch::models::{
    Cnn, CnnBlock, CnnConfig, ImageText, ImageTextConfig, Kinds, ListModel, Model, Rebuild, Sample,
};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::optim::Adam;
use tinytorch::quant::{
    Activations, QuantConfig, QuantRecord, QuantReport, Scheme, quantize_model,
};
use tinytorch::tensor::Shape;
use tinytorch::train::{Classification, Trainer};
use tinytorch::{CountingAllocator, Result, Rng, Tensor};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// One test at a time: audits read the whole process's heap.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has left nothing behind.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A struct that tinytorch does not know.
#[derive(Module, Clone)]
struct Net {
    hidden: Linear,
    head: Linear,
}

const INPUTS: usize = 64;
/// Wide enough that what a process holds for each weight beside its values hardly counts.
const WIDTH: usize = 1024;
const OUTPUTS: usize = 4;

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

fn dynamic() -> QuantConfig {
    let scheme = Scheme::default().with_activations(Activations::Dynamic);
    QuantConfig { scheme, destroys_floats_knowingly: true, ..QuantConfig::default() }
}

fn randn(dims: &[usize], seed: u64) -> Tensor {
    Tensor::randn(dims, 1.0, &mut Rng::seed(seed)).unwrap()
}

fn outputs(model: &dyn Model, inputs: &[Tensor]) -> Tensor {
    let inputs: Vec<Var> = inputs.iter().map(Var::from).collect();
    model.forward_list(&inputs, &mut Ctx::eval()).unwrap().remove(0).into_value()
}

fn int8_of<M: Rebuild>(float: &M, example: &[Tensor], config: &QuantConfig) -> (M, QuantReport) {
    let mut int8 = float.clone();
    let example: Vec<Var> = example.iter().map(Var::from).collect();
    let model: &mut dyn ListModel = &mut int8;
    let report = quantize_model(model, [Ok(example)], config).unwrap();
    (int8, report)
}

/// The int8 form of `float`, judged on these inputs and targets.
fn subject<M: Rebuild>(float: &M, inputs: &[Tensor], target: Tensor) -> (Subject, M) {
    let (int8, report) = int8_of(float, inputs, &dynamic());
    let held_out = HeldOut::new(inputs.to_vec(), [target]).unwrap();
    let subject = Subject::new(M::NAME, float, &int8, held_out).unwrap();
    (subject.quantized_by(&dynamic(), &report), int8)
}

/// Five percent: 8 bits of small untrained layers.
fn judge(subject: &Subject, options: &AuditOptions) -> ModelReport {
    let budget = Budget { max_error: 0.05, ..Budget::default() };
    audit_model(subject, &budget, options).unwrap()
}

#[track_caller]
fn assert_passed(report: &ModelReport, not_applicable: &[&str]) {
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
fn assert_failed(report: &ModelReport, gate: &str, part: &str) {
    let gate = report.gates.iter().find(|g| g.id == gate).unwrap();
    assert_eq!(gate.result, Outcome::Fail, "{}: {}", gate.id, gate.reason);
    assert!(gate.reason.contains(part), "{}: {}", gate.id, gate.reason);
    assert_eq!(report.verdict, Outcome::Fail);
}

/// This binary, started to run only [`answer_a_probe`].
fn probe() -> Probe {
    let args = ["--exact", "answer_a_probe", "--ignored", "--nocapture", "--test-threads=1"];
    // Nothing here is about how long it takes, also where numeric code is not optimized.
    let limit = Duration::from_secs(900);
    Probe { limit, ..Probe::new(std::env::current_exe().unwrap(), args.map(String::from)) }
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe() {
    // The test runner has begun a line of its own.
    println!();
    std::io::stdout().flush().unwrap();
    assert!(Probe::serve(&Kinds::built_in().with::<Net>().with::<TwoHeads>()).unwrap().is_none());
}

/// Gates that are left out without a probe and with dynamic activations.
const WITHOUT: [&str; 4] = ["unseen", "process_memory", "no_f32_copy", "calibration"];

/// Gates that are left out besides where outputs choose no class.
const WITHOUT_CLASSES: [&str; 6] =
    ["unseen", "process_memory", "no_f32_copy", "calibration", "agreement", "classes"];

/// Four clouds of points, one for each class.
fn clouds(samples: usize, seed: u64) -> (Tensor, Tensor) {
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

fn train(model: &mut Net, (inputs, labels): (Tensor, Tensor), epochs: u64) {
    let data = TensorDataset::new([inputs, labels]).unwrap();
    let loader = DataLoader::new(data, 32).unwrap().shuffle(true).seed(1);
    let mut trainer = Trainer::new(Classification, Adam::new(3e-3)).seed(1);
    trainer.fit(model, &loader, None, epochs).unwrap();
}

fn trained() -> Net {
    let mut net = Net::build(&(), &mut Init::seed(1)).unwrap();
    train(&mut net, clouds(256, 2), 4);
    net
}

#[test]
#[cfg(target_os = "linux")]
fn an_own_struct_passes_every_gate() {
    let _turn = turn();
    let (inputs, labels) = clouds(400, 3);
    let (subject, _) = subject(&trained(), &[inputs], labels);
    let options = AuditOptions { probe: Some(probe()), ..AuditOptions::default() };
    let budget = Budget { max_error: 0.05, float_floor: Some(95.0) };
    let report = audit_model(&subject, &budget, &options).unwrap();
    assert_passed(&report, &["unseen", "calibration"]);
    assert_eq!(report.architecture, serde_json::json!({ "architecture": "net" }));
}

#[test]
fn an_own_struct_in_files_is_opened_by_its_kinds() {
    let _turn = turn();
    let float = trained();
    let (inputs, labels) = clouds(400, 3);
    let (int8, report) = int8_of(&float, std::slice::from_ref(&inputs), &dynamic());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let float_sha256 = Some(digest_params(&float).unwrap());
    let mut provenance = Provenance { float_sha256, ..Provenance::default() };
    QuantRecord::new(&dynamic(), &report).write(&mut provenance).unwrap();
    save_model(path("float"), &float, &Provenance::default()).unwrap();
    save_model(path("int8"), &int8, &provenance).unwrap();
    assert!(ModelFiles::open(path("float"), path("int8")).is_err());
    let kinds = Kinds::built_in().with::<Net>();
    let files = ModelFiles::open_with(path("float"), path("int8"), &kinds).unwrap();
    let held_out = HeldOut::new([inputs], [labels]).unwrap();
    let report = judge(&files.judged_by(held_out).unwrap(), &AuditOptions::default());
    assert_passed(&report, &WITHOUT);
}

#[test]
fn a_model_without_classes_is_judged_by_the_variance_it_explains() {
    let _turn = turn();
    let float = trained();
    let inputs = randn(&[64, INPUTS], 5);
    let truth = outputs(&float, std::slice::from_ref(&inputs));
    let target = truth.add(&randn(&[64, OUTPUTS], 6).mul(&Tensor::scalar(0.05)).unwrap()).unwrap();
    let (sound, mut int8) = subject(&float, std::slice::from_ref(&inputs), target.clone());
    assert_eq!(sound.task, Task::Regression);
    let report = judge(&sound, &AuditOptions::default());
    assert_passed(&report, &WITHOUT_CLASSES);
    assert!((95.0..100.0).contains(&report.float_quality), "{}", report.float_quality);

    // One output is off by a constant, which relative errors of single layers hardly show.
    let bias = int8.head.bias.as_mut().unwrap().value_mut().unwrap();
    let off = Tensor::from_vec(vec![3.0, 0.0, 0.0, 0.0], [OUTPUTS]).unwrap();
    *bias = bias.add(&off).unwrap();
    let held_out = HeldOut::new([inputs], [target]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap();
    let faulty = faulty.quantized_by(&dynamic(), &QuantReport::default());
    let report = judge(&faulty, &AuditOptions::default());
    assert_failed(&report, "accuracy", "explained variance");
    assert_failed(&report, "structure", "`head.bias`");
    assert_failed(&report, "output_error", "`head.weight`");
}

#[test]
fn labels_of_which_several_fit_are_judged_by_their_ranking() {
    let _turn = turn();
    let float = trained();
    let inputs = randn(&[64, INPUTS], 7);
    let scores = outputs(&float, std::slice::from_ref(&inputs)).to_vec::<f32>().unwrap();
    let fits: Vec<f32> = scores.iter().map(|&score| f32::from(score > 0.0)).collect();
    let target = Tensor::from_vec(fits, [64, OUTPUTS]).unwrap();
    let (sound, mut int8) = subject(&float, std::slice::from_ref(&inputs), target.clone());
    let report = judge(&sound.task(Task::MultiLabel), &AuditOptions::default());
    assert_passed(&report, &[WITHOUT_CLASSES.as_slice(), &["f32_floor"]].concat());
    assert_eq!(report.float_quality, 100.0, "the scores have made the labels");

    // The outputs change places.
    let config = dynamic();
    let mut other = float.clone();
    let rows = other.head.weight.value().unwrap();
    let turned = [rows.slice(0, 1..OUTPUTS).unwrap(), rows.slice(0, 0..1).unwrap()];
    *other.head.weight.value_mut().unwrap() = Tensor::cat::<f32>(&turned, 0).unwrap();
    int8.head = int8_of(&other, std::slice::from_ref(&inputs), &config).0.head;
    let held_out = HeldOut::new([inputs], [target]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap().task(Task::MultiLabel);
    let report =
        judge(&faulty.quantized_by(&config, &QuantReport::default()), &AuditOptions::default());
    assert_failed(&report, "accuracy", "mean average precision");
    assert_failed(&report, "structure", "`head.weight`");
}

/// How far the largest output is from the largest target, at the worst sample.
struct Reach;

impl Metric for Reach {
    fn name(&self) -> &str {
        "reach"
    }

    fn unit(&self) -> &str {
        "mm"
    }

    fn direction(&self) -> Direction {
        Direction::LowerIsBetter
    }

    fn score(&self, outputs: &[Tensor], targets: &[Tensor]) -> Result<f64> {
        let largest =
            |t: &Tensor| t.to_vec::<f32>().map(|v| v.into_iter().fold(f32::MIN, f32::max));
        Ok(f64::from((largest(&outputs[0])? - largest(&targets[0])?).abs()))
    }
}

#[test]
fn a_metric_of_the_programs_own_decides() {
    let _turn = turn();
    let float = trained();
    let inputs = randn(&[64, INPUTS], 8);
    let far = outputs(&float, std::slice::from_ref(&inputs)).add(&Tensor::scalar(9.0)).unwrap();
    let task = || Task::Own(Arc::new(Reach));
    let (sound, _) = subject(&float, std::slice::from_ref(&inputs), far);
    let report = judge(&sound.task(task()), &AuditOptions::default());
    assert_passed(&report, &[WITHOUT_CLASSES.as_slice(), &["f32_floor"]].concat());
    assert_eq!(serde_json::to_value(&report).unwrap()["task"], "reach");
    assert!(
        tinytorch::audit::page::render(&tinytorch::audit::Report::new(vec![report]))
            .contains("Reach against float")
    );

    // Against a target that the float model reaches to the bit, any rounding is endless loss.
    let exact = outputs(&float, std::slice::from_ref(&inputs));
    let (strict, _) = subject(&float, &[inputs], exact);
    let report = judge(&strict.task(task()), &AuditOptions::default());
    assert_failed(&report, "accuracy", "reach 0.00 mm in float");
    let budget = Budget { max_error: 0.05, float_floor: Some(-1.0) };
    let report = audit_model(&strict_again(&float), &budget, &AuditOptions::default()).unwrap();
    assert_failed(&report, "f32_floor", "float reach");
}

fn strict_again(float: &Net) -> Subject {
    let inputs = randn(&[64, INPUTS], 8);
    let exact = outputs(float, std::slice::from_ref(&inputs));
    subject(float, &[inputs], exact).0.task(Task::Own(Arc::new(Reach)))
}

/// Classes and numbers from one hidden layer.
#[derive(Module, Clone)]
struct TwoHeads {
    hidden: Linear,
    classes: Linear,
    place: Linear,
}

impl Forward for TwoHeads {
    type Output = (Var, Var);

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<(Var, Var)> {
        let hidden = self.hidden.forward(x, ctx)?.relu(ctx)?;
        Ok((self.classes.forward(&hidden, ctx)?, self.place.forward(&hidden, ctx)?))
    }
}

impl Rebuild for TwoHeads {
    type Input = Var;
    type Config = ();
    const NAME: &'static str = "two-heads";

    fn config(&self) {}

    fn build(_: &(), init: &mut Init) -> Result<TwoHeads> {
        Ok(TwoHeads {
            hidden: Linear::new(INPUTS, WIDTH, init)?,
            classes: Linear::new(WIDTH, OUTPUTS, init)?,
            place: Linear::new(WIDTH, 2, init)?,
        })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[INPUTS])?)])
    }

    fn output_names(&self) -> Vec<String> {
        vec!["classes".into(), "place".into()]
    }
}

#[test]
#[cfg(target_os = "linux")]
fn every_output_is_judged_and_the_worst_decides() {
    let _turn = turn();
    let mut float = TwoHeads::build(&(), &mut Init::seed(1)).unwrap();
    let known = trained();
    (float.hidden, float.classes) = (known.hidden, known.head);
    let (inputs, labels) = clouds(400, 3);
    let (sound, mut int8) = subject(&float, std::slice::from_ref(&inputs), labels.clone());
    let options = AuditOptions { probe: Some(probe()), ..AuditOptions::default() };
    let report = judge(&sound, &options);
    assert_passed(&report, &["unseen", "calibration"]);
    let gate = report.gates.iter().find(|gate| gate.id == "output_error").unwrap();
    assert!(
        gate.reason.contains("`classes` ") && gate.reason.contains("`place` "),
        "{}",
        gate.reason
    );

    let bias = int8.place.bias.as_mut().unwrap().value_mut().unwrap();
    *bias = bias.add(&Tensor::full(4.0, [2]).unwrap()).unwrap();
    let held_out = HeldOut::new([inputs], [labels]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap();
    let faulty = faulty.quantized_by(&dynamic(), &QuantReport::default());
    let report = judge(&faulty, &AuditOptions::default());
    assert_failed(&report, "output_error", "of `place`");
    assert_failed(&report, "structure", "`place.bias`");

    // Static ranges are calibrated through both outputs, and found again without data.
    let config = QuantConfig { scheme: Scheme::default(), ..dynamic() };
    let (inputs, labels) = clouds(96, 5);
    let (int8, report) = int8_of(&float, std::slice::from_ref(&inputs), &config);
    let held_out = HeldOut::new([inputs], [labels]).unwrap();
    let fixed = Subject::new("fixed", &float, &int8, held_out).unwrap();
    let report = judge(&fixed.quantized_by(&config, &report), &AuditOptions::default());
    let gate = report.gates.iter().find(|gate| gate.id == "calibration").unwrap();
    assert!(gate.value.is_some(), "{}", gate.reason);
}

fn image_text() -> ImageText {
    let config = ImageTextConfig {
        input: [1, 8, 8],
        blocks: vec![CnnBlock { channels: 16, pool: 2 }],
        vocab: 20,
        context: 6,
        pad: 0,
        dim: 64,
        layers: 1,
        heads: 2,
        hidden: 512,
        outputs: 3,
    };
    ImageText::new(&config, &mut Init::seed(0)).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_model_of_two_inputs_passes_every_gate_and_its_faults_are_found() {
    let _turn = turn();
    let float = image_text();
    let inputs = (&float as &dyn Model).example(64).unwrap();
    let scores = outputs(&float, &inputs);
    let (sound, mut int8) = subject(&float, &inputs, scores.clone());
    let options = AuditOptions { probe: Some(probe()), ..AuditOptions::default() };
    assert_passed(&judge(&sound, &options), &["unseen", "calibration", "agreement", "classes"]);

    *int8.norm.bias.value_mut().unwrap() = Tensor::full(1.5, [64]).unwrap();
    let held_out = HeldOut::new(inputs.clone(), [scores.clone()]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap();
    let report = QuantReport { changed: sound.changed.clone(), ..QuantReport::default() };
    let faulty = faulty.quantized_by(&dynamic(), &report);
    let report = judge(&faulty, &AuditOptions::default());
    assert_failed(&report, "structure", "`norm.bias`");
    assert_failed(&report, "output_error", "relative L2 error");

    let one = HeldOut::new([inputs[0].clone()], [scores]).unwrap();
    let one = Subject::new("one", &float, &int8, one).unwrap();
    let error = audit_model(&one, &Budget::default(), &AuditOptions::default()).unwrap_err();
    assert!(error.to_string().contains("takes 2"), "{error}");
}

#[test]
fn an_int8_model_that_was_fine_tuned_is_audited_again() {
    let _turn = turn();
    let float = trained();
    let (inputs, labels) = clouds(400, 3);
    let (mut tuned, report) = int8_of(&float, std::slice::from_ref(&inputs), &dynamic());
    let before = tuned.clone();
    let rank = AdapterConfig { rank: 2, alpha: 8.0 };
    adapters::attach(&mut tuned, "*", rank, &mut Init::seed(3)).unwrap();
    // Learns that the classes have changed places, which it did not know before.
    let turned = |labels: &Tensor| {
        let labels = labels.to_vec::<i64>().unwrap();
        let next = labels.iter().map(|label| (label + 1) % OUTPUTS as i64).collect();
        Tensor::from_vec(next, [labels.len()]).unwrap()
    };
    let (new_inputs, new_labels) = clouds(256, 4);
    train(&mut tuned, (new_inputs, turned(&new_labels)), 12);
    let names = changed_params(&before, &tuned).unwrap();
    let adapted = ["hidden.lora_A", "hidden.lora_B", "hidden.bias"];
    assert!(adapted.iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with("weight")), "{names:?}");

    let labels = turned(&labels);
    let about = |int8: &Net| {
        let held_out = HeldOut::new([inputs.clone()], [labels.clone()]).unwrap();
        Subject::new("tuned", &float, int8, held_out).unwrap().quantized_by(&dynamic(), &report)
    };
    let untold = judge(&about(&tuned), &AuditOptions::default());
    assert_failed(&untold, "structure", "parameters became");
    let sound = judge(&about(&tuned).fine_tuned(names.clone()).unwrap(), &AuditOptions::default());
    assert_passed(&sound, &WITHOUT);
    assert!(sound.int8_quality > 95.0, "{}", sound.int8_quality);

    // What was not trained has to be as it was.
    let most = names.iter().filter(|name| *name != "head.bias").cloned();
    let partly = judge(&about(&tuned).fine_tuned(most).unwrap(), &AuditOptions::default());
    assert_failed(&partly, "structure", "`head.bias`");
    let mut swapped = tuned.clone();
    let other = Net::build(&(), &mut Init::seed(9)).unwrap();
    let other = int8_of(&other, std::slice::from_ref(&inputs), &dynamic()).0;
    let foreign = other.hidden.weight.stored().clone();
    swapped.change_weights(&mut |name, weight| {
        if name == "hidden.weight" {
            weight.store(foreign.clone());
        }
    });
    let swapped = about(&swapped).fine_tuned(names).unwrap();
    assert_failed(&judge(&swapped, &AuditOptions::default()), "structure", "`hidden.weight`");
    let error = about(&tuned).fine_tuned(["hidden.weight"]).err().unwrap().to_string();
    assert!(error.contains("`hidden.weight`"), "{error}");
}

#[test]
fn a_bias_that_took_in_a_batch_norm_is_fine_tuned() {
    let _turn = turn();
    let blocks = vec![CnnBlock { channels: 16, pool: 2 }];
    let sizes = CnnConfig { input: [1, 8, 8], blocks, hidden: vec![32], outputs: 3 };
    let float = Cnn::new(&sizes, &mut Init::seed(3)).unwrap();
    let images = randn(&[32, 1, 8, 8], 4);
    let (before, report) = int8_of(&float, std::slice::from_ref(&images), &dynamic());
    assert_eq!(report.folded, ["blocks.0.norm"]);
    let mut tuned = before.clone();
    let bias = tuned.blocks[0].conv.bias.as_mut().unwrap().value_mut().unwrap();
    *bias = bias.add(&Tensor::scalar(0.75)).unwrap();
    let names = changed_params(&before, &tuned).unwrap();
    assert_eq!(names, ["blocks.0.conv.bias"]);
    let target = outputs(&tuned, std::slice::from_ref(&images));
    let about = || {
        let held_out = HeldOut::new([images.clone()], [target.clone()]).unwrap();
        Subject::new("cnn", &float, &tuned, held_out).unwrap().quantized_by(&dynamic(), &report)
    };
    let report = judge(&about().fine_tuned(names).unwrap(), &AuditOptions::default());
    assert_passed(&report, &WITHOUT_CLASSES);
    assert_failed(&judge(&about(), &AuditOptions::default()), "structure", "`blocks.0.conv.bias`");
}

#[test]
#[cfg(unix)]
fn a_probe_that_does_not_answer_leaves_the_other_gates_standing() {
    let _turn = turn();
    let (inputs, labels) = clouds(400, 3);
    let (subject, _) = subject(&trained(), &[inputs], labels);
    let shell = |script: &str| Probe {
        limit: Duration::from_millis(300),
        ..Probe::new("sh", ["-c".to_string(), script.to_string()])
    };
    let cases = [
        (shell("sleep 60"), "has not answered"),
        (shell("echo out of luck >&2; exit 3"), "out of luck"),
        (shell("true"), "no report"),
        (Probe::new("/no/such/program", []), "cannot start"),
    ];
    for (probe, part) in cases {
        let started = Instant::now();
        let options = AuditOptions { probe: Some(probe), ..AuditOptions::default() };
        let report = judge(&subject, &options);
        assert!(started.elapsed() < Duration::from_secs(50), "it has waited for the probe");
        for gate in &report.gates {
            let expected = match gate.id {
                "process_memory" | "no_f32_copy" => Outcome::Unknown,
                "unseen" | "calibration" => Outcome::NotApplicable,
                _ => Outcome::Pass,
            };
            assert_eq!(gate.result, expected, "{}: {}", gate.id, gate.reason);
            assert!(expected != Outcome::Unknown || gate.reason.contains(part), "{}", gate.reason);
        }
        assert_eq!(report.verdict, Outcome::Fail, "what is unknown never passes");
    }
}

#[test]
fn models_that_were_not_made_from_each_other_are_refused() {
    let net = Net::build(&(), &mut Init::seed(1)).unwrap();
    let held_out = HeldOut::new([randn(&[4, INPUTS], 1)], [randn(&[4, OUTPUTS], 2)]).unwrap();
    let error = Subject::new("two kinds", &net, &image_text(), held_out).err().unwrap();
    assert!(error.to_string().contains("image-text"), "{error}");
    assert!(HeldOut::new([], []).is_err());
    assert!(HeldOut::new([randn(&[4, 1], 1)], [randn(&[3, 1], 2)]).is_err());
}
