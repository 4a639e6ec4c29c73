//! A product cut into areas, which threads share.

use std::ops::Range;

use super::columns::COLUMNS;
use super::finish::ROWS;
use crate::tuning::PANEL;

/// Panels of the widest tile.
const TILE_PANELS: usize = COLUMNS / PANEL;

/// Some rows of the activations and the panels that they meet.
pub(super) struct Area {
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
}

/// A product cut into areas, small enough that threads end together and large enough that it takes
/// no time to hand them out.
pub(super) struct Cut {
    m: usize,
    panels: Range<usize>,
    by_panels: bool,
    /// Rows or panels of an area.
    size: usize,
}

impl Cut {
    /// Cuts `m` rows by some panels for so many threads. Where activations are widened, each area widens its own.
    pub(super) fn new(m: usize, panels: Range<usize>, threads: usize, widens: bool) -> Cut {
        // Cutting the columns lets each thread read its own part of the weights, and all activations.
        let few_activations = !widens || m <= panels.len() * PANEL;
        let by_panels =
            panels.len() >= threads * TILE_PANELS && few_activations || panels.len() >= m;
        // Each area of rows sums the weights again.
        let (units, unit, areas_per_thread) =
            if by_panels { (panels.len(), TILE_PANELS, 32) } else { (m, ROWS, 4) };
        let size = match threads {
            1 => units,
            _ => (units / (areas_per_thread * threads)).next_multiple_of(unit),
        };
        Cut { m, panels, by_panels, size: size.max(unit) }
    }

    /// How many areas there are.
    pub(super) fn areas(&self) -> usize {
        let units = if self.by_panels { self.panels.len() } else { self.m };
        units.div_ceil(self.size)
    }

    /// An area by its number, from 0 on.
    pub(super) fn area(&self, index: usize) -> Area {
        let part = |all: &Range<usize>| {
            let start = all.start + index * self.size;
            start..all.end.min(start + self.size)
        };
        if self.by_panels {
            Area { rows: 0..self.m, panels: part(&self.panels) }
        } else {
            Area { rows: part(&(0..self.m)), panels: self.panels.clone() }
        }
    }
}
