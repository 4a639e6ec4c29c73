//! Float to 8 bits and back: `q = clamp(round_half_even(x * (1 / scale)) + zero_point)`.
//!
//! Every instruction set returns the same bits: the multiplication is rounded on its own (no
//! fused multiply-add), the clamp comes before the conversion to an integer, and NaN becomes the
//! lowest level.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::{check_length, checked_size};
use super::levels::{Levels, quantize_lanes};
use super::{Int8Error, QParams};
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::parallel::{SharedOut, split};
use crate::threads::{QUANTIZE, QUANTIZE_ROWS};

/// Quantizes, and says whether all values are finite.
struct Quantize<'a> {
    x: &'a [f32],
    levels: Levels,
    out: &'a mut [u8],
}

impl Kernel for Quantize<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let levels = self.levels;
        let mut fours = self.x.chunks_exact(4 * S::LANES);
        let mut out_fours = self.out.chunks_exact_mut(4 * S::LANES);
        let mut taints = [s.splat(0.0); 4];
        for (x, out) in (&mut fours).zip(&mut out_fours) {
            let mut q = [s.splat_i32(0); 4];
            for i in 0..4 {
                let x = s.load(&x[i * S::LANES..]);
                taints[i] = tainted(s, taints[i], x);
                q[i] = quantize_lanes(s, x, levels);
            }
            s.store_low_bytes_of_four(q, out);
        }
        let rest = fours.remainder().chunks(S::LANES);
        for (x, out) in rest.zip(out_fours.into_remainder().chunks_mut(S::LANES)) {
            let x = s.load_partial(x);
            taints[0] = tainted(s, taints[0], x);
            let mut last = [0; 16];
            s.store_low_bytes(quantize_lanes(s, x, levels), &mut last);
            out.copy_from_slice(&last[..out.len()]);
        }
        let all = taints.into_iter().fold(s.splat(0.0), |all, taint| s.add(all, taint));
        !s.sum(all).is_nan()
    }
}

/// `taint` plus nothing, or NaN if a value is not finite.
#[inline(always)]
fn tainted<S: Simd>(s: S, taint: S::F32, x: S::F32) -> S::F32 {
    s.mul_add(x, s.splat(0.0), taint)
}

/// Quantizes `x` with one scale and zero point.
///
/// NaN becomes the lowest level, 0; [`quantize_finite_u8`] refuses it.
///
/// ```
/// use tinytorch_kernels::{Isa, int8::{QParams, quantize_u8}};
///
/// let mut q = [0; 3];
/// quantize_u8(Isa::active(), &[-1.0, 0.0, 9.0], QParams { scale: 0.5, zero_point: 3 }, &mut q)?;
/// assert_eq!(q, [1, 3, 21]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// The lengths differ, or the scale is not usable.
pub fn quantize_u8(isa: Isa, x: &[f32], params: QParams, out: &mut [u8]) -> Result<(), Int8Error> {
    params.check("the scale")?;
    check_length("the quantized output", out.len(), x.len())?;
    quantize(isa, x, params.levels(), out);
    Ok(())
}

/// The same for values that have to be finite.
///
/// # Errors
/// As [`quantize_u8`], or a value is NaN or infinite; the output is then unspecified.
pub fn quantize_finite_u8(
    isa: Isa,
    x: &[f32],
    params: QParams,
    out: &mut [u8],
) -> Result<(), Int8Error> {
    params.check("the scale")?;
    check_length("the quantized output", out.len(), x.len())?;
    let all_finite = quantize(isa, x, params.levels(), out);
    finite_range(x, (0.0, 0.0, all_finite)).map(drop)
}

/// Quantizes `x` to -127..=127 with one scale, as weights are.
///
/// # Errors
/// The lengths differ, or the scale is not usable.
pub fn quantize_i8(isa: Isa, x: &[f32], scale: f32, out: &mut [i8]) -> Result<(), Int8Error> {
    QParams { scale, zero_point: 0 }.check("the scale")?;
    check_length("the quantized output", out.len(), x.len())?;
    quantize(isa, x, Levels::symmetric(scale), as_unsigned(out));
    Ok(())
}

fn as_unsigned(bytes: &mut [i8]) -> &mut [u8] {
    // SAFETY: i8 and u8 have the same size, and all their bit patterns are values.
    unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// Quantizes on the threads of the current pool, and says whether all values are finite.
fn quantize(isa: Isa, x: &[f32], levels: Levels, out: &mut [u8]) -> bool {
    let shared = SharedOut::new(out);
    let all_finite = AtomicBool::new(true);
    split(x.len(), QUANTIZE.shares(x.len()), &|range| {
        // SAFETY: the ranges are disjoint and lie inside `out`, which is as long as `x`.
        let out = unsafe { shared.slice(range.start, range.len()) };
        if !isa.run(Quantize { x: &x[range], levels, out }) {
            all_finite.store(false, Ordering::Relaxed);
        }
    });
    all_finite.into_inner()
}

/// Quantizes each of the `m` rows of `k` values over its own range, and writes how to `params`.
///
/// # Errors
/// A length does not match, or a row holds NaN, an infinity or a range that no scale covers; the
/// outputs are then unspecified.
pub fn quantize_rows_u8(
    isa: Isa,
    x: &[f32],
    m: usize,
    k: usize,
    out: &mut [u8],
    params: &mut [QParams],
) -> Result<(), Int8Error> {
    let size = checked_size("the input", &[m, k])?;
    check_length("the input", x.len(), size)?;
    check_length("the quantized output", out.len(), size)?;
    check_length("the row parameters", params.len(), m)?;
    let (shared_out, shared_params) = (SharedOut::new(out), SharedOut::new(params));
    for_each_row(x, m, k, &|row, x| {
        // SAFETY: each row, and its parameters, belongs to one thread.
        unsafe {
            let out = shared_out.slice(row * k, k);
            shared_params.at(row).write(isa.run(QuantizeRow { x, out })?);
        }
        Ok(())
    })
}

/// Calls `quantize` with every row's number and its `k` values, in parallel. The error is that of the first
/// row that has one, which is asked for again, with the index in `x`.
pub(super) fn for_each_row(
    x: &[f32],
    m: usize,
    k: usize,
    quantize: &(impl Fn(usize, &[f32]) -> Result<(), Int8Error> + Sync),
) -> Result<(), Int8Error> {
    let row_of = |row: usize| &x[row * k..(row + 1) * k];
    let first_bad_row = AtomicUsize::new(usize::MAX);
    split(m, QUANTIZE_ROWS.shares(x.len()), &|rows| {
        for row in rows {
            if quantize(row, row_of(row)).is_err() {
                first_bad_row.fetch_min(row, Ordering::Relaxed);
                return;
            }
        }
    });
    match first_bad_row.into_inner() {
        usize::MAX => Ok(()),
        row => quantize(row, row_of(row)).map_err(|error| match error {
            Int8Error::NotFinite { what, index, value } => {
                Int8Error::NotFinite { what, index: row * k + index, value }
            }
            other => other,
        }),
    }
}

/// Quantizes a row over its own range.
struct QuantizeRow<'a> {
    x: &'a [f32],
    out: &'a mut [u8],
}

impl Kernel for QuantizeRow<'_> {
    type Output = Result<QParams, Int8Error>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Result<QParams, Int8Error> {
        let (min, max) = finite_range(self.x, Extremes(self.x).run(s))?;
        let params = QParams::from_range(min, max)?;
        Quantize { x: self.x, levels: params.levels(), out: self.out }.run(s);
        Ok(params)
    }
}

/// Finds the range of values.
pub(super) struct Extremes<'a>(pub(super) &'a [f32]);

impl Kernel for Extremes<'_> {
    /// Smallest and largest value, and whether all are finite.
    type Output = (f32, f32, bool);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32, bool) {
        let Some(&first) = self.0.first() else { return (0.0, 0.0, true) };
        let mut chains = [Chain::<S>::new(s, first); CHAINS];
        let mut steps = self.0.chunks_exact(CHAINS * S::LANES);
        for step in &mut steps {
            for i in 0..CHAINS {
                chains[i] = chains[i].with(s, s.load(&step[i * S::LANES..]));
            }
        }
        let mut chunks = steps.remainder().chunks_exact(S::LANES);
        for chunk in &mut chunks {
            chains[0] = chains[0].with(s, s.load(chunk));
        }
        let mut all = chains[0];
        for chain in &chains[1..] {
            all.min = s.min(all.min, chain.min);
            all.max = s.max(all.max, chain.max);
            all.taint = s.add(all.taint, chain.taint);
        }
        let mut all = (s.min_lane(all.min), s.max_lane(all.max), s.sum(all.taint));
        for &x in chunks.remainder() {
            all = (all.0.min(x), all.1.max(x), all.2 + x * 0.0);
        }
        (all.0, all.1, all.2 == 0.0)
    }
}

/// Each comparison waits four cycles for the one before it; as many chains of them fill these.
const CHAINS: usize = 4;

/// What [`Extremes`] has found among some values.
#[derive(Copy, Clone)]
struct Chain<S: Simd> {
    min: S::F32,
    max: S::F32,
    /// 0, or NaN if a value was NaN or infinite: such a value times 0 is NaN, which stays.
    taint: S::F32,
}

impl<S: Simd> Chain<S> {
    #[inline(always)]
    fn new(s: S, first: f32) -> Chain<S> {
        Chain { min: s.splat(first), max: s.splat(first), taint: s.splat(first * 0.0) }
    }

    #[inline(always)]
    fn with(self, s: S, x: S::F32) -> Chain<S> {
        Chain { min: s.min(self.min, x), max: s.max(self.max, x), taint: tainted(s, self.taint, x) }
    }
}

/// The smallest and the largest value of `x`; 0 and 0 when it is empty.
///
/// # Errors
/// A value is NaN or infinite.
pub fn min_max(isa: Isa, x: &[f32]) -> Result<(f32, f32), Int8Error> {
    finite_range(x, isa.run(Extremes(x)))
}

/// The two extremes of `x`, or which value is not finite.
#[inline(always)]
pub(super) fn finite_range(
    x: &[f32],
    (min, max, all_finite): (f32, f32, bool),
) -> Result<(f32, f32), Int8Error> {
    if !all_finite && let Some(index) = x.iter().position(|x| !x.is_finite()) {
        return Err(Int8Error::NotFinite { what: "a value", index, value: x[index] });
    }
    Ok((min, max))
}

/// What [`Dequantize`] does with its bytes.
#[derive(Copy, Clone)]
enum Stored<'a> {
    Unsigned(&'a [u8], QParams),
    Signed(&'a [i8], f32),
}

struct Dequantize<'a> {
    stored: Stored<'a>,
    out: &'a mut [f32],
}

impl Kernel for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.out.len() / S::LANES * S::LANES;
        match self.stored {
            Stored::Unsigned(q, params) => {
                let zero_point = s.splat_i32(i32::from(params.zero_point));
                let step = s.splat(params.scale);
                for i in (0..whole).step_by(S::LANES) {
                    let levels = s.sub_i32(s.load_u8(&q[i..]), zero_point);
                    s.store(s.mul(s.i32_to_f32(levels), step), &mut self.out[i..]);
                }
                for (out, q) in self.out[whole..].iter_mut().zip(&q[whole..]) {
                    *out = params.dequantize(*q);
                }
            }
            Stored::Signed(q, scale) => {
                let step = s.splat(scale);
                for i in (0..whole).step_by(S::LANES) {
                    let levels = s.load_i8(&q[i..]);
                    s.store(s.mul(s.i32_to_f32(levels), step), &mut self.out[i..]);
                }
                for (out, q) in self.out[whole..].iter_mut().zip(&q[whole..]) {
                    *out = f32::from(*q) * scale;
                }
            }
        }
    }
}

/// The values that `q` stands for.
///
/// # Errors
/// The lengths differ.
pub fn dequantize_u8(
    isa: Isa,
    q: &[u8],
    params: QParams,
    out: &mut [f32],
) -> Result<(), Int8Error> {
    check_length("the dequantized output", out.len(), q.len())?;
    isa.run(Dequantize { stored: Stored::Unsigned(q, params), out });
    Ok(())
}

/// The values that `q` stands for.
///
/// # Errors
/// The lengths differ.
pub fn dequantize_i8(isa: Isa, q: &[i8], scale: f32, out: &mut [f32]) -> Result<(), Int8Error> {
    check_length("the dequantized output", out.len(), q.len())?;
    isa.run(Dequantize { stored: Stored::Signed(q, scale), out });
    Ok(())
}

#[cfg(test)]
mod tests;
