//! Weights in int8.

use super::{BLOCK, Granularity, Int8Error, Scales, WeightBits};
use crate::Result;
use crate::tensor::{Shape, Tensor};
use half::f16;
use std::borrow::Cow;
use tinytorch_kernels::Isa;
use tinytorch_kernels::int8::{Panels, min_max, quantize_i8, symmetric_scale};

/// A weight in int8: packed panels, which are the only copy, and their scales.
///
/// The shape is the layer's own: `[out, in]` of a linear layer, `[out, in / groups, height, width]` of a
/// convolution, `[entries, dim]` of an embedding. In the panels a convolution's rows run over
/// `(height, width, in)`, the order in which pixels lie side by side in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct QWeight {
    panels: Panels,
    /// Height and width of a convolution's kernel; the rest of the shape follows from the panels.
    window: Option<[u16; 2]>,
    scales: Scales,
    /// What a layer adds to each output channel beside its bias.
    shift: Option<Box<[f32]>>,
}

impl QWeight {
    /// Quantizes a float weight: each scale maps the largest magnitude it covers to 127.
    ///
    /// # Errors
    /// [`Int8Error`] for NaN or infinite weights, for a shape without rows, and for blocks whose
    /// scale exceeds 16 bits.
    pub fn quantize(weight: &Tensor, granularity: Granularity) -> Result<QWeight> {
        let scales = Scales::covering(weight, granularity, WeightBits::EIGHT)?;
        QWeight::round(weight, scales, WeightBits::EIGHT)
    }

    /// Rounds a float weight to the nearest steps of these scales, within the values that `bits` allow. It
    /// runs on [`Isa::active`]; the weight is the same on every set.
    ///
    /// # Errors
    /// [`Int8Error`] for a shape without rows, scales that do not fit it, or a scale that is not
    /// positive and finite. NaN becomes the lowest value; [`Scales::covering`] refuses it.
    pub fn round(weight: &Tensor, scales: Scales, bits: WeightBits) -> Result<QWeight> {
        let isa = Isa::active();
        let layout = Layout::of(weight.shape())?;
        layout.check_scales(&scales)?;
        let dense = weight.contiguous()?;
        let values = dense.as_slice::<f32>()?;
        let run = if let Scales::Blocks(_) = scales { BLOCK } else { layout.k };
        let max = bits.max();
        let mut row = vec![0.0; layout.k];
        let mut failed = Ok(());
        let panels = Panels::pack_rows(layout.n, layout.k, |i, out| {
            layout.pack_order(&values[i * layout.k..][..layout.k], &mut row);
            for (j, (from, to)) in row.chunks(run).zip(out.chunks_mut(run)).enumerate() {
                let scale = scales.at(i, j * run, layout.k);
                if let Err(error) = quantize_i8(isa, from, scale, to) {
                    failed = Err(error);
                }
                if bits != WeightBits::EIGHT {
                    to.iter_mut().for_each(|q| *q = (*q).clamp(-max, max));
                }
            }
        })?;
        failed?;
        Ok(QWeight { panels, window: layout.kernel, scales, shift: None })
    }

    /// A weight read back from a file: `fill(i, row)` gives row `i` in the layer's own order.
    ///
    /// # Errors
    /// [`Int8Error::Scales`] if the scales do not fit the shape, or what `fill` reports.
    pub fn from_rows(
        shape: Shape,
        scales: Scales,
        mut fill: impl FnMut(usize, &mut [i8]) -> Result<()>,
    ) -> Result<QWeight> {
        let layout = Layout::of(&shape)?;
        layout.check_scales(&scales)?;
        let mut row = vec![0; layout.k];
        let mut failed = Ok(());
        let panels = Panels::pack_rows(layout.n, layout.k, |i, out| {
            if failed.is_ok() {
                failed = fill(i, &mut row);
                layout.pack_order(&row, out);
            }
        })?;
        failed?;
        Ok(QWeight { panels, window: layout.kernel, scales, shift: None })
    }

    /// The same weight with or without the sums of its rows, see [`Panels::with_sums`].
    pub(super) fn with_sums(self, sums: bool) -> QWeight {
        let QWeight { panels, .. } = self;
        let panels = if sums { panels.with_sums() } else { panels.without_sums() };
        QWeight { panels, ..self }
    }

    /// The same weight with a number to add to each output channel: the place for what folding a batch
    /// norm leaves over where the layer has no bias.
    ///
    /// # Errors
    /// [`Int8Error::Shift`] unless there is one finite number for each channel.
    pub fn with_shift(self, shift: Box<[f32]>) -> Result<QWeight> {
        if shift.len() != self.panels.n() || shift.iter().any(|v| !v.is_finite()) {
            let (shape, got) = (self.shape(), shift.len());
            return Err(Int8Error::Shift { shape, got }.into());
        }
        Ok(QWeight { shift: Some(shift), ..self })
    }

    /// The same weight with a level for each row that stands for 0 in it, as quantizers write that use all levels of
    /// an uneven range: `w = (q - zero_point) * scale`.
    ///
    /// # Errors
    /// There is not one for each row, scales come in blocks, or rows are too long:
    /// [`MAX_K_OFF_CENTER`](tinytorch_kernels::int8::MAX_K_OFF_CENTER).
    pub fn with_zero_points(self, zero_points: &[i8]) -> Result<QWeight> {
        let QWeight { panels, scales, .. } = self;
        let panels = panels.with_zero_points(zero_points).map_err(Int8Error::from)?;
        if matches!(scales, Scales::Blocks(_)) && !panels.zero_points().is_empty() {
            return Err(Int8Error::from(tinytorch_kernels::int8::Int8Error::ZeroPoints).into());
        }
        Ok(QWeight { panels, scales, ..self })
    }

    /// The level that stands for 0 in each row; nothing where it is 0 in all.
    pub fn zero_points(&self) -> &[i8] {
        self.panels.zero_points()
    }

    /// What is added to each output channel beside a bias.
    pub fn shift(&self) -> Option<&[f32]> {
        self.shift.as_deref()
    }

    /// The sum of a layer's bias and the shift: all that is added to each output channel.
    pub fn offset<'a>(&'a self, bias: Option<&'a [f32]>) -> Option<Cow<'a, [f32]>> {
        match (bias, self.shift()) {
            (Some(bias), Some(shift)) => Some(bias.iter().zip(shift).map(|(b, s)| b + s).collect()),
            (one, None) | (None, one) => one.map(Cow::Borrowed),
        }
    }

    /// The shape in the layer's terms.
    pub fn shape(&self) -> Shape {
        let (n, k) = (self.panels.n(), self.panels.k());
        match self.window.map(|window| window.map(usize::from)) {
            None => Shape::known(&[n, k]),
            Some([h, w]) => Shape::known(&[n, k / (h * w), h, w]),
        }
    }

    /// The packed values.
    pub fn panels(&self) -> &Panels {
        &self.panels
    }

    /// The scales.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// Bytes of the values, of the sums and zero points of rows that are kept beside them, of the scales and of the shift.
    pub fn bytes(&self) -> usize {
        self.panels.bytes() + self.scales.bytes() + self.shift.as_deref().map_or(0, size_of_val)
    }

    /// Writes row `i`, in the layer's own order, to `out`.
    ///
    /// # Errors
    /// [`Int8Error`] if there is no such row or `out` has another length.
    pub fn row_into(&self, i: usize, out: &mut [i8]) -> Result<()> {
        let layout = Layout::of(&self.shape())?;
        let mut packed = vec![0; layout.k];
        self.panels.row_into(i, &mut packed)?;
        layout.own_order(&packed, out);
        Ok(())
    }

    /// Writes the float values that row `i` stands for, in the layer's own order, to `out`.
    ///
    /// # Errors
    /// [`Int8Error`] if there is no such row or `out` has another length.
    pub fn dequantize_row_into(&self, i: usize, out: &mut [f32]) -> Result<()> {
        let layout = Layout::of(&self.shape())?;
        let mut packed = vec![0i8; layout.k];
        self.panels.row_into(i, &mut packed)?;
        let zero_point = i16::from(self.panels.zero_point(i));
        let steps = |q: i8| f32::from(i16::from(q) - zero_point);
        let float = |(j, &q): (usize, &i8)| steps(q) * self.scales.at(i, j, layout.k);
        let floats: Vec<f32> = packed.iter().enumerate().map(float).collect();
        if out.len() != floats.len() {
            let (got, expected) = (out.len(), floats.len());
            let what = "the row";
            return Err(tinytorch_kernels::int8::Int8Error::Length { what, expected, got }.into());
        }
        layout.own_order(&floats, out);
        Ok(())
    }

    /// The float values that the weight stands for, as a tensor of its own.
    ///
    /// # Errors
    /// None for a weight that was built by this module.
    pub fn dequantize(&self) -> Result<Tensor> {
        let layout = Layout::of(&self.shape())?;
        let mut out = vec![0f32; self.shape().len()];
        for (i, row) in out.chunks_exact_mut(layout.k).enumerate() {
            self.dequantize_row_into(i, row)?;
        }
        Tensor::from_vec(out, self.shape())
    }
}

impl Scales {
    /// The scales with which the largest magnitude that each covers becomes the largest value of
    /// `bits`. It runs on [`Isa::active`]; the scales are the same on every set. A weight with a row too
    /// small for the 16 bits of block scales gets scales per channel.
    ///
    /// # Errors
    /// As [`QWeight::quantize`], and [`Int8Error::TooSmall`].
    pub fn covering(weight: &Tensor, granularity: Granularity, bits: WeightBits) -> Result<Scales> {
        let layout = Layout::of(weight.shape())?;
        let dense = weight.contiguous()?;
        let values = dense.as_slice::<f32>()?;
        let widening = f32::from(i8::MAX) / f32::from(bits.max());
        let covering = |values: &[f32]| -> Result<f32> {
            let (min, max) = min_max(Isa::active(), values)?;
            Ok(symmetric_scale(max.max(-min))? * widening)
        };
        let (min, max) = min_max(Isa::active(), values)?;
        let largest = max.max(-min);
        let step = symmetric_scale(largest)?;
        // A step is the 127th part of it unless floats end before that, and moves a value by half of that at most.
        // Single rows of such values are dead channels.
        let is_lost = |value: &f32| (value - step * (value / step).round()).abs() > largest / 200.0;
        if step > largest / 100.0 && values.iter().any(is_lost) {
            return Err(Int8Error::TooSmall { largest }.into());
        }
        Ok(match granularity {
            Granularity::PerTensor => Scales::PerTensor(covering(values)?),
            Granularity::PerChannel => {
                let rows = values.chunks_exact(layout.k);
                Scales::PerChannel(rows.map(covering).collect::<Result<_>>()?)
            }
            Granularity::Blocks => {
                let mut row = vec![0.0; layout.k];
                let mut scales = Vec::with_capacity(layout.n * layout.k.div_ceil(BLOCK));
                for source in values.chunks_exact(layout.k) {
                    let whole = covering(source)?;
                    if whole < SMALLEST_BLOCK_SCALE && source.iter().any(|v| *v != 0.0) {
                        return Scales::covering(weight, Granularity::PerChannel, bits);
                    }
                    layout.pack_order(source, &mut row);
                    for block in row.chunks(BLOCK) {
                        scales.push(half_scale(covering(block)?)?);
                    }
                }
                Scales::Blocks(scales.into())
            }
        })
    }
}

/// Below it, rounding a scale up to the next of 16 bits makes steps more than a quarter wider, and at 1e-8 all
/// values zero.
const SMALLEST_BLOCK_SCALE: f32 = 4.0 / 16_777_216.0;

/// A 16-bit scale not below `scale`, so that no weight it covers is clipped.
fn half_scale(scale: f32) -> Result<f16> {
    let nearest = f16::from_f32(scale).max(f16::MIN_POSITIVE_SUBNORMAL);
    let up = if nearest.to_f32() < scale { f16::from_bits(nearest.to_bits() + 1) } else { nearest };
    if up.is_finite() { Ok(up) } else { Err(Int8Error::BlockScale { scale }.into()) }
}

/// The weight as a matrix of `n` rows of `k`, each row made of `channels` runs of `window` values.
struct Layout {
    shape: Shape,
    n: usize,
    k: usize,
    channels: usize,
    window: usize,
    kernel: Option<[u16; 2]>,
}

impl Layout {
    fn of(shape: &Shape) -> Result<Layout> {
        let unusable = || Int8Error::Shape { shape: *shape };
        let (window, kernel) = match shape.dims() {
            [_, _] => (1, None),
            [_, _, h, w] => {
                let side = |size: usize| u16::try_from(size).map_err(|_| unusable());
                (h * w, Some([side(*h)?, side(*w)?]))
            }
            _ => return Err(unusable().into()),
        };
        if shape.is_empty() {
            return Err(unusable().into());
        }
        let channels = shape[1];
        let (shape, n, k) = (*shape, shape[0], channels * window);
        Ok(Layout { shape, n, k, channels, window, kernel })
    }

    /// Refuses scales of another number than the weight needs.
    fn check_scales(&self, scales: &Scales) -> Result<()> {
        let (got, expected) = match scales {
            Scales::PerTensor(_) => (1, 1),
            Scales::PerChannel(scales) => (scales.len(), self.n),
            Scales::Blocks(scales) => (scales.len(), self.n * self.k.div_ceil(BLOCK)),
        };
        let shape = self.shape;
        if got == expected {
            Ok(())
        } else {
            Err(Int8Error::Scales { shape, got, expected }.into())
        }
    }

    /// From `(channel, window)` to `(window, channel)`.
    fn pack_order<T: Copy>(&self, own: &[T], packed: &mut [T]) {
        if self.window == 1 {
            return packed.copy_from_slice(own);
        }
        for (c, run) in own.chunks_exact(self.window).enumerate() {
            for (w, &value) in run.iter().enumerate() {
                packed[w * self.channels + c] = value;
            }
        }
    }

    /// From `(window, channel)` to `(channel, window)`.
    fn own_order<T: Copy>(&self, packed: &[T], own: &mut [T]) {
        for (c, run) in own.chunks_exact_mut(self.window).enumerate() {
            for (w, value) in run.iter_mut().enumerate() {
                *value = packed[w * self.channels + c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_weight_comes_back_within_half_a_step(
            n in 1usize..20, c in 1usize..40, window in 1usize..4, seed in 0u64..99, which in 0usize..3,
            magnitude in -4i32..4,
        ) {
            let granularity =
                [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks][which];
            let std = 10f32.powi(magnitude);
            let w = Tensor::randn([n, c, window, window], std, &mut Rng::seed(seed)).unwrap();
            let q = QWeight::quantize(&w, granularity).unwrap();
            let step = match q.scales() {
                Scales::PerTensor(s) => *s,
                Scales::PerChannel(s) => s.iter().copied().fold(0.0, f32::max),
                Scales::Blocks(s) => s.iter().map(|s| s.to_f32()).fold(0.0, f32::max),
            };
            let back = q.dequantize().unwrap();
            prop_assert!(back.allclose(&w, 1e-6, step * 0.5001).unwrap());
            prop_assert_eq!(q.panels().bytes(), w.len());
        }

        #[test]
        fn rows_go_out_and_come_back_unchanged(n in 1usize..20, c in 1usize..9, window in 1usize..4) {
            let w = Tensor::randn([n, c, window, window], 1.0, &mut Rng::seed(1)).unwrap();
            let q = QWeight::quantize(&w, Granularity::PerChannel).unwrap();
            let again = QWeight::from_rows(q.shape(), q.scales().clone(), |i, row| {
                q.row_into(i, row)
            });
            prop_assert_eq!(again.unwrap(), q);
        }
    }

    #[test]
    fn there_is_a_scale_for_each_channel_or_block() {
        let shape = Shape::new(&[3, 40]).unwrap();
        let read = |scales: Scales| QWeight::from_rows(shape, scales, |_, _| Ok(())).is_ok();
        let blocks = |count: usize| Scales::Blocks(vec![f16::ONE; count].into());
        let channels = |count: usize| Scales::PerChannel(vec![1.0; count].into());
        assert!(read(Scales::PerTensor(1.0)) && read(channels(3)) && read(blocks(6)));
        assert!([2, 4].into_iter().all(|count| !read(channels(count))));
        assert!([3, 5, 7].into_iter().all(|count| !read(blocks(count))));
    }

    #[test]
    fn a_shift_is_one_finite_number_for_each_channel() {
        let weight = Tensor::ones([2, 3]).unwrap();
        let weight = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let bytes = weight.bytes();
        assert_eq!(weight.offset(None), None);
        let shifted = weight.clone().with_shift([1.0, 2.0].into()).unwrap();
        assert_eq!(shifted.bytes(), bytes + 8);
        assert_eq!(shifted.offset(None).as_deref(), Some(&[1.0, 2.0][..]));
        assert_eq!(shifted.offset(Some(&[0.5, 0.5])).as_deref(), Some(&[1.5, 2.5][..]));
        assert!(weight.clone().with_shift([1.0].into()).is_err());
        assert!(weight.with_shift([1.0, f32::INFINITY].into()).is_err());
    }

    #[test]
    fn zero_points_are_taken_off_the_levels() {
        let scales = || Scales::PerChannel([0.5, 2.0].into());
        let shape = Shape::new(&[2, 2]).unwrap();
        let rows = |i: usize, row: &mut [i8]| {
            row.copy_from_slice(&[[-128, 127], [3, 4]][i]);
            Ok(())
        };
        let weight = QWeight::from_rows(shape, scales(), rows).unwrap();
        let bytes = weight.bytes();
        assert!(weight.zero_points().is_empty());
        let weight = weight.with_zero_points(&[127, 3]).unwrap();
        assert_eq!((weight.bytes(), weight.zero_points()), (bytes + 2, &[127, 3][..]));
        let floats = weight.dequantize().unwrap().to_vec::<f32>().unwrap();
        assert_eq!(floats, [-127.5, 0.0, 0.0, 2.0]);
        assert!(weight.clone().with_zero_points(&[1]).is_err());
        let blocks = Scales::Blocks([f16::ONE; 2].into());
        let blocks = QWeight::from_rows(shape, blocks, rows).unwrap();
        assert!(blocks.clone().with_zero_points(&[0, 0]).is_ok());
        let error = blocks.with_zero_points(&[0, 1]).unwrap_err().to_string();
        assert!(error.contains("zero points"), "{error}");
    }

    #[test]
    fn fewer_bits_leave_fewer_values() {
        let w = Tensor::randn([6, 50], 1.0, &mut Rng::seed(1)).unwrap();
        for bits in (2..=8).map(|bits| WeightBits::new(bits).unwrap()) {
            for granularity in
                [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks]
            {
                let scales = Scales::covering(&w, granularity, bits).unwrap();
                let q = QWeight::round(&w, scales.clone(), bits).unwrap();
                let mut row = [0; 50];
                let mut largest = 0;
                for i in 0..6 {
                    q.row_into(i, &mut row).unwrap();
                    largest = row.iter().fold(largest, |max, q| max.max(q.abs()));
                }
                assert_eq!(largest, bits.max(), "{bits:?} {granularity:?}");
                let step = (0..6).map(|i| scales.at(i, 0, 50).max(scales.at(i, 32, 50)));
                let step = step.fold(0.0, f32::max);
                assert!(q.dequantize().unwrap().allclose(&w, 0.0, 0.5001 * step).unwrap());
            }
        }
        let halved = Scales::PerTensor(0.1);
        let q = QWeight::round(&w, halved, WeightBits::new(3).unwrap()).unwrap();
        let widest =
            q.dequantize().unwrap().to_vec::<f32>().unwrap().into_iter().fold(0.0, f32::max);
        assert!((widest - 0.3).abs() < 1e-6, "what lies beyond the steps is clipped: {widest}");
    }

    #[test]
    fn rows_too_small_for_block_scales_get_scales_of_their_own() {
        let relative = |largest: f32| {
            let values = (0..128).map(|i| largest * (1.7 * i as f32).sin()).collect();
            let weight = Tensor::from_vec(values, [2, 64]).unwrap();
            let int8 = QWeight::quantize(&weight, Granularity::Blocks).unwrap();
            let error = int8.dequantize().unwrap().sub(&weight).unwrap();
            let norm = |t: &Tensor| {
                let values = t.to_vec::<f32>().unwrap().into_iter().map(f64::from);
                values.map(|v| v * v).sum::<f64>().sqrt()
            };
            (norm(&error) / norm(&weight), int8.scales().granularity())
        };
        for largest in [1.0, 1e-3, 1e-4, 3e-5, 1e-6, 1e-7, 1e-8, 1e-30] {
            let (error, granularity) = relative(largest);
            assert!(error < 0.006, "{largest}: {error}");
            assert_eq!(granularity == Granularity::Blocks, largest > 5e-5, "{largest}");
        }
        let zeros = Tensor::zeros([2, 64]).unwrap();
        let zeros = QWeight::quantize(&zeros, Granularity::Blocks).unwrap();
        assert_eq!(zeros.scales().granularity(), Granularity::Blocks);
        let dead_block = Tensor::from_vec(vec![1.0, 1e-9], [1, 2]).unwrap();
        assert!(QWeight::quantize(&dead_block, Granularity::Blocks).is_ok());
    }

    #[test]
    fn unusable_weights_are_errors() {
        let quantize = |values: Vec<f32>, granularity| {
            let weight = Tensor::from_vec(values, [1, 2]).unwrap();
            QWeight::quantize(&weight, granularity)
        };
        assert!(quantize(vec![1.0, f32::NAN], Granularity::PerChannel).is_err());
        assert!(quantize(vec![1.0, f32::INFINITY], Granularity::PerTensor).is_err());
        assert!(quantize(vec![1e30, 1.0], Granularity::Blocks).is_err());
        assert!(quantize(vec![1e30, 1.0], Granularity::PerChannel).is_ok());
        for granularity in [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks] {
            let error = quantize(vec![1e-41, -2e-41], granularity).unwrap_err().to_string();
            assert!(error.contains("2e-41, too small"), "{error}");
        }
        // A dead channel beside others is none of theirs.
        let weight = Tensor::from_vec(vec![1.0, 1e-41], [2, 1]).unwrap();
        assert!(QWeight::quantize(&weight, Granularity::PerChannel).is_ok());
        let flat = Tensor::ones([3]).unwrap();
        assert!(QWeight::quantize(&flat, Granularity::PerChannel).is_err());
    }
}
