//! By which angles rotary positions turn, and how they are stretched for texts longer than those of training.

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// How angles are scaled so that a model reads longer texts than it was trained on. `context` is the largest
/// number of positions of the training before; each formula is computed as Hugging Face's transformers does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RopeScaling {
    /// All angles are divided by `factor` (Chen et al., 2023, position interpolation).
    Linear {
        /// How many times longer texts become.
        factor: f32,
    },
    /// Llama 3.1's: pairs with more than `high` turns within the context keep their angles, those with fewer
    /// than `low` have them divided by `factor`, and between them the share changes with the number of turns.
    Llama3 {
        /// How many times longer texts become.
        factor: f32,
        /// Turns below which angles are divided.
        low: f32,
        /// Turns above which they are kept.
        high: f32,
        /// Positions before.
        context: usize,
    },
    /// YaRN (Peng et al., 2023): as Llama 3.1's, but the share changes with the number of the pair, and turned
    /// vectors are also `length` times as long.
    Yarn {
        /// How many times longer texts become.
        factor: f32,
        /// Turns above which angles are kept, 32 in the paper.
        fast: f32,
        /// Turns below which they are divided, 1 in the paper.
        slow: f32,
        /// Positions before.
        context: usize,
        /// What turned vectors are multiplied by.
        length: f32,
        /// Whether the ends of the change are whole numbers of pairs.
        whole: bool,
    },
}

/// The angles of rotary positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Angles {
    pub(crate) base: f32,
    pub(crate) scaling: Option<RopeScaling>,
}

impl Angles {
    /// The angle from one position to the next of pair `pair` in vectors of `dim` entries.
    pub(crate) fn speed(&self, pair: usize, dim: usize) -> f64 {
        let base = f64::from(self.base);
        let speed = base.powf(-2.0 * pair as f64 / dim as f64);
        match self.scaling {
            None => speed,
            Some(RopeScaling::Linear { factor }) => speed / f64::from(factor),
            Some(RopeScaling::Llama3 { factor, low, high, context }) => {
                let (low, high) = (f64::from(low), f64::from(high));
                let turns = context as f64 * speed / TAU;
                mixed(speed, factor, ((turns - low) / (high - low)).clamp(0.0, 1.0))
            }
            Some(RopeScaling::Yarn { factor, fast, slow, context, whole, .. }) => {
                let pair_with = |turns: f32| {
                    dim as f64 * (context as f64 / (f64::from(turns) * TAU)).ln()
                        / (2.0 * base.ln())
                };
                let (start, end) = match (pair_with(fast), pair_with(slow)) {
                    (start, end) if whole => (start.floor(), end.ceil()),
                    ends => ends,
                };
                let (start, mut end) = (start.max(0.0), end.min(dim as f64 - 1.0));
                if start == end {
                    // As transformers keeps the division from failing.
                    end += 0.001;
                }
                let divided = ((pair as f64 - start) / (end - start)).clamp(0.0, 1.0);
                mixed(speed, factor, 1.0 - divided)
            }
        }
    }

    /// What turned vectors are multiplied by.
    pub(crate) fn length(&self) -> f64 {
        match self.scaling {
            Some(RopeScaling::Yarn { length, .. }) => length.into(),
            _ => 1.0,
        }
    }
}

/// A speed of which the share `kept` stays and the rest is divided by `factor`.
fn mixed(speed: f64, factor: f32, kept: f64) -> f64 {
    speed / f64::from(factor) * (1.0 - kept) + speed * kept
}
