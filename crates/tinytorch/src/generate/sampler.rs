//! The choice of the next token.

use super::GenerateError;
use crate::Rng;

/// How [`Sampler`] draws.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Scores are divided by it: below 1 likely tokens become likelier, above 1 less so.
    pub temperature: f32,
    /// Only so many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that reach this probability together (nucleus sampling: Holtzman et
    /// al., 2020). It is taken of those that `top_k` leaves.
    pub top_p: Option<f32>,
    /// Names the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    /// The model's own distribution, seed 0.
    fn default() -> Sampling {
        Sampling { temperature: 1.0, top_k: None, top_p: None, seed: 0 }
    }
}

/// Chooses the next token from the scores of all tokens.
///
/// Of tokens with equal scores the one with the lower id comes first, and random numbers come from
/// [`Rng`], so that the same seed and scores choose the same tokens everywhere.
///
/// ```
/// use tinytorch::generate::{Sampler, Sampling};
/// let scores = [1.0, 3.0, 2.0];
/// assert_eq!(Sampler::greedy().choose(&scores)?, 1);
/// let mut sampler = Sampler::new(Sampling { top_k: Some(2), ..Sampling::default() })?;
/// assert!((0..20).all(|_| [1, 2].contains(&sampler.choose(&scores).unwrap())));
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    draw: Option<Draw>,
}

#[derive(Clone, Debug)]
struct Draw {
    sampling: Sampling,
    rng: Rng,
    /// Tokens to choose from and their weights, in memory that is used again.
    candidates: Vec<(usize, f64)>,
}

impl Sampler {
    /// Always the likeliest token.
    pub fn greedy() -> Sampler {
        Sampler { draw: None }
    }

    /// Draws from the tokens that `sampling` leaves, with the probabilities that their scores give
    /// them.
    ///
    /// # Errors
    /// [`GenerateError::Temperature`], [`GenerateError::TopK`] or [`GenerateError::TopP`] for settings
    /// that leave nothing to draw from.
    pub fn new(sampling: Sampling) -> Result<Sampler, GenerateError> {
        let Sampling { temperature, top_k, top_p, seed } = sampling;
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(GenerateError::Temperature { temperature });
        }
        if top_k == Some(0) {
            return Err(GenerateError::TopK);
        }
        if let Some(top_p) = top_p
            && !(top_p > 0.0 && top_p <= 1.0)
        {
            return Err(GenerateError::TopP { top_p });
        }
        let draw = Draw { sampling, rng: Rng::seed(seed), candidates: Vec::new() };
        Ok(Sampler { draw: Some(draw) })
    }

    /// The id of the next token; `scores` are logits, one for each token. A token with a score of
    /// negative infinity is never chosen.
    ///
    /// # Errors
    /// [`GenerateError::Score`] if a score is NaN or positive infinity, or if all are negative
    /// infinity; [`GenerateError::NoScores`] if there are none.
    pub fn choose(&mut self, scores: &[f32]) -> Result<i64, GenerateError> {
        let unusable = |score: &f32| score.is_nan() || *score == f32::INFINITY;
        if let Some(id) = scores.iter().position(unusable) {
            return Err(GenerateError::Score { id, score: scores[id] });
        }
        let best = likeliest(scores)?;
        let id = match &mut self.draw {
            None => best,
            Some(draw) => draw.choose(scores, scores[best]),
        };
        Ok(id as i64)
    }
}

/// The first token with the highest score.
fn likeliest(scores: &[f32]) -> Result<usize, GenerateError> {
    let mut best = 0;
    for (id, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = id;
        }
    }
    match scores.get(best) {
        None => Err(GenerateError::NoScores),
        Some(&score) if score == f32::NEG_INFINITY => Err(GenerateError::Score { id: best, score }),
        Some(_) => Ok(best),
    }
}

impl Draw {
    fn choose(&mut self, scores: &[f32], highest: f32) -> usize {
        let Sampling { temperature, top_k, top_p, .. } = self.sampling;
        let weight = |score: f32| (f64::from(score - highest) / f64::from(temperature)).exp();
        let candidates = &mut self.candidates;
        candidates.clear();
        candidates.extend(scores.iter().map(|&score| weight(score)).enumerate());
        if top_k.is_some() || top_p.is_some() {
            candidates.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            candidates.truncate(top_k.unwrap_or(usize::MAX));
        }
        if let Some(top_p) = top_p {
            let mut wanted = f64::from(top_p) * total(candidates);
            let reaches = |(_, weight): &(usize, f64)| {
                wanted -= weight;
                wanted <= 0.0
            };
            let last = candidates.iter().position(reaches);
            candidates.truncate(last.map_or(candidates.len(), |last| last + 1));
        }
        let unit = (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut left = unit * total(candidates);
        for &(id, weight) in candidates.iter() {
            left -= weight;
            if left < 0.0 {
                return id;
            }
        }
        // Rounding may leave a trace of the total, which the last candidate with a weight takes.
        candidates.iter().rev().find(|(_, weight)| *weight > 0.0).map_or(0, |(id, _)| *id)
    }
}

fn total(candidates: &[(usize, f64)]) -> f64 {
    candidates.iter().map(|(_, weight)| weight).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 4] = [0.0, 2.0, 1.0, 2.0];

    fn sampler(change: impl FnOnce(&mut Sampling)) -> Sampler {
        let mut sampling = Sampling { seed: 7, ..Sampling::default() };
        change(&mut sampling);
        Sampler::new(sampling).unwrap()
    }

    /// How often each of the four tokens is drawn.
    fn shares(mut sampler: Sampler, scores: &[f32; 4]) -> [f64; 4] {
        let (mut counts, draws) = ([0.0; 4], 40_000);
        for _ in 0..draws {
            counts[sampler.choose(scores).unwrap() as usize] += 1.0;
        }
        counts.map(|count| count / f64::from(draws))
    }

    fn assert_near(shares: [f64; 4], weights: [f64; 4]) {
        let total: f64 = weights.iter().sum();
        for (share, weight) in shares.iter().zip(weights) {
            // Five standard deviations of 40,000 draws.
            assert!((share - weight / total).abs() < 0.0125, "{shares:?} against {weights:?}");
            assert_eq!(*share == 0.0, weight == 0.0);
        }
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest() {
        assert_eq!(Sampler::greedy().choose(&SCORES).unwrap(), 1);
        assert_eq!(Sampler::greedy().choose(&[f32::NEG_INFINITY, -1e30]).unwrap(), 1);
    }

    #[test]
    fn tokens_are_drawn_as_their_scores_say() {
        let weights = |t: f64| SCORES.map(|s| (f64::from(s) / t).exp());
        assert_near(shares(sampler(|_| ()), &SCORES), weights(1.0));
        assert_near(shares(sampler(|s| s.temperature = 0.5), &SCORES), weights(0.5));
        assert_near(shares(sampler(|s| s.temperature = 3.0), &SCORES), weights(3.0));
        let never = [0.0, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
        assert_near(shares(sampler(|_| ()), &never), [1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn top_k_leaves_the_likeliest_and_of_equals_the_first() {
        let [e1, e2] = [1f64, 2.0].map(f64::exp);
        for (k, weights) in [(1, [0.0, 1.0, 0.0, 0.0]), (3, [0.0, e2, e1, e2])] {
            assert_near(shares(sampler(|s| s.top_k = Some(k)), &SCORES), weights);
        }
        let all = shares(sampler(|s| s.top_k = Some(9)), &SCORES);
        assert!(all.iter().all(|&share| share > 0.0));
    }

    #[test]
    fn top_p_leaves_the_fewest_that_reach_it() {
        let scores = [0.1f32, 0.5, 0.3, 0.1].map(f32::ln);
        let at = |p: f32| shares(sampler(|s| s.top_p = Some(p)), &scores);
        assert_near(at(0.01), [0.0, 1.0, 0.0, 0.0]);
        assert_near(at(0.49), [0.0, 1.0, 0.0, 0.0]);
        assert_near(at(0.51), [0.0, 5.0, 3.0, 0.0]);
        assert_near(at(0.85), [1.0, 5.0, 3.0, 0.0]);
        assert_near(at(1.0), [1.0, 5.0, 3.0, 1.0]);
        // Of the two that top-k leaves, the first has 5/8.
        let both = sampler(|s| (s.top_k, s.top_p) = (Some(2), Some(0.6)));
        assert_near(shares(both, &scores), [0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_seed_names_the_draws() {
        let draws = |seed| -> Vec<i64> {
            let mut sampler = sampler(|s| s.seed = seed);
            (0..50).map(|_| sampler.choose(&SCORES).unwrap()).collect()
        };
        assert_eq!(draws(3), draws(3));
        assert_ne!(draws(3), draws(4));
    }

    #[test]
    fn settings_that_leave_nothing_are_errors() {
        let fail = |change: fn(&mut Sampling)| {
            let mut sampling = Sampling::default();
            change(&mut sampling);
            Sampler::new(sampling).unwrap_err()
        };
        for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            let error = Sampler::new(Sampling { temperature, ..Sampling::default() }).unwrap_err();
            assert!(error.to_string().contains("positive and finite"), "{error}");
        }
        assert_eq!(fail(|s| s.top_k = Some(0)), GenerateError::TopK);
        for top_p in [0.0, -0.5, 1.1, f32::NAN] {
            let sampling = Sampling { top_p: Some(top_p), ..Sampling::default() };
            assert!(matches!(Sampler::new(sampling), Err(GenerateError::TopP { .. })), "{top_p}");
        }
    }

    #[test]
    fn scores_that_rank_nothing_are_errors() {
        for mut sampler in [Sampler::greedy(), sampler(|_| ())] {
            for bad in [f32::NAN, f32::INFINITY] {
                let error = sampler.choose(&[0.0, bad, 1.0]).unwrap_err();
                assert!(matches!(error, GenerateError::Score { id: 1, .. }), "{error}");
            }
            let none = sampler.choose(&[f32::NEG_INFINITY; 3]).unwrap_err();
            assert!(matches!(none, GenerateError::Score { id: 0, .. }), "{none}");
            assert_eq!(sampler.choose(&[]).unwrap_err(), GenerateError::NoScores);
        }
    }

    #[test]
    fn extreme_scores_are_drawn_from_too() {
        let mut sampler = sampler(|s| (s.temperature, s.top_p) = (1e-30, Some(0.5)));
        assert_eq!(sampler.choose(&[3e38, -3e38, 3.1e38]).unwrap(), 2);
    }
}
