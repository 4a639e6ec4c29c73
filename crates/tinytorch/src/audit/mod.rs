//! The audit: whether an int8 model is still the model that was trained.
//!
//! An audit runs the float and the int8 model side by side on data that neither training nor
//! calibration has seen, and asks a fixed list of questions, the [gates]. Each gate answers with a
//! measurement; a gate that cannot measure says `unknown` and never passes.
//!
//! # A model of your own
//!
//! A struct that is [`Rebuild`](crate::models::Rebuild) is audited as tinytorch's own models are. Three lines
//! are there for the memory gates: the allocator that counts, and at the beginning of `main` the probe, with
//! which the audit starts this very program again to measure in a process that holds nothing else. Without
//! the probe those gates read `n/a`, without the allocator `unknown`.
//!
//! ```no_run,standalone_crate
//! use tinytorch::audit::{AuditOptions, Budget, Outcome, Probe, Subject, audit_model};
//! use tinytorch::autograd::{Ctx, Var};
//! use tinytorch::data::{DataLoader, digits};
//! use tinytorch::models::{Kinds, Rebuild, Sample};
//! use tinytorch::nn::{Flatten, Forward, Init, Linear, Module};
//! use tinytorch::optim::Adam;
//! use tinytorch::quant::{QuantConfig, quantize_model};
//! use tinytorch::tensor::Shape;
//! use tinytorch::train::{Classification, Trainer};
//! use tinytorch::{CountingAllocator, Result};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator::new();
//!
//! #[derive(Module, Clone)]
//! struct Net {
//!     hidden: Linear,
//!     head: Linear,
//! }
//!
//! impl Forward for Net {
//!     type Output = Var;
//!     fn forward(&self, image: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
//!         let x = Flatten.forward(image, ctx)?;
//!         let x = self.hidden.forward(&x, ctx)?.relu(ctx)?;
//!         self.head.forward(&x, ctx)
//!     }
//! }
//!
//! impl Rebuild for Net {
//!     type Input = Var;
//!     type Config = ();
//!     const NAME: &'static str = "net";
//!     fn config(&self) {}
//!     fn build(_: &(), init: &mut Init) -> Result<Net> {
//!         Ok(Net { hidden: Linear::new(64, 1024, init)?, head: Linear::new(1024, 10, init)? })
//!     }
//!     fn samples(&self) -> Result<Vec<Sample>> {
//!         Ok(vec![Sample::Values(Shape::new(&[1, 8, 8])?)])
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     let kinds = Kinds::built_in().with::<Net>();
//!     let Some(probe) = Probe::serve(&kinds)? else { return Ok(()) };
//!
//!     let data = digits()?;
//!     let mut float = Net::build(&(), &mut Init::seed(0))?;
//!     let loader = DataLoader::new(data.train.clone(), 64)?.shuffle(true);
//!     Trainer::new(Classification, Adam::new(3e-3)).fit(&mut float, &loader, None, 20)?;
//!
//!     let mut int8 = float.clone();
//!     let config = QuantConfig { destroys_floats_knowingly: true, ..QuantConfig::default() };
//!     let calibration = data.calibration(512, 0)?;
//!     let report = quantize_model(&mut int8, [Ok(Var::from(&calibration))], &config)?;
//!
//!     let held_out = data.test.expect("the digits have a test part");
//!     let subject = Subject::new("net", &float, &int8, held_out)?.quantized_by(&config, &report);
//!     let subject = subject.calibrated_on(&[calibration])?;
//!     let options = AuditOptions { probe: Some(probe), ..AuditOptions::default() };
//!     let report = audit_model(&subject, &Budget::default(), &options)?;
//!     for gate in &report.gates {
//!         println!("{:16} {:8} {}", gate.id, gate.result.word(), gate.reason);
//!     }
//!     assert_eq!(report.verdict, Outcome::Pass);
//!     Ok(())
//! }
//! ```
//!
//! [`HeldOut`] takes several inputs and targets. A [`Task`] says how well outputs fit targets; a [`Metric`] of
//! your own is one too. After a fine-tuning in int8, [`Subject::fine_tuned`] and [`changed_params`] tell what
//! may differ.
//!
//! # Words
//!
//! | word | what it means here |
//! |---|---|
//! | subject | the two models and the data that an audit is about |
//! | gate | one question, answered by a measurement and a limit |
//! | verdict | `pass` if every gate reads `pass` or `n/a`, else `fail` |
//! | unknown | what a gate reads that could not be measured, or that the samples cannot decide: its 95 % interval holds the limit |
//! | evidence | what running both models has shown, gathered once for all gates |
//! | probe | a process that holds one model alone, in which memory is measured |
//! | floor | how good the float model must be to be worth the test |
//! | own error | what a layer adds to the error of its output, on the float model's input |
//! | expected error | what rounding alone would add there |

mod advice;
mod answers;
mod boxes;
mod changed;
mod characters;
mod class_report;
mod compare;
mod copies;
mod corrected;
mod cosine;
mod date;
mod distribution;
mod error;
mod evidence;
mod files;
mod flips;
mod gate;
pub mod gates;
mod held_out;
mod interval;
mod layer_times;
mod layers;
mod likeness;
mod metric;
mod numbers;
mod options;
mod origins;
mod outside;
pub mod page;
mod passes;
mod probe;
mod reference;
mod report;
mod rounding;
mod rows;
mod saturation;
mod spread;
mod steadiness;
mod subject;
mod task;
mod tuning;
mod wiring;

pub use crate::quant::relative_error;
pub use advice::{Advice, Raised};
pub use boxes::Boxes;
pub use changed::{Changed, Confusion, Picture, SampleErrors};
pub use characters::Characters;
pub use class_report::ClassReport;
pub use cosine::Cosine;
pub use distribution::{Distribution, Int8Range};
pub use error::AuditError;
pub use evidence::Evidence;
pub use files::Files;
pub use gate::{Gate, Outcome, Side};
pub use held_out::HeldOut;
pub use interval::Interval;
pub use layers::LayerEvidence;
pub use likeness::{Alike, Likeness};
pub use metric::{Direction, Metric};
pub use options::AuditOptions;
pub use origins::{DataOrigin, ModelOrigin, Origins};
pub use outside::{Footprint, Outside, OutsideError, audit_outside};
pub use probe::Probe;
pub use reference::{REFERENCES, Reference};
pub use report::{BytesPair, Judged, LatencyPairs, LayerReport, Machine, ModelReport, Report};
pub use rows::Rows;
pub use saturation::Saturation;
pub use subject::{Budget, GivenFile, ModelFiles, Subject};
pub use task::Task;
pub use tuning::changed_params;

use crate::Result;

/// Audits one model.
///
/// # Errors
/// If a model holds NaN or does not run on the held-out data at all; everything else is a gate's result.
pub fn audit_model(
    subject: &Subject,
    budget: &Budget,
    options: &AuditOptions,
) -> Result<ModelReport> {
    numbers::check(subject)?;
    let before = origins::Before::of(&subject.held_out)?;
    let evidence = Evidence::gather(subject, options)?;
    let judged = gates::all(subject, &evidence, budget, options)?;
    let origins = Origins::of(subject, &evidence, budget, options)?;
    before.is_as(&origins.data)?;
    let advice = advice::of(subject, &evidence, &judged.gates, budget.max_error, options)?;
    Ok(ModelReport { advice, ..ModelReport::new(subject, &evidence, judged, origins)? })
}

/// A score with the unit of its metric.
fn with_unit(score: f64, metric: &dyn Metric) -> String {
    match metric.unit() {
        "" => format!("{score:.4}"),
        unit => format!("{score:.2} {unit}"),
    }
}
