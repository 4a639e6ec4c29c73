//! Pixels that no vector is left for, each by itself, where the weights of a panel's channels are a vector: 49 pixels take
//! three vectors of 16 and an eighth of one where they took four. From 160 channels to 960, 7 x 7 pixels take 73 us instead of
//! 81 (AVX-512), and 121 instead of 145 (AVX2, one thread); under 3 x 3, from 512 channels to as many, 0.92 ms instead of 1.14.

use super::strip::Whole;
use crate::isa::{Kernel, Simd};
use crate::tuning::A_PANEL;

/// Pixels behind the last whole vector that are cheaper by themselves than as a vector of their own: four of 14 x 14 pixels
/// were not (41 us instead of 40 from 64 channels to 384, AVX-512).
pub(super) const MOST_ALONE: usize = 2;

/// Panels whose sums grow at the same time: as many as hide how long a multiply-add takes.
const PANELS: usize = 8;

/// A pixel by all channels; `ADDS` says whether the output adds something to sums.
pub(super) struct Alone<'a, const ADDS: bool> {
    pub(super) whole: Whole<'a>,
    /// Its place in the copy of the image and in the output, which are the same.
    pub(super) pixel: usize,
}

impl<const ADDS: bool> Kernel for Alone<'_, ADDS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.pixel + self.whole.reach < self.whole.image.len());
        let panels = self.whole.channels.div_ceil(A_PANEL);
        let mut first = 0;
        while first < panels {
            first += match panels - first {
                PANELS.. => self.sum::<S, PANELS>(s, first),
                4.. => self.sum::<S, 4>(s, first),
                2.. => self.sum::<S, 2>(s, first),
                _ => self.sum::<S, 1>(s, first),
            };
        }
    }
}

impl<const ADDS: bool> Alone<'_, ADDS> {
    /// The sums of `P` panels from `first` on; gives how many they are.
    #[inline(always)]
    fn sum<S: Simd, const P: usize>(&self, s: S, first: usize) -> usize {
        let Whole { image, offsets, weight, bias, .. } = self.whole;
        let mut sums = [s.splat(0.0); P];
        let mut weights = [weight.line(first * A_PANEL); P];
        for i in 0..P {
            let channel = (first + i) * A_PANEL;
            weights[i] = weight.line(channel);
            if self.whole.adds {
                sums[i] = self.held(s, channel);
            } else if let Some(bias) = bias {
                let bias = &bias[channel..bias.len().min(channel + A_PANEL)];
                sums[i] = s.add(sums[i], s.load_partial(bias));
            }
        }
        let Some((last, before)) = offsets.split_last() else { return P };
        let corner = image[self.pixel..].as_ptr();
        for &offset in before {
            // SAFETY: `run` checked the largest offset.
            let x = s.splat(unsafe { *corner.add(offset) });
            for i in 0..P {
                // SAFETY: a panel holds as many lines as there are offsets, and a vector that is wider than a line ends in
                // the next one.
                sums[i] = s.mul_add(unsafe { s.load_ptr(weights[i]) }, x, sums[i]);
                weights[i] = weights[i].wrapping_add(A_PANEL);
            }
        }
        let x = s.splat(image[self.pixel + last]);
        for i in 0..P {
            // SAFETY: the last line of the panel.
            let line = unsafe { std::slice::from_raw_parts(weights[i], A_PANEL) };
            sums[i] = s.mul_add(s.load_partial(line), x, sums[i]);
            self.write(s, (first + i) * A_PANEL, sums[i]);
        }
        P
    }

    /// What the output holds of a panel's channels, which lie a plane apart.
    #[inline(always)]
    fn held<S: Simd>(&self, s: S, first: usize) -> S::F32 {
        let mut values = [0.0; A_PANEL];
        let channels = self.whole.channels - first;
        for (channel, value) in (first..).zip(&mut values).take(channels) {
            let place = channel * self.whole.plane + self.pixel;
            // SAFETY: as in `write`.
            *value = unsafe { self.whole.out.value(place) };
        }
        s.load_partial(&values)
    }

    /// Writes the sums of a panel's channels.
    #[inline(always)]
    fn write<S: Simd>(&self, s: S, first: usize, sums: S::F32) {
        let mut values = [0.0; A_PANEL];
        s.store_partial(sums, &mut values);
        let channels = self.whole.channels - first;
        for (channel, value) in (first..).zip(values).take(channels) {
            let place = channel * self.whole.plane + self.pixel;
            // SAFETY: the channel is one of these, which belong to this thread, and the pixel lies in it.
            unsafe { self.whole.out.write::<S, ADDS>(s, s.splat(value), place, 1) };
        }
    }
}
