//! Convolutions with kernels of 3 x 3 by Winograd's minimal filtering, exact in integers.
//!
//! A tile of 2 x 2 outputs, which sees 4 x 4 pixels, is `A^T ((G w G^T) * (B^T x B)) A` with 16 products for
//! each input channel, where the sum itself has 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2015, F(2 x 2, 3 x 3)):
//!
//! ```text
//!       1  0 -1  0             2  0  0
//! B^T = 0  1  1  0      2 G =  1  1  1      A^T = 1  1  1  0
//!       0 -1  1  0             1 -1  1            0  1 -1 -1
//!       0  1  0 -1             0  0  2
//! ```
//!
//! With `2 G` in place of `G` all of it is integers. Levels less their zero point are at most 255, so that
//! what becomes of them is at most 1020, and what becomes of weights at most 1152: both fit 16 bits, which
//! AVX2 multiplies as fast as it multiplies bytes exactly. The results are four times the sums; up to 256
//! channels these fit an `i32`, even if what is added on the way wraps, and a shift by two gives the same sums as ever.

mod inputs;
mod tiles;
mod weights;

use self::inputs::TransformInputs;
use self::tiles::{MULTIPLIED_TOGETHER, Sums, Tiles};
use self::weights::TransformPanel;
use super::QParams;
use super::columns::Columns;
use super::conv_shape::ConvShape;
use super::finish::{Finish, FinishTile, Place, Staged};
use super::operands::{Epilogue, RowParams};
use super::panels::Packed;
use super::slab::Slab;
use super::widen::WideSize;
use crate::isa::{Kernel, Simd};
use crate::tuning::{GROUP, PANEL};

/// Rows and columns of outputs of a tile.
const OUT: usize = 2;

/// Pixels along the side of what a tile sees.
const SIDE: usize = 4;

/// Products of a tile for each channel.
const PLACES: usize = SIDE * SIDE;

/// Channels up to which the transformed weights of a panel stay in half of a second-level cache of 256 KB: with
/// 512, 7 x 7 pixels took a sixth longer than by sums as they are.
const MOST_CHANNELS: usize = 256;

const _: () =
    assert!(4 * 9 * 255 * 128 * MOST_CHANNELS <= i32::MAX as usize, "sums fit four times");

/// Channels that a vector of the widest instruction set with such kernels holds.
const LEAST_CHANNELS: usize = 16;

/// Tiles of an image from which transforming the weights, which takes the time of two tiles, pays.
const LEAST_TILES: usize = 8;

/// Whether a convolution may be computed so, and gains by it where products of 16 bits are the fastest.
pub(super) fn serves(shape: &ConvShape, [height, width]: [usize; 2]) -> bool {
    let ConvShape { in_channels, out_channels, kernel, stride, dilation, groups, .. } = *shape;
    let is_plain = stride == [1; 2] && dilation == [1; 2] && groups == 1;
    let channels = LEAST_CHANNELS..=MOST_CHANNELS;
    let tiles = height.div_ceil(OUT) * width.div_ceil(OUT);
    kernel == [3; 2]
        && is_plain
        && channels.contains(&in_channels)
        && in_channels.is_multiple_of(GROUP)
        && out_channels >= PANEL / 2
        && tiles >= LEAST_TILES
}

/// Numbers of two transformed values each that so many rows of outputs take.
fn input_numbers(shape: &ConvShape, rows: usize, out_width: usize) -> usize {
    rows.div_ceil(OUT) * out_width.div_ceil(OUT) * PLACES * shape.in_channels / 2
}

/// Numbers of two transformed weights each from a place of a panel to the next. Not a power of two: all places
/// would lie in the same few lines of the cache.
fn place_numbers(channels: usize) -> usize {
    PANEL * channels / 2 + PANEL
}

/// Such numbers of a panel.
fn weight_numbers(shape: &ConvShape) -> usize {
    PLACES * place_numbers(shape.in_channels)
}

/// Working memory for so many rows of outputs.
pub(super) fn wide_size(shape: &ConvShape, rows: usize, out_width: usize) -> WideSize {
    let weights = weight_numbers(shape) + input_numbers(shape, rows, out_width);
    WideSize { weights, levels: 0 }
}

/// Rows of outputs, whole tiles unless there is one row, whose transformed inputs take so many bytes.
pub(super) fn rows_within(bytes: usize, shape: &ConvShape, out_width: usize) -> usize {
    let tile_row = size_of::<i32>() * input_numbers(shape, OUT, out_width);
    (bytes / tile_row.max(1)).max(1) * OUT
}

/// Some rows of an output image, for some channels.
pub(super) struct Winograd<'t> {
    pub(super) shape: &'t ConvShape,
    /// The pixels under the rows, from the first one on.
    pub(super) slab: Slab<'t>,
    pub(super) rows: usize,
    pub(super) out_width: usize,
    pub(super) params: QParams,
    /// What [`Product::run_here`](super::product::Product::run_here) takes.
    pub(super) level_sums: &'t [i32],
    pub(super) weight: Packed<'t>,
    pub(super) epilogue: &'t Epilogue<'t>,
    pub(super) finish: Finish,
    pub(super) columns: Columns<'t>,
    /// What [`wide_size`] says.
    pub(super) numbers: &'t mut [i32],
}

impl Kernel for Winograd<'_> {
    type Output = ();
    const MULTIPLIES_BYTES: bool = true;

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let across = self.out_width.div_ceil(OUT);
        let (weights, inputs) = self.numbers.split_at_mut(weight_numbers(self.shape));
        s.call(TransformInputs {
            slab: self.slab,
            size: [self.rows, self.out_width].map(|side| side + SIDE - OUT),
            channels: self.shape.in_channels,
            zero_point: self.params.zero_point,
            across,
            to: &mut *inputs,
        });
        // Levels were transformed without their zero point, so that nothing is taken off the sums.
        self.columns.sums.fill(0);
        let (mut sums, mut staged) = (Sums::new(), [Staged::new(), Staged::new()]);
        let wanted = &self.finish.columns;
        for panel in wanted.start / PANEL..wanted.end.div_ceil(PANEL) {
            let (first_column, width) = (panel * PANEL, self.weight.width(panel));
            let Packed { k, zero_points, .. } = self.weight;
            self.columns.describe(self.epilogue, k, zero_points, first_column, width);
            let channels = self.shape.in_channels;
            s.call(TransformPanel { weight: self.weight, panel, channels, to: &mut *weights });
            for row in (0..self.rows).step_by(OUT) {
                for tile in (0..across).step_by(MULTIPLIED_TOGETHER) {
                    let count = MULTIPLIED_TOGETHER.min(across - tile);
                    let tile_numbers = PLACES * channels / 2;
                    let first = (row / OUT * across + tile) * tile_numbers;
                    s.call(Tiles {
                        inputs: &inputs[first..first + count * tile_numbers],
                        weights: &*weights,
                        pairs: channels / 2,
                        sums: &mut sums,
                        staged: &mut staged,
                    });
                    let pixels = tile * OUT..self.out_width.min((tile + count) * OUT);
                    for (staged, row) in staged.iter_mut().zip(row..self.rows) {
                        let start = row * self.out_width;
                        let rows = start + pixels.start..start + pixels.end;
                        s.call(FinishTile::<false> {
                            staged,
                            columns: &self.columns,
                            params: RowParams::Tensor(self.params),
                            level_sums: self.level_sums,
                            finish: &self.finish,
                            place: Place { rows, first_column, width },
                        });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::conv_access::Access;
    use super::super::conv_job::Job;
    use super::super::finish::Target;
    use super::super::{Images, Layout, Output, Panels, Scales};
    use super::*;
    use crate::{Isa, Scratch};

    /// The sums of a convolution by one weight and one level throughout.
    fn sums(isa: Isa, shape: &ConvShape, access: Access, level: u8, weight: i8) -> Vec<f32> {
        let data = vec![level; shape.input_len().unwrap()];
        let k = shape.k();
        let weight = Panels::pack_rows(shape.out_channels, k, |_, row| row.fill(weight)).unwrap();
        let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: 255 - level });
        let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
        let mut y = vec![f32::NAN; shape.output_len().unwrap()];
        let target = Target::of(&mut Output::F32(&mut y));
        let images = Images { data: &data, params };
        let (weight, epilogue, images) = (&weight, &epilogue, &images);
        let job =
            Job { isa, shape, images, weight, epilogue, target, layout: Layout::Nhwc, access };
        job.run(&mut Scratch::new()).unwrap();
        y
    }

    #[test]
    fn the_largest_sums_of_the_most_channels_are_exact_on_every_isa() {
        let shape = ConvShape {
            batch: 1,
            in_channels: MOST_CHANNELS,
            height: 6,
            width: 6,
            out_channels: 9,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [[0; 2]; 2],
            dilation: [1, 1],
            groups: 1,
        };
        assert!(serves(&ConvShape { height: 8, width: 8, ..shape }, [6, 6]));
        for isa in Isa::available() {
            for (level, weight) in [(255, -128), (0, -128), (255, 127), (0, 127)] {
                let of_level = if level == 255 { 255.0 } else { -255.0 };
                let want = shape.k() as f32 * of_level * f32::from(weight);
                let y = sums(isa, &shape, Access::Winograd, level, weight);
                assert!(y.iter().all(|&y| y == want), "{isa:?}: {y:?} instead of {want}");
            }
        }
    }
}
