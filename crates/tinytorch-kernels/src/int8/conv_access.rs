//! How a convolution reads what lies under its kernel.

use super::conv_shape::ConvShape;
use super::finish::ROWS;
use super::operands::{Epilogue, RowParams, Scales};
use super::winograd;
use crate::Isa;
use crate::tuning::GROUP;

/// How many times as many values as there are a padded run may hold. Gathering takes as long as
/// multiplying: on a 7 x 7 kernel over three channels it halved the speed.
const MOST_PADDING: usize = 2;

/// How the values under the kernel are read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
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
    /// Tile by tile, [transformed](super::winograd).
    Winograd,
}

impl Access {
    /// The fastest on an instruction set for a convolution whose output has this size.
    pub(super) fn of(
        isa: Isa,
        shape: &ConvShape,
        out_size: [usize; 2],
        epilogue: &Epilogue<'_>,
        params: &RowParams<'_>,
    ) -> Access {
        let blocks = matches!(epilogue.scales, Scales::Blocks { .. });
        if params.level_bytes() > 1 {
            let runs = KernelRuns::of(shape);
            let read = runs.count * runs.read;
            Access::direct(isa, shape, params.block(&epilogue.scales, read).is_some())
        } else if shape.is_depthwise() && !blocks {
            Access::Depthwise
        } else if isa.level_bytes() > 1 && !blocks && winograd::serves(shape, out_size) {
            Access::Winograd
        } else {
            Access::direct(isa, shape, blocks)
        }
    }

    /// The same for sums of products as they are.
    fn direct(isa: Isa, shape: &ConvShape, blocks: bool) -> Access {
        let runs = KernelRuns::of(shape);
        if runs.count == 1 || (runs.len == runs.read && !blocks) {
            Access::InPlace
        } else if runs.read <= MOST_PADDING * runs.len && !blocks {
            Access::Padded
        } else {
            let bytes = isa.tuning().product_int8.gathered_bytes;
            let pixels = (bytes / shape.k().max(1)).clamp(ROWS, 20 * ROWS);
            Access::Gathered(pixels / ROWS * ROWS)
        }
    }

    /// Whether values are read behind the last pixel, so that an image has to be copied.
    pub(super) fn reads_beyond(self) -> bool {
        !matches!(self, Access::InPlace | Access::Winograd)
    }
}

/// The runs in which values of a group lie under the kernel: `count` runs of `len` values, of
/// which `read` are read.
pub(super) struct KernelRuns {
    pub(super) count: usize,
    pub(super) len: usize,
    pub(super) read: usize,
}

impl KernelRuns {
    /// A group's values lie apart from pixel to pixel, and so do those under a kernel that skips
    /// columns; all others only from kernel row to kernel row.
    pub(super) fn of(shape: &ConvShape) -> KernelRuns {
        let [height, width] = shape.kernel;
        let channels = shape.group_channels();
        let (count, len) = if shape.groups == 1 && shape.dilation[1] == 1 {
            (height, width * channels)
        } else {
            (height * width, channels)
        };
        KernelRuns { count, len, read: len.next_multiple_of(GROUP) }
    }
}
