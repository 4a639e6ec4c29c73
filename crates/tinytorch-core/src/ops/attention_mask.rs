//! Which keys each query of an attention looks at, and the softmax over their scores.

use crate::Result;
use crate::graph::{Elements, View};
use crate::tensor::{MAX_RANK, Shape, TensorError, view};
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::rows;

/// Whether a mask stretches to scores `[.., queries, keys]`.
pub(super) fn check_mask(op: &'static str, scores: &Shape, mask: &Shape) -> Result<()> {
    if scores.broadcast(mask, op).is_ok_and(|both| both == *scores) {
        return Ok(());
    }
    let expected = "the mask must broadcast to the scores, [.., queries, keys]";
    Err(TensorError::Mismatch { op, left: *scores, right: *mask, expected }.into())
}

/// Which keys each row of scores keeps.
pub(super) struct Kept<'a> {
    causal: bool,
    scores: &'a Shape,
    mask: Option<View<'a>>,
    /// How the mask stretches to the scores.
    strides: [usize; MAX_RANK],
}

impl<'a> Kept<'a> {
    /// The keys that a mask leaves to scores of this shape.
    pub(super) fn new(causal: bool, scores: &'a Shape, mask: Option<&View<'a>>) -> Kept<'a> {
        let strides = match mask {
            Some(mask) => view::stretched_strides(&mask.shape, scores),
            None => [0; MAX_RANK],
        };
        Kept { causal, scores, mask: mask.copied(), strides }
    }

    /// Whether every query looks at all keys.
    pub(super) fn is_all(&self) -> bool {
        !self.causal && self.mask.is_none()
    }

    /// Numbers of working memory that [`Kept::softmax`] needs.
    pub(super) fn memory(&self) -> usize {
        if self.mask.is_some() { 2 * self.scores.last_dim() } else { 0 }
    }

    /// Number of leading keys that a causal mask leaves to this row.
    pub(super) fn visible(&self, row: usize) -> usize {
        let (rank, keys) = (self.scores.rank(), self.scores.last_dim());
        let queries = self.scores[rank - 2];
        if self.causal {
            (row % queries + 1 + keys).saturating_sub(queries).min(keys)
        } else {
            keys
        }
    }

    /// Whether the mask keeps a key of the row that starts at `start` of the mask.
    fn keeps(&self, start: usize, key: usize) -> bool {
        let Some(mask) = &self.mask else { return true };
        let at = start + key * self.strides[self.scores.rank() - 1];
        match mask.elements {
            Elements::F32(v) => v[at] != 0.0,
            Elements::I64(v) => v[at] != 0,
            Elements::I32(v) => v[at] != 0,
            Elements::U8(v) => v[at] != 0,
            Elements::I8(v) => v[at] != 0,
            Elements::Bool(v) => v[at],
        }
    }

    /// Where the row starts in the mask.
    fn start(&self, mut row: usize) -> usize {
        let mut start = 0;
        for axis in (0..self.scores.rank() - 1).rev() {
            start += row % self.scores[axis] * self.strides[axis];
            row /= self.scores[axis];
        }
        start
    }

    /// The row of the mask that starts at `start`.
    fn mask_row(&self, start: usize) -> MaskRow {
        let keys = self.scores.last_dim();
        let leading = (0..keys).position(|key| !self.keeps(start, key)).unwrap_or(keys);
        let rest = (leading..keys).rposition(|key| self.keeps(start, key));
        MaskRow { start, leading, end: rest.map_or(leading, |last| leading + last + 1) }
    }

    /// The softmax of a row of scores. `memory` holds the kept ones next to each other, and `last` the
    /// mask's row that was looked at last: all heads, and often all queries, have the same.
    pub(super) fn softmax(
        &self,
        isa: Isa,
        row: usize,
        x: &[f32],
        last: &mut Option<MaskRow>,
        memory: &mut [f32],
        y: &mut [f32],
    ) {
        let start = self.start(row);
        let mask = match *last {
            Some(mask) if mask.start == start => mask,
            _ => *last.insert(self.mask_row(start)),
        };
        let end = self.visible(row).min(mask.end);
        let (visible, hidden) = y.split_at_mut(end);
        hidden.fill(0.0);
        let softmax = |x: &[f32], y: &mut [f32]| {
            if !x.is_empty() {
                rows::softmax(isa, x.len(), x, y);
            }
        };
        if end <= mask.leading {
            return softmax(&x[..end], visible);
        }
        let (scores, weights) = memory.split_at_mut(self.scores.last_dim());
        let kept = (0..end).filter(|&key| self.keeps(start, key));
        let mut count = 0;
        for (key, score) in kept.clone().zip(&mut *scores) {
            *score = x[key];
            count += 1;
        }
        softmax(&scores[..count], &mut weights[..count]);
        visible.fill(0.0);
        kept.zip(weights).for_each(|(key, weight)| visible[key] = *weight);
    }
}

/// What a row of a mask keeps.
#[derive(Clone, Copy)]
pub(super) struct MaskRow {
    start: usize,
    /// Number of keys before the first that is left out.
    leading: usize,
    /// Where the last kept key ends; equal to `leading` where only the end is padding.
    end: usize,
}
