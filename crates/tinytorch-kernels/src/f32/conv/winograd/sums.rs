//! The products of each place, and the outputs that they add up to: `A^T m A`.

#![expect(clippy::needless_range_loop, reason = "a tile is indexed by row and column")]

use super::super::strip::{Pixels, Strip, Whole};
use super::{OUT, PLACES, SIDE, Tiles, weights};
use crate::f32::conv::ending::Written;
use crate::f32::gemm::Panels;
use crate::isa::{Kernel, Simd};
use crate::parallel::SharedOut;
use crate::tuning::{A_PANEL, by_isa};
use std::ops::Range;

/// Places at which the sums of a tile that is alone grow at the same time: as many as hide how long a multiply-add takes.
const AT_ONCE: usize = 8;

/// Writes, place by place and output channel by output channel, the sums over the input channels for all tiles.
pub(super) struct Sums<'t> {
    /// Of the input and of the output.
    pub(super) channels: [usize; 2],
    pub(super) tiles: Tiles,
    /// The output channels in question.
    pub(super) panels: Range<usize>,
    /// Their panels for each place.
    pub(super) weights: &'t [f32],
    pub(super) pixels: &'t [f32],
    /// What of these the tiles see that no vector is left for: tile by tile, place by place.
    pub(super) alone: &'t [f32],
    /// Room for a number for each input channel.
    pub(super) offsets: &'t mut [usize],
    pub(super) to: &'t mut [f32],
}

impl Kernel for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        by_isa!(S, T => self.products::<
            S, { T.product_f32.tile.rows }, { T.product_f32.tile.vectors },
        >(s));
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn products<S: Simd, const R: usize, const V: usize>(mut self, s: S) {
        let ([inputs, outputs], tiles) = (self.channels, self.tiles.count());
        for (channel, offset) in self.offsets.iter_mut().enumerate() {
            *offset = channel * tiles;
        }
        let weights = weights::stride(inputs, self.panels.len());
        let first = self.panels.start * A_PANEL;
        let channels = outputs.min(self.panels.end * A_PANEL) - first;
        let (pixels, sums) = (self.tiles.stride(inputs), self.tiles.stride(outputs));
        let alone = self.tiles.alone(S::LANES);
        let in_vectors = (self.tiles.some() - alone).next_multiple_of(S::LANES);
        for place in 0..PLACES {
            let out = &mut self.to[place * sums + first * tiles..][..tiles * channels];
            let out = SharedOut::new(out);
            let weights = &self.weights[place * weights..][..weights];
            let mut at = 0;
            while at < in_vectors {
                let strip = Place {
                    image: &self.pixels[place * pixels..][..tiles * inputs],
                    offsets: self.offsets,
                    weight: Panels::packed(weights.as_ptr(), inputs),
                    channels,
                    out,
                    tiles,
                };
                let count = ((in_vectors - at) / S::LANES).min(V);
                match count {
                    1 => strip.multiply::<S, R, 1>(s, at),
                    2 => strip.multiply::<S, R, 2>(s, at),
                    _ => strip.multiply::<S, R, V>(s, at),
                }
                at += count * S::LANES;
            }
        }
        for i in 0..alone {
            for panel in 0..self.panels.len() {
                for place in (0..PLACES).step_by(AT_ONCE) {
                    self.sum_alone(
                        s,
                        in_vectors + i,
                        &self.alone[i * PLACES * inputs..],
                        panel,
                        place,
                    );
                }
            }
        }
    }

    /// The sums of a tile that no vector is left for, of a panel's channels, at some places.
    #[inline(always)]
    fn sum_alone<S: Simd>(&mut self, s: S, tile: usize, seen: &[f32], panel: usize, place: usize) {
        let ([inputs, outputs], tiles) = (self.channels, self.tiles.count());
        let weights = weights::stride(inputs, self.panels.len());
        let mut sums = [s.splat(0.0); AT_ONCE];
        let panels = &self.weights[place * weights + panel * inputs * A_PANEL..];
        let seen = &seen[place * inputs..];
        assert!((AT_ONCE - 1) * weights + inputs * A_PANEL + S::LANES - A_PANEL <= panels.len());
        assert!(AT_ONCE * inputs <= seen.len());
        let (mut line, mut pixel) = (panels.as_ptr(), seen.as_ptr());
        for _ in 0..inputs {
            for i in 0..AT_ONCE {
                // SAFETY: the last line of the last place lies in the panels, with what a wider vector sees behind it, and
                // the last pixel in what is seen.
                let (weight, pixel) =
                    unsafe { (s.load_ptr(line.add(i * weights)), s.splat(*pixel.add(i * inputs))) };
                sums[i] = s.mul_add(weight, pixel, sums[i]);
            }
            (line, pixel) = (line.wrapping_add(A_PANEL), pixel.wrapping_add(1));
        }
        let first = (self.panels.start + panel) * A_PANEL;
        for i in 0..AT_ONCE {
            let mut values = [0.0; A_PANEL];
            s.store_partial(sums[i], &mut values);
            let to = &mut self.to[(place + i) * self.tiles.stride(outputs)..];
            for (channel, value) in (first..outputs).zip(values) {
                to[channel * tiles + tile] = value;
            }
        }
    }
}

/// The product of a place.
struct Place<'t> {
    image: &'t [f32],
    offsets: &'t [usize],
    weight: Panels<A_PANEL>,
    channels: usize,
    out: SharedOut<f32>,
    tiles: usize,
}

impl Place<'_> {
    /// The sums of `N` vectors of tiles.
    #[inline(always)]
    fn multiply<S: Simd, const R: usize, const N: usize>(self, s: S, at: usize) {
        let mut pixels = [Pixels { corner: at, place: at, lanes: S::LANES }; N];
        for v in 0..N {
            pixels[v].corner += v * S::LANES;
            pixels[v].place += v * S::LANES;
        }
        let whole = Whole {
            image: self.image,
            offsets: self.offsets,
            reach: self.offsets.last().copied().unwrap_or(0),
            weight: self.weight,
            bias: None,
            channels: self.channels,
            out: Written::plain(self.out),
            plane: self.tiles,
            adds: false,
        };
        s.call(Strip::<R, N, false> { whole, pixels });
    }
}

/// Adds up the outputs of all tiles, and writes those of `size` rows and columns.
pub(super) struct Outputs<'t> {
    pub(super) sums: &'t [f32],
    pub(super) tiles: Tiles,
    pub(super) size: [usize; 2],
    pub(super) bias: Option<&'t [f32]>,
    pub(super) channels: usize,
    /// From the first row on.
    pub(super) out: Written,
    /// From a channel to the next.
    pub(super) plane: usize,
}

/// One dimension of the sums.
#[inline(always)]
fn outputs<S: Simd>(s: S, [a, b, c, d]: [S::F32; SIDE]) -> [S::F32; OUT] {
    [s.add(a, s.add(b, c)), s.sub(b, s.add(c, d))]
}

impl Kernel for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tiles { images, down, across } = self.tiles;
        for channel in 0..self.channels {
            for image in 0..images {
                let plane = (image * self.channels + channel) * self.plane;
                for y in 0..down {
                    let first = channel * self.tiles.count() + (image * down + y) * across;
                    for x in (0..across).step_by(S::LANES) {
                        if self.out.adds() {
                            self.add_up::<S, true>(s, channel, first + x, plane, [y, x]);
                        } else {
                            self.add_up::<S, false>(s, channel, first + x, plane, [y, x]);
                        }
                    }
                }
            }
        }
    }
}

impl Outputs<'_> {
    /// The outputs of a vector of tiles, or of as many as are left in their row.
    #[inline(always)]
    fn add_up<S: Simd, const ADDS: bool>(
        &self,
        s: S,
        channel: usize,
        first: usize,
        plane: usize,
        [y, x]: [usize; 2],
    ) {
        let stride = self.tiles.stride(self.channels);
        assert!((PLACES - 1) * stride + first + S::LANES <= self.sums.len());
        let nothing = s.splat(0.0);
        let mut columns = [[nothing; OUT]; SIDE];
        let mut top = self.sums[first..].as_ptr();
        for column in &mut columns {
            let (mut line, mut place) = ([nothing; SIDE], top);
            for vector in &mut line {
                // SAFETY: the vector at the last place lies in the sums.
                *vector = unsafe { s.load_ptr(place) };
                place = place.wrapping_add(SIDE * stride);
            }
            *column = outputs(s, line);
            top = top.wrapping_add(stride);
        }
        let bias = s.splat(self.bias.map_or(0.0, |bias| bias[channel]));
        let [height, width] = self.size;
        for i in 0..OUT.min(height - y * OUT) {
            let sums = outputs(s, [columns[0][i], columns[1][i], columns[2][i], columns[3][i]]);
            let row = sums.map(|sum| s.add(sum, bias));
            let row = s.join_pairs(row[0], row[1]);
            let count = (OUT * S::LANES).min(width - x * OUT);
            let place = plane + (y * OUT + i) * width + x * OUT;
            for (vector, at) in row.into_iter().zip((0..count).step_by(S::LANES)) {
                // SAFETY: these are outputs of the channel, which belong to this thread.
                unsafe {
                    self.out.write::<S, ADDS>(s, vector, place + at, S::LANES.min(count - at))
                };
            }
        }
    }
}
