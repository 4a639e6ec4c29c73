//! How a convolution reads its input, and how its output is cut into tasks.

use super::conv_access::{Access, KernelRuns};
use super::conv_shape::ConvShape;
use super::finish::Target;
use super::operands::{Images, Layout, RowParams};
use super::panels::Packed;
use super::slab::Slab;
use super::turned::rows_at_once;
use super::widen::WideSize;
use super::winograd;
use super::{Epilogue, Panels, QParams};
use crate::Isa;
use crate::threads::{CONV_INT8, DEPTHWISE_INT8, product_int8_operations};
use crate::tuning::PANEL;
use std::ops::Range;

/// A convolution whose arguments have been checked.
pub(super) struct Job<'a> {
    pub(super) isa: Isa,
    /// In its [canonical](ConvShape::canonical) form.
    pub(super) shape: &'a ConvShape,
    pub(super) images: &'a Images<'a>,
    pub(super) weight: &'a Panels,
    pub(super) epilogue: &'a Epilogue<'a>,
    pub(super) target: Target,
    pub(super) layout: Layout,
    pub(super) access: Access,
}

/// How the output is cut.
pub(super) struct Cut {
    pub(super) out_width: usize,
    /// Rows whose results are turned together before they are written; 0 if none are.
    pub(super) turned_rows: usize,
    pub(super) task_rows: usize,
    pub(super) row_parts: usize,
    pub(super) channel_parts: usize,
    pub(super) threads: usize,
}

impl Cut {
    /// The channels of a part of the channels.
    pub(super) fn columns(&self, part: usize, channels: usize) -> Range<usize> {
        let panels = channels.div_ceil(PANEL);
        let column = |part: usize| channels.min(panels * part / self.channel_parts * PANEL);
        column(part)..column(part + 1)
    }

    /// Channels of a part at most.
    pub(super) fn most_columns(&self, channels: usize) -> usize {
        channels.min(channels.div_ceil(PANEL).div_ceil(self.channel_parts) * PANEL)
    }
}

impl Job<'_> {
    /// Whether the pair rule holds for the weight as it is multiplied.
    pub(super) fn uses_pair_rule(&self) -> bool {
        // Padding changes the pairs, and the products of others have none.
        let same_pairs = matches!(self.access, Access::InPlace | Access::Gathered(_));
        same_pairs && self.level_bytes() == 1 && self.weight.pair_rule_holds()
    }

    /// Bytes of a value of the images.
    pub(super) fn level_bytes(&self) -> usize {
        self.images.params.level_bytes()
    }

    /// The sizes of the images with a channel for each byte, which is all that who copies them has to know.
    pub(super) fn in_bytes(&self) -> ConvShape {
        ConvShape { in_channels: self.level_bytes() * self.shape.in_channels, ..*self.shape }
    }

    /// The parameters of an image as those of all its rows.
    pub(super) fn row_params(&self, params: QParams) -> RowParams<'static> {
        match self.level_bytes() {
            1 => RowParams::Tensor(params),
            _ => RowParams::Tensor16(params),
        }
    }

    /// What a thread needs to widen what a task reads.
    pub(super) fn wide_size(&self, cut: &Cut, runs: &KernelRuns, gathered: usize) -> WideSize {
        let activations = match self.access {
            Access::Depthwise => return WideSize::default(),
            Access::Winograd => {
                return winograd::wide_size(self.shape, cut.task_rows, cut.out_width);
            }
            Access::Gathered(_) => gathered,
            _ => Slab::bytes(self.shape, Slab::height(self.shape, cut.task_rows)),
        };
        let (packed, pair_rule) = (self.weight.packed(), self.uses_pair_rule());
        let k = if self.access == Access::Padded { runs.count * runs.read } else { packed.k };
        let packed = Packed { k, pair_rule, ..packed };
        match self.level_bytes() {
            1 => WideSize::of(self.isa, &packed, activations),
            _ => WideSize::of_weights(&packed),
        }
    }

    pub(super) fn cut(&self, [out_height, out_width]: [usize; 2]) -> Cut {
        let (shape, access) = (self.shape, self.access);
        let results = shape.batch * out_height * out_width * shape.out_channels;
        let threads = match access {
            Access::Depthwise => DEPTHWISE_INT8.shares(results * self.weight.k()),
            _ => CONV_INT8.shares(product_int8_operations(results, self.weight.k())),
        };
        // Few rows do not divide evenly among threads; channels do.
        let panels = shape.out_channels / PANEL;
        let by_channels = shape.batch < threads
            && out_height < 8 * threads
            && panels >= threads
            && shape.groups == 1
            && matches!(access, Access::InPlace | Access::Winograd);
        let channel_parts = if by_channels { threads } else { 1 };
        let even = out_height.div_ceil(threads.div_ceil(shape.batch * channel_parts));
        let sizes = &self.isa.tuning().product_int8;
        let task_rows = match access {
            Access::Winograd => {
                let rows = winograd::rows_within(sizes.slab_bytes, shape, out_width);
                even.next_multiple_of(2).min(rows)
            }
            _ => even.min(self.slab_rows_within(sizes.slab_bytes, even)),
        };
        let row_parts = out_height.div_ceil(task_rows);
        let threads = threads.min(channel_parts * shape.batch * row_parts);
        let in_channel_order = self.layout == Layout::Nchw && out_height * out_width > 1;
        let is_turned = in_channel_order
            && shape.out_channels > 1
            && access != Access::Depthwise
            && self.target.is_float();
        let mut cut =
            Cut { out_width, turned_rows: 0, task_rows, row_parts, channel_parts, threads };
        if is_turned {
            let columns = cut.most_columns(shape.out_channels);
            cut.turned_rows = rows_at_once(out_width, columns).min(task_rows);
        }
        cut
    }

    /// Rows of outputs, one at least and `most` at most, whose slab takes so many bytes.
    fn slab_rows_within(&self, bytes: usize, most: usize) -> usize {
        let shape = self.in_bytes();
        let fits = |rows: &usize| Slab::bytes(&shape, Slab::height(&shape, rows + 1)) <= bytes;
        (1..most).take_while(fits).last().map_or(1, |rows| rows + 1)
    }

    pub(super) fn copies_slab(&self) -> bool {
        self.shape.is_padded() || self.access.reads_beyond()
    }
}
