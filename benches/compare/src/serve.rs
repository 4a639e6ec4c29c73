//! The engine's side: prepares cases and times them as it is told.

use crate::case::Case;
use crate::protocol::{Prepared, Refused, Reply, Request};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tinytorch::Tensor;
use tinytorch::data::write_npy;
use tinytorch::stats::Quartiles;

/// One way to run a case.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    /// What one call gives, for comparison.
    pub(crate) output: Tensor,
    /// One call.
    pub(crate) call: Box<dyn FnMut() -> Result<()>>,
}

/// Calls that are timed together last at least so long, so that reading the clock does not count.
const LEAST: Duration = Duration::from_micros(20);

/// Answers the requests on `input` until it ends.
pub(crate) fn serve(
    engine: &str,
    version: String,
    prepare: impl Fn(&Case) -> Result<Vec<Variant>>,
    input: impl BufRead,
    mut output: impl Write,
) -> Result<()> {
    let mut variants = Vec::new();
    let mut say = |reply: &Reply| -> Result<()> {
        writeln!(output, "{}", serde_json::to_string(reply)?)?;
        Ok(output.flush()?)
    };
    say(&Reply::Ready { version })?;
    for line in input.lines() {
        let answer = match serde_json::from_str(&line?)? {
            Request::Prepare(file) => {
                variants.clear();
                Case::load(&file).and_then(|case| {
                    variants = prepare(&case)?;
                    announce(engine, &case, &variants)
                })
            }
            Request::Run { variant, seconds } => run(&mut variants, &variant, seconds),
        };
        say(&answer.unwrap_or_else(|error| Reply::Failed { why: format!("{error:#}") }))?;
    }
    Ok(())
}

fn announce(engine: &str, case: &Case, variants: &[Variant]) -> Result<Reply> {
    let save = |variant: &Variant| -> Result<Prepared> {
        let output: PathBuf = case.folder.join(format!("{engine}-{}.npy", variant.name));
        write_npy(&output, &variant.output)?;
        Ok(Prepared { name: variant.name.into(), output })
    };
    let variants = variants.iter().map(save).collect::<Result<_>>()?;
    Ok(Reply::Prepared { variants, refused: Vec::<Refused>::new() })
}

fn run(variants: &mut [Variant], name: &str, seconds: f64) -> Result<Reply> {
    let variant = variants.iter_mut().find(|variant| variant.name == name);
    let variant = variant.with_context(|| format!("`{name}` is not prepared"))?;
    Ok(Reply::Ran { seconds: median(&mut *variant.call, seconds)? })
}

/// Seconds of a call: the median over `seconds`, of which the first third warms up.
fn median(call: &mut dyn FnMut() -> Result<()>, seconds: f64) -> Result<f64> {
    if !(seconds > 0.0 && seconds < 1e6) {
        bail!("{seconds} s are no time to run for: give a positive number");
    }
    let seconds = Duration::from_secs_f64(seconds);
    let (started, mut calls) = (Instant::now(), 0);
    while calls == 0 || started.elapsed() < seconds / 3 {
        call()?;
        calls += 1;
    }
    let one = started.elapsed() / calls;
    let together = (LEAST.as_nanos() / one.as_nanos().max(1) + 1) as u32;
    let (started, mut times) = (Instant::now(), Vec::new());
    while times.is_empty() || started.elapsed() < seconds * 2 / 3 {
        let started = Instant::now();
        for _ in 0..together {
            call()?;
        }
        times.push(started.elapsed().as_secs_f64() / f64::from(together));
    }
    Ok(Quartiles::of(&times).median)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an engine answers to these lines.
    fn answers(lines: &str) -> Vec<String> {
        let mut output = Vec::new();
        let prepare = |_: &Case| -> Result<Vec<Variant>> { bail!("nothing to prepare") };
        serve("none", "none 1".into(), prepare, lines.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap().lines().map(String::from).collect()
    }

    #[test]
    fn a_request_that_cannot_be_met_is_answered_with_the_reason() {
        let said =
            answers("{\"prepare\":\"nowhere\"}\n{\"run\":{\"variant\":\"f32\",\"seconds\":1}}\n");
        assert_eq!(said[0], r#"{"ready":{"version":"none 1"}}"#);
        assert!(said[1].contains("failed") && said[1].contains("nowhere"), "{}", said[1]);
        assert!(said[2].contains("`f32` is not prepared"), "{}", said[2]);
    }

    #[test]
    fn a_median_is_the_time_of_one_call_of_many() {
        let one = Duration::from_millis(1);
        let mut calls = 0;
        let mut call = || {
            calls += 1;
            std::thread::sleep(one);
            Ok(())
        };
        // One to warm up and one to count, however slow the machine is; a sleep is never too short.
        assert!(median(&mut call, 1e-6).unwrap() >= one.as_secs_f64());
        assert_eq!(calls, 2);
        assert!(median(&mut || Ok(()), f64::NAN).is_err());
        assert!(median(&mut || bail!("broken"), 0.003).is_err());
    }
}
