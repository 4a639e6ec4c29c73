//! Cutting inputs that are too long and filling up those that are too short.

use super::template::Typed;
use crate::TextError;
use serde::{Deserialize, Serialize};

/// Which end of an input something is done to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// The beginning.
    Left,
    /// The end.
    #[default]
    Right,
}

/// Cuts inputs that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncation {
    /// The end that is cut off.
    #[serde(default)]
    pub direction: Direction,
    /// Tokens in an input at most, special tokens included.
    pub max_length: usize,
    /// Which text of a pair is cut.
    pub strategy: TruncationStrategy,
    /// Overlap of the pieces that are cut off; they are not kept, so it has no effect.
    #[serde(default)]
    pub stride: usize,
}

/// Which text of a pair is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TruncationStrategy {
    /// The longer one, until both are equally long; then both.
    #[default]
    LongestFirst,
    /// The first text.
    OnlyFirst,
    /// The second text.
    OnlySecond,
}

impl Truncation {
    /// Cuts the end of inputs with more than `max_length` tokens, special tokens included.
    pub fn new(max_length: usize) -> Truncation {
        let (direction, strategy) = (Direction::Right, TruncationStrategy::LongestFirst);
        Truncation { direction, max_length, strategy, stride: 0 }
    }

    /// Cuts the texts so that they fit with `special` tokens around them.
    pub(super) fn apply(
        &self,
        first: &mut Vec<i64>,
        second: Option<&mut Vec<i64>>,
        special: usize,
    ) -> Result<(), TextError> {
        let max_length = self.max_length;
        let short = |reason| TextError::Truncation { max_length, reason };
        let room = max_length
            .checked_sub(special)
            .ok_or_else(|| short(format!("{special} special tokens alone are more")))?;
        let (n, m) = (first.len(), second.as_ref().map_or(0, |second| second.len()));
        let excess = (n + m).saturating_sub(room);
        if excess == 0 {
            return Ok(());
        }
        let without = |which: &str, len: usize| {
            let left = len.checked_sub(excess).filter(|&left| left > 0);
            left.ok_or_else(|| {
                short(format!("the {which} text has {len} tokens, {excess} too many"))
            })
        };
        let (keep_first, keep_second) = match (self.strategy, &second) {
            (TruncationStrategy::LongestFirst, None) => (room, 0),
            (TruncationStrategy::LongestFirst, Some(_)) => share(room, n, m),
            (TruncationStrategy::OnlyFirst, _) => (without("first", n)?, m),
            (TruncationStrategy::OnlySecond, _) => (n, without("second", m)?),
        };
        self.direction.cut(first, keep_first);
        if let Some(second) = second {
            self.direction.cut(second, keep_second);
        }
        Ok(())
    }
}

/// Splits `room` between texts of `n` and `m` tokens: the shorter keeps all it can, up to half.
fn share(room: usize, n: usize, m: usize) -> (usize, usize) {
    let half = room / 2;
    match n <= m {
        true if n <= half => (n, room - n),
        false if m <= half => (room - m, m),
        true => (half, room - half),
        false => (room - half, half),
    }
}

impl Direction {
    fn cut(self, ids: &mut Vec<i64>, keep: usize) {
        match self {
            Direction::Left => drop(ids.drain(..ids.len().saturating_sub(keep))),
            Direction::Right => ids.truncate(keep),
        }
    }
}

/// Fills inputs up to one length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// To which length.
    pub strategy: PaddingStrategy,
    /// The end that is filled.
    #[serde(default)]
    pub direction: Direction,
    /// Rounds the length up to a multiple of this.
    #[serde(default)]
    pub pad_to_multiple_of: Option<usize>,
    /// The id to fill with.
    pub pad_id: i64,
    /// The segment of the filling.
    #[serde(default)]
    pub pad_type_id: i64,
    /// The token with the id to fill with.
    pub pad_token: String,
}

/// The length inputs are filled up to; a longer input keeps its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaddingStrategy {
    /// That of the longest input in the batch.
    #[default]
    BatchLongest,
    /// This many tokens.
    Fixed(usize),
}

impl Padding {
    /// Fills the end of inputs with `pad_id`, up to the longest of the batch.
    pub fn new(pad_id: i64, pad_token: &str) -> Padding {
        Padding {
            strategy: PaddingStrategy::BatchLongest,
            direction: Direction::Right,
            pad_to_multiple_of: None,
            pad_id,
            pad_type_id: 0,
            pad_token: pad_token.to_owned(),
        }
    }

    /// The length of inputs of which the longest has `longest` tokens.
    pub(super) fn length(&self, longest: usize) -> Option<usize> {
        let length = match self.strategy {
            PaddingStrategy::BatchLongest => longest,
            PaddingStrategy::Fixed(length) => length.max(longest),
        };
        match self.pad_to_multiple_of {
            None | Some(0) => Some(length),
            Some(multiple) => length.checked_next_multiple_of(multiple),
        }
    }
}

/// One input as a model takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<i64>,
    /// The segment of each token: 0 for the first text, 1 for the second.
    pub type_ids: Vec<i64>,
    /// 1 for each token, 0 for padding.
    pub attention_mask: Vec<i64>,
}

impl Encoding {
    pub(super) fn new(typed: &Typed) -> Encoding {
        let (ids, type_ids) = typed.iter().copied().unzip();
        Encoding { ids, type_ids, attention_mask: vec![1; typed.len()] }
    }

    pub(super) fn pad(&mut self, padding: &Padding, length: usize) {
        let missing = length.saturating_sub(self.ids.len());
        let at = match padding.direction {
            Direction::Left => 0,
            Direction::Right => self.ids.len(),
        };
        let fill = |values: &mut Vec<i64>, value| {
            drop(values.splice(at..at, std::iter::repeat_n(value, missing)));
        };
        fill(&mut self.ids, padding.pad_id);
        fill(&mut self.type_ids, padding.pad_type_id);
        fill(&mut self.attention_mask, 0);
    }
}
