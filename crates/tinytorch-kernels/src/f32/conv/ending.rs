//! What becomes of the sums of a convolution.

use crate::Isa;
use crate::f32::Bounds;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedIn, SharedOut};

/// What becomes of the sums of a convolution: a bias is added, then other values, and what lies beyond the bounds becomes them.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// One for each output channel.
    pub bias: Option<&'a [f32]>,
    /// As many values as the output has, in its order.
    pub plus: Option<&'a [f32]>,
    /// What the results are kept between.
    pub bounds: Bounds,
}

impl Ending<'_> {
    /// Sums stay as they are.
    pub const NONE: Ending<'static> = Ending { bias: None, plus: None, bounds: Bounds::NONE };

    /// The same but for what comes after the bias.
    pub(super) fn only_bias(self) -> Self {
        Ending { bias: self.bias, ..Ending::NONE }
    }

    /// What comes after the bias, for results that have been written.
    pub(super) fn after_bias(self, isa: Isa, out: &mut [f32]) {
        let Ending { plus, bounds, .. } = self;
        if let Some(plus) = plus {
            isa.run(AddBetween { plus, bounds, out });
        }
    }

    /// Where results go.
    pub(super) fn written_to(self, out: &mut [f32]) -> Written {
        let plus = self.plus.map(SharedIn::new);
        Written { out: SharedOut::new(out), plus, bounds: self.bounds }
    }
}

/// Adds values to others, between bounds.
struct AddBetween<'a> {
    plus: &'a [f32],
    bounds: Bounds,
    out: &'a mut [f32],
}

impl Kernel for AddBetween<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (plus, out) in self.plus.chunks(S::LANES).zip(self.out.chunks_mut(S::LANES)) {
            let sum = s.add(s.load_partial(out), s.load_partial(plus));
            s.store_partial(self.bounds.apply(s, sum), out);
        }
    }
}

/// An output, and what its values become before they are written.
#[derive(Clone, Copy)]
pub(super) struct Written {
    out: SharedOut<f32>,
    plus: Option<SharedIn<f32>>,
    bounds: Bounds,
}

impl Written {
    /// An output of sums as they are.
    pub(super) fn plain(out: SharedOut<f32>) -> Written {
        Written { out, plus: None, bounds: Bounds::NONE }
    }

    /// The same output, of sums as they are.
    pub(super) fn of_parts(self) -> Written {
        Written::plain(self.out)
    }

    /// The output from element `index` on.
    ///
    /// # Safety
    /// `index` is at most the output's length.
    pub(super) unsafe fn skip(self, index: usize) -> Written {
        // SAFETY: what is added is as long as the output.
        unsafe {
            let plus = self.plus.map(|plus| plus.skip(index));
            Written { out: self.out.skip(index), plus, bounds: self.bounds }
        }
    }

    /// What `lanes` elements from `place` on hold.
    ///
    /// # Safety
    /// They lie inside the output, and no other thread uses them.
    #[inline(always)]
    pub(super) unsafe fn held<S: Simd>(self, s: S, place: usize, lanes: usize) -> S::F32 {
        // SAFETY: the caller's promise.
        s.load_partial(unsafe { self.out.slice(place, lanes) })
    }

    /// What an element holds.
    ///
    /// # Safety
    /// As for [`Written::held`].
    #[inline(always)]
    pub(super) unsafe fn value(self, place: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { self.out.slice(place, 1)[0] }
    }

    /// Whether something is added to sums.
    pub(super) fn adds(self) -> bool {
        self.plus.is_some()
    }

    /// Writes the first `lanes` of the results. `ADDS` is [`Written::adds`], which loops ask once.
    ///
    /// # Safety
    /// As for [`Written::held`], and there are no more lanes than in a vector.
    #[inline(always)]
    pub(super) unsafe fn write<S: Simd, const ADDS: bool>(
        self,
        s: S,
        sums: S::F32,
        place: usize,
        lanes: usize,
    ) {
        let is_whole = lanes == S::LANES;
        let mut sums = sums;
        if let Some(plus) = self.plus.filter(|_| ADDS) {
            // SAFETY: what is added is as long as the output, and nobody writes to it.
            let plus = unsafe { plus.slice(place, lanes) };
            sums = s.add(sums, if is_whole { s.load(plus) } else { s.load_partial(plus) });
        }
        let results = self.bounds.apply(s, sums);
        // SAFETY: the caller's promise.
        let out = unsafe { self.out.slice(place, lanes) };
        if is_whole { s.store(results, out) } else { s.store_partial(results, out) }
    }
}
