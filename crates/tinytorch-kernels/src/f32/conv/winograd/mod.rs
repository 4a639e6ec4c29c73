//! Convolutions with kernels of 3 x 3 by Winograd's minimal filtering: a tile of 2 x 2 outputs takes 16
//! multiplications for each input channel, where the sum itself has 36 (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2015, F(2 x 2, 3 x 3)).
//!
//! Neighboring tiles fill a vector. For each place of a tile, the transformed pixels of all channels and tiles are
//! a matrix, which the transformed weights of that place multiply; what comes out is added up to outputs. Rounding
//! differs from that of the sums as they are by some units in the last place; what is not finite stays with the
//! outputs that see it.

mod pixels;
mod sums;
mod weights;

use self::pixels::TransformPixels;
use self::sums::{Outputs, Sums};
use self::weights::TransformWeights;
use super::Lengths;
use super::alone::MOST_ALONE;
use crate::Isa;
use crate::f32::conv::ending::{Ending, Written};
use crate::f32::gemm::PackedA;
use crate::int8::ConvShape;
use crate::isa::{Kernel, Simd};
use crate::parallel::share;
use crate::scratch::{bytes_for, with_thread_scratch};
use crate::threads::{PRODUCT_F32, product_f32_operations};
use crate::tuning::A_PANEL;
use std::ops::Range;

/// Rows and columns of outputs of a tile.
const OUT: usize = 2;

/// Pixels along the side of what a tile sees.
const SIDE: usize = 4;

/// Products of a tile for each channel.
const PLACES: usize = SIDE * SIDE;

/// Values of the widest vector, by which rows of tiles are filled up.
const WIDEST: usize = 16;

/// Values of transformed pixels and sums that a task works on, 256 KB, unless its tiles would be too few to pay for
/// reading the weights.
const TASK: usize = 64 << 10;

/// Tiles that a task has at least, where there are as many: the 49 of 14 x 14 outputs among them.
const TASK_TILES: usize = 50;

/// Transformed weights that are multiplied while they are in the second-level cache, 128 KB, by a thread that has no
/// second task for them.
const STEP: usize = 32 << 10;

/// Whether tiles are many enough, and channels. Which they are depends on the image and the instruction set but not on
/// the batch, so that a sample has the same outputs alone and among others.
pub(super) fn is_transformed(isa: Isa, shape: &ConvShape, lengths: &Lengths) -> bool {
    let [height, width] = lengths.output;
    let is_plain = shape.stride == [1; 2] && shape.dilation == [1; 2] && shape.groups == 1;
    let channels = shape.in_channels.min(shape.out_channels);
    let least = isa.tuning().transformed_tiles;
    let least = least.iter().rev().find(|(least_channels, _)| *least_channels <= channels);
    let tiles = height.div_ceil(OUT) * width.div_ceil(OUT);
    shape.kernel == [3; 2] && is_plain && least.is_some_and(|(_, least)| tiles >= *least)
}

/// A convolution whose arguments have been checked.
pub(super) struct Winograd<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) x: &'a [f32],
    pub(super) weight: &'a PackedA,
    pub(super) ending: Ending<'a>,
}

/// The tiles of some rows of an output image, or of several whole images.
#[derive(Copy, Clone)]
struct Tiles {
    images: usize,
    down: usize,
    across: usize,
}

impl Tiles {
    /// Tiles, without those that fill up vectors.
    fn some(self) -> usize {
        self.images * self.down * self.across
    }

    /// Tiles behind the last whole vector that are cheaper by themselves than as a vector of their own.
    fn alone(self, lanes: usize) -> usize {
        let behind = self.some() % lanes;
        if lanes >= A_PANEL && self.some() > lanes && behind <= MOST_ALONE { behind } else { 0 }
    }

    /// Copies what these tiles see: tile by tile, place by place.
    fn copy_alone(self, lanes: usize, channels: usize, pixels: &[f32], to: &mut [f32]) {
        let alone = self.alone(lanes);
        let tiles = self.some() - alone..self.some();
        for (tile, to) in tiles.zip(to.chunks_exact_mut(PLACES * channels)) {
            for (place, to) in to.chunks_exact_mut(channels).enumerate() {
                let seen =
                    pixels[place * self.stride(channels) + tile..].iter().step_by(self.count());
                to.iter_mut().zip(seen).for_each(|(to, value)| *to = *value);
            }
        }
    }

    /// Tiles, filled up to whole vectors.
    fn count(self) -> usize {
        self.some().next_multiple_of(WIDEST)
    }

    /// From the values of a place to those of the next, for so many channels. Not a power of two: all places
    /// would lie in the same few lines of the cache.
    fn stride(self, channels: usize) -> usize {
        self.count() * channels + WIDEST
    }
}

/// How the images are cut into tasks, how many threads take them, and how they take the weights.
struct Cut {
    /// Images of a task, one unless it has all their rows.
    images: usize,
    rows: usize,
    row_parts: usize,
    tasks: usize,
    threads: usize,
    /// Panels of weights that are transformed at a time: all, once for many tasks, or some for each.
    panels: usize,
}

impl Winograd<'_> {
    fn cut(&self, lengths: &Lengths) -> Cut {
        let ConvShape { batch, in_channels, out_channels, .. } = *self.shape;
        let [down, across] = lengths.output.map(|side| side.div_ceil(OUT));
        let work = product_f32_operations(out_channels, lengths.window, lengths.pixels);
        let threads = PRODUCT_F32.shares(work.saturating_mul(batch));
        let even = down.div_ceil(threads.div_ceil(batch));
        let tiles = (TASK / (PLACES * (in_channels + out_channels))).max(TASK_TILES);
        let rows = even.min((tiles / across).max(1));
        let row_parts = down.div_ceil(rows);
        let images = if row_parts == 1 {
            (tiles / (down * across)).clamp(1, batch.div_ceil(threads))
        } else {
            1
        };
        let tasks = batch.div_ceil(images) * row_parts;
        let threads = threads.min(tasks);
        let all = out_channels.div_ceil(A_PANEL);
        let some = (STEP / (PLACES * in_channels * A_PANEL)).clamp(1, all);
        let panels = if tasks > threads { all } else { some };
        Cut { images, rows: rows * OUT, row_parts, tasks, threads, panels }
    }

    pub(super) fn run(&self, isa: Isa, out: &mut [f32]) {
        let lengths = Lengths::of(self.shape);
        let cut = self.cut(&lengths);
        let ConvShape { in_channels, out_channels, .. } = *self.shape;
        let across = lengths.output[1].div_ceil(OUT);
        let tiles = Tiles { images: cut.images, down: cut.rows / OUT, across };
        let lens = [
            PLACES * weights::stride(in_channels, cut.panels),
            pixels::staged_len(tiles),
            PLACES * tiles.stride(in_channels),
            PLACES * tiles.stride(out_channels) + WIDEST,
            MOST_ALONE * PLACES * in_channels,
        ];
        let out = self.ending.written_to(out);
        share(cut.tasks, cut.threads, &|worker| {
            with_thread_scratch(|scratch| {
                let bytes: usize = lens.map(bytes_for::<f32>).iter().sum();
                let offsets = bytes_for::<usize>(in_channels);
                let mut arena = scratch.arena(bytes + offsets);
                let [weights, staged, pixels, sums, alone] = lens.map(|len| arena.take::<f32>(len));
                let offsets = arena.take::<usize>(in_channels);
                let all = 0..out_channels.div_ceil(A_PANEL);
                if cut.panels == all.len() {
                    isa.run(TransformWeights::new(self, all, &mut *weights));
                }
                for task in worker {
                    let first_image = task / cut.row_parts * cut.images;
                    let images = cut.images.min(self.shape.batch - first_image);
                    let first = task % cut.row_parts * cut.rows;
                    isa.run(Task {
                        winograd: self,
                        x: &self.x[first_image * lengths.group_in..][..images * lengths.group_in],
                        images,
                        rows: first..lengths.output[0].min(first + cut.rows),
                        width: lengths.output[1],
                        // SAFETY: the images lie in the output.
                        out: unsafe { out.skip(first_image * lengths.group_out) },
                        plane: lengths.pixels,
                        panels: cut.panels,
                        weights: &mut *weights,
                        staged: &mut *staged,
                        pixels: &mut *pixels,
                        sums: &mut *sums,
                        alone: &mut *alone,
                        offsets: &mut *offsets,
                    });
                }
            });
        });
    }
}

/// Some rows of the output of images, and the memory to compute them in.
struct Task<'t> {
    winograd: &'t Winograd<'t>,
    x: &'t [f32],
    images: usize,
    rows: Range<usize>,
    width: usize,
    /// All of the images' output.
    out: Written,
    /// From a channel of the output to the next.
    plane: usize,
    /// Panels of weights at a time; if these are all, they have been transformed.
    panels: usize,
    weights: &'t mut [f32],
    staged: &'t mut [f32],
    pixels: &'t mut [f32],
    sums: &'t mut [f32],
    alone: &'t mut [f32],
    offsets: &'t mut [usize],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Winograd { shape, ending, .. } = *self.winograd;
        let down = self.rows.len().div_ceil(OUT);
        let tiles = Tiles { images: self.images, down, across: self.width.div_ceil(OUT) };
        let [first_row, rows] = [self.rows.start, self.rows.len()];
        s.call(TransformPixels {
            shape,
            x: self.x,
            first_row,
            tiles,
            staged: self.staged,
            to: &mut *self.pixels,
        });
        tiles.copy_alone(S::LANES, shape.in_channels, self.pixels, self.alone);
        let panels = shape.out_channels.div_ceil(A_PANEL);
        for first in (0..panels).step_by(self.panels) {
            let panels = first..panels.min(first + self.panels);
            if panels.len() < shape.out_channels.div_ceil(A_PANEL) {
                let transform =
                    TransformWeights::new(self.winograd, panels.clone(), &mut *self.weights);
                s.call(transform);
            }
            s.call(Sums {
                channels: [shape.in_channels, shape.out_channels],
                tiles,
                panels,
                weights: &*self.weights,
                pixels: &*self.pixels,
                alone: &*self.alone,
                offsets: &mut *self.offsets,
                to: &mut *self.sums,
            });
        }
        s.call(Outputs {
            sums: &*self.sums,
            tiles,
            size: [rows, self.width],
            bias: ending.bias,
            channels: shape.out_channels,
            // SAFETY: the rows lie in the first channel.
            out: unsafe { self.out.skip(first_row * self.width) },
            plane: self.plane,
        });
    }
}
