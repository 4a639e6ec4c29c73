//! How a training goes, step by step.

use super::{EpochRecord, Metrics};
use indicatif::{ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};
use std::fmt;

/// A step of the optimizer that has been taken.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// The epoch, counted from 1.
    pub epoch: u64,
    /// The step since the beginning of the training, counted from 1.
    pub step: u64,
    /// Batches of this epoch that are done.
    pub batches: usize,
    /// The mean loss of the step.
    pub loss: f64,
    /// The learning rate.
    pub lr: f64,
    /// Joint norm of the gradients before clipping, if they are clipped by it.
    pub grad_norm: Option<f32>,
}

/// Is told how a training goes.
pub trait Progress: Send {
    /// An epoch begins: `epoch`, counted from 1, of `epochs`, with `batches` batches.
    fn epoch_started(&mut self, epoch: u64, epochs: u64, batches: usize) {
        let _ = (epoch, epochs, batches);
    }

    /// A step has been taken.
    fn stepped(&mut self, step: &StepReport) {
        let _ = step;
    }

    /// An epoch has ended and been evaluated.
    fn epoch_ended(&mut self, record: &EpochRecord) {
        let _ = record;
    }
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}

/// A bar per epoch on stderr, drawn only if that is a terminal.
#[derive(Debug)]
pub struct ProgressBar {
    bar: Bar,
    until: Option<u64>,
}

impl ProgressBar {
    /// Nothing is drawn before the first epoch.
    pub fn new() -> ProgressBar {
        ProgressBar { bar: Bar::hidden(), until: None }
    }

    /// A bar that shows so many epochs as all, for trainings that are cut into several.
    pub fn until(epochs: u64) -> ProgressBar {
        ProgressBar { until: Some(epochs), ..ProgressBar::new() }
    }
}

impl Default for ProgressBar {
    fn default() -> Self {
        ProgressBar::new()
    }
}

fn describe(metrics: &Metrics) -> String {
    let accuracy = metrics.accuracy.map(|a| format!(", accuracy {:.2} %", 100.0 * a));
    format!("loss {:.4}{}", metrics.loss, accuracy.unwrap_or_default())
}

fn results(record: &EpochRecord) -> String {
    let valid = record.valid.map(|m| format!(" | validation {}", describe(&m)));
    format!("{}{}", describe(&record.train), valid.unwrap_or_default())
}

/// One line.
impl fmt::Display for EpochRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {}: {}", self.epoch, results(self))
    }
}

impl Progress for ProgressBar {
    fn epoch_started(&mut self, epoch: u64, epochs: u64, batches: usize) {
        let epochs = self.until.unwrap_or(epochs);
        self.bar = Bar::with_draw_target(Some(batches as u64), ProgressDrawTarget::stderr())
            .with_prefix(format!("epoch {epoch}/{epochs}"));
        let template = "{prefix} [{bar:24}] {pos}/{len} {elapsed} {wide_msg}";
        // The template is a constant; a default bar would still be a bar if it did not parse.
        let style = ProgressStyle::with_template(template);
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }

    fn stepped(&mut self, step: &StepReport) {
        self.bar.set_message(format!("loss {:.4}, lr {:.2e}", step.loss, step.lr));
        self.bar.set_position(step.batches as u64);
    }

    fn epoch_ended(&mut self, record: &EpochRecord) {
        self.bar.finish_with_message(results(record));
    }
}
