//! Audits of models that other engines run.
//!
//! Of a black box only the answers are known. The gates that judge answers are the same as for tinytorch's own
//! models; those that ask about the inside read `n/a`, and say so.

mod error;
mod gates;
mod model;
mod own;

pub use error::OutsideError;
pub use model::{Footprint, Outside};

use super::answers::Answers;
use super::files::Files;
use super::gates::{
    accuracy, agreement, batches, classes, f32_floor, latency, likeness, output_error, unseen,
};
use super::origins::{Before, digest_of};
use super::report::{Judged, verdict_of};
use super::{
    AuditOptions, Budget, BytesPair, Evidence, Gate, HeldOut, Metric, ModelOrigin, ModelReport,
    Origins, Subject, changed, copies, passes,
};
use crate::Result;
use crate::files::FileError;
use crate::quant::Folded;
use crate::tensor::Tensor;

/// Audits an int8 model by its answers, against those of the float model that it was made from.
///
/// ```
/// use tinytorch::{Tensor, audit::{AuditOptions, Budget, HeldOut, Outcome, Outside, audit_outside}};
/// let float = Outside::new("float", |x: &[Tensor]| Ok(vec![x[0].clone()]));
/// let int8 = Outside::new("int8", |x: &[Tensor]| {
///     let rounded = x[0].to_vec::<f32>()?.into_iter().map(|v| (v * 127.0).round() / 127.0);
///     Ok(vec![Tensor::from_vec(rounded.collect(), *x[0].shape())?])
/// });
/// let x = Tensor::rand([64, 10], -1.0, 1.0, &mut tinytorch::Rng::seed(0))?;
/// let report = audit_outside(
///     [&float, &int8],
///     |subject| Ok(subject),
///     HeldOut::new([x], [])?,
///     &Budget::default(),
///     &AuditOptions::default(),
/// )?;
/// assert_eq!(report.verdict, Outcome::Pass);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// `told` adds to the subject what is known of it, such as the [task](Subject::task) and what the samples are called.
///
/// # Errors
/// If a model does not answer at all, or the two answer in other shapes; everything else is a gate's result.
pub fn audit_outside(
    [float, int8]: [&Outside; 2],
    told: impl FnOnce(Subject) -> Result<Subject>,
    held_out: HeldOut,
    budget: &Budget,
    options: &AuditOptions,
) -> Result<ModelReport> {
    let before = Before::of(&held_out)?;
    let subject = told(Subject::new(int8.name(), float, int8, held_out)?)?;
    let evidence = gather(&subject, [float, int8])?;
    let judged = judge(&subject, &evidence, [float, int8], budget, options)?;
    let origins = Origins::of(&subject, &evidence, budget, options)?;
    before.is_as(&origins.data)?;
    let origins = Origins {
        float: origin(float, origins.float)?,
        int8: origin(int8, origins.int8)?,
        ..origins
    };
    report(&subject, &evidence, judged, origins)
}

/// What both models answer to all samples.
fn gather(subject: &Subject, [float, int8]: [&Outside; 2]) -> Result<Evidence> {
    let held_out = &subject.held_out;
    let answers =
        |model: &Outside| passes::in_batches(held_out, held_out.len(), |batch| model.answer(batch));
    let (of_float, of_int8) = (answers(float)?, answers(int8)?);
    let shapes = |outputs: &[Tensor]| {
        let each = outputs.iter().map(|output| format!("{} {}", output.dtype(), output.shape()));
        each.collect::<Vec<_>>().join(", ")
    };
    if shapes(&of_float) != shapes(&of_int8) {
        return Err(OutsideError::OtherOutputs {
            float: float.name().to_string(),
            of_float: shapes(&of_float),
            int8: int8.name().to_string(),
            of_int8: shapes(&of_int8),
        }
        .into());
    }
    let outputs = super::evidence::names_of(int8, of_int8.len());
    let (layers, out_of_order, saturation) = (Vec::new(), Vec::new(), Vec::new());
    let (folded, files) = (Folded::default(), Files::none()?);
    let (float, int8) = (of_float, of_int8);
    Ok(Evidence { float, int8, outputs, layers, out_of_order, folded, saturation, files })
}

fn judge(
    subject: &Subject,
    evidence: &Evidence,
    [float, int8]: [&Outside; 2],
    budget: &Budget,
    options: &AuditOptions,
) -> Result<Judged> {
    let answers = Answers::of(subject, [&evidence.float, &evidence.int8])?;
    let answers = answers.as_ref();
    let (of_classes, classes) = classes::classes(subject, &evidence.float, answers);
    let mut gates = vec![
        f32_floor::f32_floor(subject, evidence, budget)?,
        unseen::unseen(subject)?,
        output_error::output_error(subject, evidence, budget)?,
        accuracy::accuracy(subject, [&evidence.float, &evidence.int8], answers)?,
        agreement::agreement(subject, answers),
        of_classes,
        of_any_batch(subject, evidence, int8)?,
        gates::file_bytes(float, int8),
        gates::process_memory(float, int8)?,
        gates::determinism(subject, evidence, int8)?,
        gates::exactness(subject, evidence, int8)?,
        gates::parameters(int8),
    ];
    gates.extend(likeness::likeness(subject, evidence)?);
    copies::count_once(&mut gates, &subject.held_out, &evidence.float)?;
    gates.extend(gates::INSIDE.map(|(id, part)| gates::of_the_inside(id, part)));
    let mut timed = Vec::new();
    if options.latency {
        /// The batch at which int8 may never be slower.
        const LARGE_BATCH: usize = 32;
        let batches = [subject.held_out.first(LARGE_BATCH)?];
        let pass = |model: &Outside, batch: &[Tensor]| model.answer(batch).map(drop);
        let (gate, pairs) =
            latency::of_passes(|batch| pass(float, batch), |batch| pass(int8, batch), &batches)?;
        gates.push(gate);
        timed = pairs;
    }
    let (changed, confusions) = match answers {
        Some(answers) => changed::of(subject, answers)?,
        None => (Vec::new(), Vec::new()),
    };
    let sample_errors = changed::sample_errors(evidence)?;
    Ok(Judged { gates, latency: timed, classes, changed, confusions, sample_errors })
}

fn of_any_batch(subject: &Subject, evidence: &Evidence, int8: &Outside) -> Result<Gate> {
    match subject.held_out.fixed() {
        None => batches::of_passes(subject, evidence, |batch| int8.answer(batch)),
        Some(fixed) => {
            let reason = format!("the model takes {fixed} samples in a pass and no other number");
            Ok(Gate::not_applicable("batches", reason))
        }
    }
}

/// Where a model comes from: its file, in whatever form.
fn origin(model: &Outside, known: ModelOrigin) -> Result<ModelOrigin> {
    let Some(path) = model.file() else {
        return Ok(ModelOrigin { params_sha256: String::new(), ..known });
    };
    let read = |source| FileError::Read { path: path.to_path_buf(), source };
    Ok(ModelOrigin {
        file: Some(path.display().to_string()),
        file_bytes: Some(std::fs::metadata(path).map_err(read)?.len() as usize),
        file_sha256: Some(digest_of(path).map_err(read)?),
        file_checksums: None,
        params_sha256: String::new(),
    })
}

fn report(
    subject: &Subject,
    evidence: &Evidence,
    judged: Judged,
    origins: Origins,
) -> Result<ModelReport> {
    let Judged { gates, latency, classes, changed, confusions, sample_errors } = judged;
    let (task, targets) = (subject.task.clone(), subject.held_out.targets());
    let quality = |outputs: &[Tensor]| match targets {
        [] => Ok(f64::NAN),
        targets => task.score(outputs, targets),
    };
    let sizes = origins.float.file_bytes.zip(origins.int8.file_bytes);
    let bytes = sizes.map(|(float, int8)| BytesPair { what: "file", float, int8 });
    Ok(ModelReport {
        name: subject.name.clone(),
        architecture: serde_json::Value::Null,
        verdict: verdict_of(&gates),
        answers_alone: Some("of a black box nothing else is known".to_string()),
        gates,
        origins,
        held_out_samples: subject.held_out.len(),
        float_quality: quality(&evidence.float)?,
        int8_quality: quality(&evidence.int8)?,
        task: task.clone(),
        bytes: bytes.into_iter().collect(),
        latency,
        classes,
        changed,
        confusions,
        sample_errors,
        advice: Vec::new(),
        tried: Vec::new(),
        layers: Vec::new(),
        saturation: Vec::new(),
    })
}
