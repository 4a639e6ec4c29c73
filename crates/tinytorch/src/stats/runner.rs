//! Comparing the times of two things, or of many.

use super::rounds::{self, Candidate};
use super::text_table::seconds;
use super::{Clock, Quartiles, Settings, TextTable, WallClock};
use crate::Result;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the times of two things compare.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedResult {
    /// How many times as long the second takes: the median over pairs.
    pub ratio: f64,
    /// The lower end of the ratio's interval.
    pub low: f64,
    /// The upper end of the ratio's interval.
    pub high: f64,
    /// Pairs timed.
    pub pairs: usize,
    /// The first's median time of a call, in seconds.
    pub a_median: f64,
    /// The second's median time of a call, in seconds.
    pub b_median: f64,
    /// Whether the interval is as narrow as was asked for; otherwise time ran out.
    pub settled: bool,
}

/// Times `a` and `b` in turn and tells how many times as long `b` takes.
///
/// # Errors
/// What `a` or `b` reports; [`StatsError`](super::StatsError) for settings that measure nothing and
/// for work that is too short for the clock.
pub fn compare(
    a: impl FnMut() -> Result<()>,
    b: impl FnMut() -> Result<()>,
    settings: &Settings,
) -> Result<PairedResult> {
    compare_on(&WallClock::default(), a, b, settings)
}

/// [`compare`] by another clock.
///
/// # Errors
/// As [`compare`].
pub fn compare_on(
    clock: &impl Clock,
    a: impl FnMut() -> Result<()>,
    b: impl FnMut() -> Result<()>,
    settings: &Settings,
) -> Result<PairedResult> {
    let report = Benchmark::new(settings.clone()).add("a", a).add("b", b).run_on(clock)?;
    let (first, second) = (&report.rows[0], &report.rows[1]);
    Ok(PairedResult {
        ratio: second.ratio,
        low: second.ratio_low,
        high: second.ratio_high,
        pairs: report.rounds,
        a_median: first.seconds.median,
        b_median: second.seconds.median,
        settled: report.settled,
    })
}

/// Times several candidates against the first.
///
/// ```
/// use tinytorch::stats::{Benchmark, Settings};
/// use std::{hint::black_box, time::Duration};
/// let work = |n: u64| move || { black_box((0..n).map(black_box).max()); Ok(()) };
/// let settings = Settings { time_limit: Duration::from_millis(20), ..Settings::default() };
/// let report = Benchmark::new(settings).add("short", work(500)).add("long", work(5000)).run()?;
/// assert_eq!(report.rows[0].ratio, 1.0);
/// println!("{report}");
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub struct Benchmark<'a> {
    settings: Settings,
    candidates: Vec<Candidate<'a>>,
}

impl<'a> Benchmark<'a> {
    /// A bench without candidates.
    pub fn new(settings: Settings) -> Benchmark<'a> {
        Benchmark { settings, candidates: Vec::new() }
    }

    /// The same with another candidate; the first is what the others are compared with.
    #[must_use]
    pub fn add(
        mut self,
        name: impl Into<String>,
        work: impl FnMut() -> Result<()> + 'a,
    ) -> Benchmark<'a> {
        self.candidates.push(Candidate { name: name.into(), work: Box::new(work) });
        self
    }

    /// Times the candidates.
    ///
    /// # Errors
    /// As [`compare`], and [`StatsError::NoCandidates`](super::StatsError::NoCandidates).
    pub fn run(self) -> Result<BenchmarkReport> {
        self.run_on(&WallClock::default())
    }

    /// [`Benchmark::run`] by another clock.
    ///
    /// # Errors
    /// As [`Benchmark::run`].
    pub fn run_on(mut self, clock: &impl Clock) -> Result<BenchmarkReport> {
        let settings = &self.settings;
        let rounds = rounds::run(clock, &mut self.candidates, settings)?;
        let rows = self.candidates.iter().enumerate().map(|(i, candidate)| {
            let interval = rounds.ratio(i, settings);
            let row = BenchRow {
                name: candidate.name.clone(),
                seconds: Quartiles::of(&rounds.0[i]),
                ratio: interval.ratio,
                ratio_low: interval.low,
                ratio_high: interval.high,
            };
            (row, interval.width() < settings.width)
        });
        let (rows, narrow): (Vec<_>, Vec<bool>) = rows.unzip();
        Ok(BenchmarkReport {
            rows,
            rounds: rounds.0[0].len(),
            settled: narrow.into_iter().all(|narrow| narrow),
        })
    }
}

/// The time of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchRow {
    /// The candidate.
    pub name: String,
    /// Seconds per call.
    pub seconds: Quartiles,
    /// How many times as long as the first it takes.
    pub ratio: f64,
    /// The lower end of the ratio's interval.
    pub ratio_low: f64,
    /// The upper end of the ratio's interval.
    pub ratio_high: f64,
}

/// The times of several candidates; it prints as a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchmarkReport {
    /// The candidates in the order they were added.
    pub rows: Vec<BenchRow>,
    /// How often each was timed.
    pub rounds: usize,
    /// Whether every interval is as narrow as was asked for.
    pub settled: bool,
}

impl fmt::Display for BenchmarkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = TextTable::new(&["", "median", "quartiles", "ratio", "interval"]);
        for row in &self.rows {
            table.row(vec![
                row.name.clone(),
                seconds(row.seconds.median),
                format!("{} .. {}", seconds(row.seconds.low), seconds(row.seconds.high)),
                format!("{:.3}", row.ratio),
                format!("{:.3} .. {:.3}", row.ratio_low, row.ratio_high),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
