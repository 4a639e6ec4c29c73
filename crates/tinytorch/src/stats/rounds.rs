//! Timing candidates in turn.

use super::interval::Interval;
use super::{Clock, Settings, StatsError};
use crate::Result;

/// Something to time, and what to call it.
pub(super) struct Candidate<'a> {
    pub(super) name: String,
    pub(super) work: Box<dyn FnMut() -> Result<()> + 'a>,
}

/// Calls in a row beyond which work is called too short to time.
const MOST_CALLS: u64 = 1 << 24;

/// Seconds per call of several candidates, one list each; places correspond to rounds.
pub(super) struct Rounds(pub(super) Vec<Vec<f64>>);

impl Rounds {
    /// The ratios of a candidate's times to the first's, and their interval.
    pub(super) fn ratio(&self, candidate: usize, settings: &Settings) -> Interval {
        let pairs = self.0[candidate].iter().zip(&self.0[0]);
        let ratios: Vec<f64> = pairs.map(|(time, first)| time / first).collect();
        Interval::of_median(&ratios, settings.confidence, settings.seed)
    }

    fn count(&self) -> usize {
        self.0[0].len()
    }

    fn settled(&self, settings: &Settings) -> bool {
        (1..self.0.len()).all(|i| self.ratio(i, settings).width() < settings.width)
    }
}

/// Times the candidates round by round until their ratios to the first are known well enough.
///
/// All are called equally often in a row, and each round begins with another one, so that what slows
/// the machine for a while meets them alike.
pub(super) fn run(
    clock: &impl Clock,
    candidates: &mut [Candidate<'_>],
    settings: &Settings,
) -> Result<Rounds> {
    settings.check()?;
    if candidates.is_empty() {
        return Err(StatsError::NoCandidates.into());
    }
    let started = clock.now();
    let calls = calls_per_sample(clock, candidates, settings)?;
    let mut rounds = Rounds(vec![Vec::new(); candidates.len()]);
    let mut look_at = settings.min_rounds;
    loop {
        let (count, begin_with) = (candidates.len(), rounds.count() % candidates.len());
        for i in (0..count).map(|i| (begin_with + i) % count) {
            let seconds = seconds_for(clock, &mut candidates[i], calls)?;
            if seconds <= 0.0 {
                let name = candidates[i].name.clone();
                return Err(StatsError::TooShort { name, calls }.into());
            }
            rounds.0[i].push(seconds / calls as f64);
        }
        if rounds.count() < settings.min_rounds {
            continue;
        }
        let late = clock.now().saturating_sub(started) >= settings.time_limit;
        if late || rounds.count() >= settings.max_rounds {
            return Ok(rounds);
        }
        if rounds.count() >= look_at {
            if rounds.settled(settings) {
                return Ok(rounds);
            }
            // A look costs more the more rounds there are; a quarter more each time keeps the sum
            // of all looks within five times the last one.
            look_at += look_at / 4;
        }
    }
}

/// How many calls in a row take the fastest candidate as long as a sample should; the trials warm
/// all of them up.
fn calls_per_sample(
    clock: &impl Clock,
    candidates: &mut [Candidate<'_>],
    settings: &Settings,
) -> Result<u64> {
    let sample = settings.sample.as_secs_f64();
    let mut needed = 1;
    for candidate in candidates {
        let mut calls = 1;
        // The first call allocates and loads what later ones find ready.
        seconds_for(clock, candidate, 1)?;
        while seconds_for(clock, candidate, calls)? < sample && calls < MOST_CALLS {
            calls *= 2;
        }
        needed = needed.max(calls);
    }
    Ok(needed)
}

fn seconds_for(clock: &impl Clock, candidate: &mut Candidate<'_>, calls: u64) -> Result<f64> {
    let started = clock.now();
    for _ in 0..calls {
        (candidate.work)()?;
    }
    Ok(clock.now().saturating_sub(started).as_secs_f64())
}
