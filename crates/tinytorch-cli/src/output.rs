//! Where a command prints.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{self, ErrorKind, Stdout, Write};
use tinytorch::Tensor;
use tinytorch::tensor::Dtype;

/// Standard output. Once its reader is gone (`| head`), everything else is dropped and the command
/// goes on: its files and its exit code still count.
pub(crate) struct Screen {
    stdout: Stdout,
    closed: bool,
}

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen { stdout: io::stdout(), closed: false }
    }

    /// Prints a value as JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        Ok(writeln!(self, "{text}")?)
    }

    fn checked<T>(&mut self, result: io::Result<T>, dropped: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(dropped)
            }
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                let problem = format!("cannot write to standard output: {error}");
                Err(io::Error::new(error.kind(), problem))
            }
            other => other,
        }
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        let written = self.stdout.write(bytes);
        self.checked(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let flushed = self.stdout.flush();
        self.checked(flushed, ())
    }
}

/// Says how many outputs are NaN or infinite, and for which sample first; `which` is whose they are, if a model has several.
pub(crate) fn warn_of_not_finite(which: &str, outputs: &Tensor) -> anyhow::Result<()> {
    if outputs.dtype() != Dtype::F32 {
        return Ok(());
    }
    let values = outputs.to_vec::<f32>()?;
    let Some(at) = values.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let (wrong, all) = (values.iter().filter(|v| !v.is_finite()).count(), values.len());
    let samples = outputs.shape().first().copied().unwrap_or(1).max(1);
    let sample = at / (all / samples).max(1);
    tracing::warn!(
        "{wrong} of {all} outputs{which} are not finite, the first for sample {sample}; check the model's weights and the scale of the inputs"
    );
    Ok(())
}

/// A bar of so many steps on stderr, drawn only if that is a terminal and gone when it is done.
pub(crate) fn progress_bar(what: &'static str, steps: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(steps as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{prefix} [{bar:24}] {pos}/{len} {elapsed}");
    // The template is a constant; a default bar would still be a bar if it did not parse.
    bar.with_prefix(what).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Tells how far a long piece of work is: what it is, and how many steps of how many are done.
pub(crate) type Progress<'a> = dyn FnMut(&'static str, usize, usize) + 'a;

/// A [`progress_bar`] for each piece of work, one after the other.
pub(crate) fn bars() -> impl FnMut(&'static str, usize, usize) {
    let mut shown: Option<(&'static str, ProgressBar)> = None;
    move |what, done, of| {
        if shown.as_ref().is_none_or(|(other, _)| *other != what) {
            shown = Some((what, progress_bar(what, of)));
        }
        if let Some((_, bar)) = &shown {
            bar.set_length(of as u64);
            bar.set_position(done as u64);
            if done >= of {
                bar.finish_and_clear();
            }
        }
    }
}
