//! Comparisons on a clock of their own.

use super::super::StatsError;
use super::*;
use crate::Rng;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Time that passes only when work says so.
#[derive(Default)]
struct Fake(Cell<Duration>);

impl Clock for Fake {
    fn now(&self) -> Duration {
        self.0.get()
    }
}

impl Fake {
    fn pass(&self, micros: f64) {
        self.0.set(self.0.get() + Duration::from_secs_f64(micros * 1e-6));
    }

    /// Work that takes a constant time.
    fn steady(&self, micros: f64) -> impl FnMut() -> Result<()> {
        move || {
            self.pass(micros);
            Ok(())
        }
    }

    /// Work whose time scatters, with an interruption in one call of twenty.
    fn noisy(&self, micros: f64, noise: f32, seed: u64) -> impl FnMut() -> Result<()> {
        let mut rng = Rng::seed(seed);
        move || {
            let interrupted = if rng.below(20) == 0 { 50.0 } else { 1.0 };
            self.pass(micros * f64::from((noise * rng.normal()).exp()) * interrupted);
            Ok(())
        }
    }
}

/// One call per sample.
fn settings() -> Settings {
    Settings { sample: Duration::ZERO, ..Settings::default() }
}

#[test]
fn steady_times_give_their_ratio_after_the_fewest_rounds() {
    let clock = Fake::default();
    let result = compare_on(&clock, clock.steady(200.0), clock.steady(50.0), &settings()).unwrap();
    assert!((result.ratio - 0.25).abs() < 1e-9 && result.low == result.high, "{result:?}");
    assert!((result.a_median - 200e-6).abs() < 1e-12 && (result.b_median - 50e-6).abs() < 1e-12);
    assert_eq!((result.pairs, result.settled), (20, true));
}

#[test]
fn noisy_times_are_sampled_until_the_interval_is_narrow() {
    let clock = Fake::default();
    let wide = Settings { width: 0.2, time_limit: Duration::from_secs(3600), ..settings() };
    let narrow = Settings { width: 0.02, ..wide.clone() };
    let run = |settings: &Settings| {
        let (a, b) = (clock.noisy(100.0, 0.1, 1), clock.noisy(80.0, 0.1, 2));
        compare_on(&clock, a, b, settings).unwrap()
    };
    let (wide, narrow) = (run(&wide), run(&narrow));
    assert!(wide.settled && narrow.settled);
    assert!(wide.pairs < narrow.pairs, "{} and {}", wide.pairs, narrow.pairs);
    assert!((narrow.high - narrow.low) / narrow.ratio < 0.02);
    assert!(narrow.low < 0.81 && narrow.high > 0.79, "{narrow:?}");
}

#[test]
fn what_slows_the_machine_for_a_while_does_not_move_the_ratio() {
    let clock = Fake::default();
    let calls = Cell::new(0u32);
    let drifting = |micros: f64| {
        let (clock, calls) = (&clock, &calls);
        move || {
            calls.set(calls.get() + 1);
            clock.pass(micros * (1.0 + f64::from(calls.get()) / 10.0));
            Ok(())
        }
    };
    let result = compare_on(&clock, drifting(100.0), drifting(100.0), &settings()).unwrap();
    assert!(result.low <= 1.0 && result.high >= 1.0, "{result:?}");
}

#[test]
fn time_that_runs_out_is_admitted() {
    let clock = Fake::default();
    let settings = Settings { time_limit: Duration::from_millis(100), ..settings() };
    let (a, b) = (clock.noisy(1000.0, 1.0, 1), clock.noisy(1000.0, 1.0, 2));
    let result = compare_on(&clock, a, b, &settings).unwrap();
    assert!(!result.settled && result.pairs >= 20 && result.pairs < 100, "{result:?}");
    let few = Settings { max_rounds: 25, time_limit: Duration::MAX, width: 0.0, ..settings };
    let result = compare_on(&clock, clock.steady(1.0), clock.steady(1.0), &few).unwrap();
    assert_eq!((result.pairs, result.settled), (25, false));
}

#[test]
fn short_work_is_repeated_equally_often_on_both_sides() {
    let clock = Fake::default();
    let calls = RefCell::new([0u64; 2]);
    let counted = |i: usize, micros: f64| {
        let (clock, calls) = (&clock, &calls);
        move || {
            calls.borrow_mut()[i] += 1;
            clock.pass(micros);
            Ok(())
        }
    };
    let settings = Settings { sample: Duration::from_micros(100), ..Settings::default() };
    let result = compare_on(&clock, counted(0, 1.0), counted(1, 50.0), &settings).unwrap();
    assert!((result.ratio - 50.0).abs() < 1e-6 && (result.a_median - 1e-6).abs() < 1e-12);
    // 128 calls of 1 us make a sample; the rest is warm-up.
    let [a, b] = *calls.borrow();
    assert!(a >= 20 * 128 && b >= 20 * 128 && a - 256 < b, "{a} and {b}");
}

#[test]
fn a_bench_compares_all_with_the_first() {
    let clock = Fake::default();
    let bench = Benchmark::new(settings())
        .add("f32", clock.steady(90.0))
        .add("int8", clock.steady(30.0))
        .add("mixed", clock.steady(45.0));
    let report = bench.run_on(&clock).unwrap();
    let ratios: Vec<f64> = report.rows.iter().map(|row| (row.ratio * 1e6).round() / 1e6).collect();
    assert_eq!(ratios, [1.0, 0.333333, 0.5]);
    let text = report.to_string();
    let line = text.lines().find(|line| line.starts_with("mixed")).unwrap();
    assert!(line.contains("45.00 us") && line.contains("0.500"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rows"][1]["name"], "int8");
    assert!(json["rows"][1]["seconds"]["median"].is_f64());
}

#[test]
fn what_cannot_be_timed_is_an_error() {
    let clock = Fake::default();
    let steady = || clock.steady(1.0);
    let fails = |settings: Settings| match compare_on(&clock, steady(), steady(), &settings) {
        Err(error) => error.downcast::<StatsError>().unwrap().to_string(),
        other => panic!("{other:?}"),
    };
    assert!(fails(Settings { min_rounds: 1, ..settings() }).contains("min_rounds is 1"));
    assert!(fails(Settings { max_rounds: 6, ..settings() }).contains("max_rounds is 6"));
    assert!(fails(Settings { confidence: 1.0, ..settings() }).contains("confidence is 1"));
    assert!(fails(Settings { width: f64::NAN, ..settings() }).contains("width is NaN"));

    let idle = compare_on(&clock, steady(), || Ok(()), &settings()).unwrap_err();
    assert!(idle.to_string().contains("`b` takes no time"), "{idle}");
    let empty = Benchmark::new(settings()).run_on(&clock).unwrap_err();
    assert!(matches!(empty.downcast_ref(), Some(StatsError::NoCandidates)));

    let broken = || Err(StatsError::NoCandidates.into());
    assert!(compare_on(&clock, steady(), broken, &settings()).is_err());
}
