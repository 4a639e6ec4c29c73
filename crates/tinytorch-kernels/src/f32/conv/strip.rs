//! The innermost loop of a convolution straight from an image: vectors of output pixels by all channels, with the
//! sums in registers.

use super::ending::Written;
use crate::f32::gemm::{Lines, Panels, next_rows};
use crate::isa::{Kernel, Simd};
use crate::tuning::A_PANEL;

/// How far ahead of their use weights are fetched, 2 KB: 512 channels of 7 x 7 pixels take them from memory.
const AHEAD: usize = 512;

/// Output pixels side by side, a vector of them.
#[derive(Copy, Clone, Default)]
pub(super) struct Pixels {
    /// Where the first one's window starts in the copy of the image.
    pub(super) corner: usize,
    /// Where the first one lies in a channel of the output.
    pub(super) place: usize,
    /// How many of the vector's lanes are pixels.
    pub(super) lanes: usize,
}

/// What all vectors of pixels have in common.
#[derive(Copy, Clone)]
pub(super) struct Whole<'a> {
    pub(super) image: &'a [f32],
    pub(super) offsets: &'a [usize],
    /// The largest of the offsets.
    pub(super) reach: usize,
    pub(super) weight: Panels<A_PANEL>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) channels: usize,
    /// The first channel.
    pub(super) out: Written,
    /// From a channel to the next.
    pub(super) plane: usize,
    /// Whether sums start from what the output holds.
    pub(super) adds: bool,
}

/// `N` vectors of pixels by all channels, `R` at a time; `ADDS` is [`Written::adds`].
pub(super) struct Strip<'a, const R: usize, const N: usize, const ADDS: bool> {
    pub(super) whole: Whole<'a>,
    pub(super) pixels: [Pixels; N],
}

impl<const R: usize, const N: usize, const ADDS: bool> Kernel for Strip<'_, R, N, ADDS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for Pixels { corner, .. } in self.pixels {
            assert!(corner + self.whole.reach + S::LANES <= self.whole.image.len());
        }
        let mut first = 0;
        while first < self.whole.channels {
            let rows = next_rows::<R>(self.whole.channels - first);
            if R > 4 && rows <= 4 {
                self.tile::<S, 4>(s, first);
            } else {
                self.tile::<S, R>(s, first);
            }
            first += rows;
        }
    }
}

impl<const R: usize, const N: usize, const ADDS: bool> Strip<'_, R, N, ADDS> {
    /// The channels from `first` on, `M` at most.
    #[inline(always)]
    fn tile<S: Simd, const M: usize>(&self, s: S, first: usize) {
        let sums = self.starts::<S, M>(s, first);
        let sums = self.sum(s, first, sums);
        self.store(s, first, sums);
    }

    #[inline(always)]
    fn starts<S: Simd, const M: usize>(&self, s: S, first: usize) -> [[S::F32; N]; M] {
        let mut sums = [[s.splat(0.0); N]; M];
        for i in 0..M {
            let channel = (first + i).min(self.whole.channels - 1);
            for v in 0..N {
                if self.whole.adds {
                    let Pixels { place, lanes, .. } = self.pixels[v];
                    let place = channel * self.whole.plane + place;
                    // SAFETY: `channel` is one of these, which belong to this thread, and the pixels lie in it.
                    sums[i][v] = unsafe { self.whole.out.held(s, place, lanes) };
                } else if let Some(bias) = self.whole.bias {
                    sums[i][v] = s.splat(0.0 + bias[channel]);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn sum<S: Simd, const M: usize>(
        &self,
        s: S,
        first: usize,
        mut sums: [[S::F32; N]; M],
    ) -> [[S::F32; N]; M] {
        let mut weights = Lines::<M>::packed(self.whole.weight, first);
        let corners: [*const f32; N] =
            std::array::from_fn(|v| self.whole.image[self.pixels[v].corner..].as_ptr());
        for &offset in self.whole.offsets {
            let mut vectors = [s.splat(0.0); N];
            for v in 0..N {
                // SAFETY: `run` checked the largest offset.
                vectors[v] = unsafe { s.load_ptr(corners[v].add(offset)) };
            }
            s.prefetch(weights.packed_at(0).wrapping_add(AHEAD));
            for i in 0..M {
                // SAFETY: a panel holds as many lines of weights as there are offsets, each of `A_PANEL`
                // channels, and the last one is filled up.
                let weight = s.splat(unsafe { *weights.packed_at(i) });
                for v in 0..N {
                    sums[i][v] = s.mul_add(weight, vectors[v], sums[i][v]);
                }
            }
            weights.advance(A_PANEL);
        }
        sums
    }

    #[inline(always)]
    fn store<S: Simd, const M: usize>(&self, s: S, first: usize, sums: [[S::F32; N]; M]) {
        let out = self.whole.out;
        let mut are_whole = first + M <= self.whole.channels;
        for v in 0..N {
            are_whole &= self.pixels[v].lanes == S::LANES;
        }
        // Asking for each row whether it is there would put the sums into memory first, a fifth of the time of 16 channels.
        for i in 0..M {
            for v in 0..N {
                let Pixels { place, lanes, .. } = self.pixels[v];
                let place = (first + i) * self.whole.plane + place;
                // SAFETY: the channel is one of these, which belong to this thread, and the pixels lie in it.
                unsafe {
                    if are_whole {
                        out.write::<S, ADDS>(s, sums[i][v], place, S::LANES);
                    } else if first + i < self.whole.channels {
                        out.write::<S, ADDS>(s, sums[i][v], place, lanes);
                    }
                }
            }
        }
    }
}
