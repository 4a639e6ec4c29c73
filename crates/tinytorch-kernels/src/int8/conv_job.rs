//! How a convolution reads its input, and how its output is cut into tasks.

use super::conv_shape::ConvShape;
use super::finish::{ROWS, Target};
use super::operands::{Images, Layout};
use super::panels::Packed;
use super::slab::Slab;
use super::widen::WideSize;
use super::{Epilogue, Panels, Scales};
use crate::Isa;
use crate::threads::{CONV_INT8, DEPTHWISE_INT8, product_int8_operations};
use crate::tuning::{GROUP, PANEL};

/// How many times as many values as there are a padded run may hold. Gathering takes as long as
/// multiplying: on a 7 x 7 kernel over three channels it halved the speed.
const MOST_PADDING: usize = 2;

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
}

/// How the values under the kernel are read.
#[derive(Copy, Clone, PartialEq)]
pub(super) enum Access {
    /// Where they are, in runs of whole groups of four.
    InPlace,
    /// Where they are, in runs that are filled up to whole groups of four with whatever follows,
    /// which meets weights of 0.
    Padded,
    /// Gathered, this many output pixels at a time.
    Gathered(usize),
    /// Channel by channel.
    Depthwise,
}

/// The runs in which values of a group lie under the kernel: `count` runs of `len` values, of
/// which `read` are read.
pub(super) struct KernelRuns {
    pub(super) count: usize,
    pub(super) len: usize,
    pub(super) read: usize,
}

/// How the output is cut.
pub(super) struct Cut {
    pub(super) access: Access,
    pub(super) is_turned: bool,
    pub(super) task_rows: usize,
    pub(super) row_parts: usize,
    pub(super) channel_parts: usize,
    pub(super) threads: usize,
}

impl Job<'_> {
    /// Whether the pair rule holds for the weight as it is multiplied.
    pub(super) fn uses_pair_rule(&self) -> bool {
        // Padding changes the pairs, and depthwise products have others.
        let same_pairs = !matches!(self.access(), Access::Padded | Access::Depthwise);
        same_pairs && self.weight.pair_rule_holds()
    }

    /// What a thread needs to widen what a task reads.
    pub(super) fn wide_size(&self, cut: &Cut, runs: &KernelRuns, gathered: usize) -> WideSize {
        let activations = match cut.access {
            Access::Depthwise => return WideSize::default(),
            Access::Gathered(_) => gathered,
            _ => Slab::bytes(self.shape, Slab::height(self.shape, cut.task_rows)),
        };
        let (packed, pair_rule) = (self.weight.packed(), self.uses_pair_rule());
        let k = if cut.access == Access::Padded { runs.count * runs.read } else { packed.k };
        WideSize::of(self.isa, &Packed { k, pair_rule, ..packed }, activations)
    }

    pub(super) fn cut(&self, [out_height, out_width]: [usize; 2]) -> Cut {
        let shape = self.shape;
        let access = self.access();
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
            && access == Access::InPlace;
        let channel_parts = if by_channels { threads } else { 1 };
        let even = out_height.div_ceil(threads.div_ceil(shape.batch * channel_parts));
        let sizes = &self.isa.tuning().product_int8;
        let cached = (1..even)
            .take_while(|rows| {
                Slab::bytes(shape, Slab::height(shape, *rows + 1)) <= sizes.slab_bytes
            })
            .last()
            .map_or(1, |rows| rows + 1);
        let task_rows = even.min(cached);
        let row_parts = out_height.div_ceil(task_rows);
        let threads = threads.min(channel_parts * shape.batch * row_parts);
        let in_channel_order = self.layout == Layout::Nchw && out_height * out_width > 1;
        let is_turned = in_channel_order
            && shape.out_channels > 1
            && access != Access::Depthwise
            && self.target.is_float();
        Cut { access, is_turned, task_rows, row_parts, channel_parts, threads }
    }

    fn access(&self) -> Access {
        let runs = self.kernel_runs();
        let blocks = matches!(self.epilogue.scales, Scales::Blocks { .. });
        if self.shape.is_depthwise() && !blocks {
            Access::Depthwise
        } else if runs.count == 1 || (runs.len == runs.read && !blocks) {
            Access::InPlace
        } else if runs.read <= MOST_PADDING * runs.len && !blocks {
            Access::Padded
        } else {
            let bytes = self.isa.tuning().product_int8.gathered_bytes;
            let pixels = (bytes / self.weight.k().max(1)).clamp(ROWS, 20 * ROWS);
            Access::Gathered(pixels / ROWS * ROWS)
        }
    }

    pub(super) fn copies_slab(&self, access: Access) -> bool {
        // All but runs in place read some values behind the last pixel.
        self.shape.is_padded() || access != Access::InPlace
    }

    /// A group's values lie apart from pixel to pixel, and so do those under a kernel that skips
    /// columns; all others only from kernel row to kernel row.
    pub(super) fn kernel_runs(&self) -> KernelRuns {
        let [height, width] = self.shape.kernel;
        let channels = self.shape.group_channels();
        let (count, len) = if self.shape.groups == 1 && self.shape.dilation[1] == 1 {
            (height, width * channels)
        } else {
            (height * width, channels)
        };
        KernelRuns { count, len, read: len.next_multiple_of(GROUP) }
    }
}
