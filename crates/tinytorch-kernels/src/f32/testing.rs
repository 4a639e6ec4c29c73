//! How tests compare kernels with exact values.

use super::{Function, map, map_backward};
use crate::Isa;
use std::ops::Range;

/// Values of a range, a number of them that is no multiple of any vector's lanes.
fn samples(range: Range<f32>) -> Vec<f32> {
    let count = 100_003;
    let width = f64::from(range.end) - f64::from(range.start);
    (0..count).map(|i| (f64::from(range.start) + width * f64::from(i) / 100_003.0) as f32).collect()
}

/// The distance between f32 values next to `exact`.
fn unit_in_the_last_place(exact: f64) -> f64 {
    let near = (exact.abs() as f32).max(f32::MIN_POSITIVE);
    f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near)
}

/// Asserts that no value is further from the exact one than so many units in the last place; the
/// portable ISA, which has no fused multiply-add, has a limit of its own.
#[track_caller]
pub(super) fn check_ulps<F: Function>(
    f: F,
    exact: impl Fn(f64) -> f64,
    range: Range<f32>,
    limit: f64,
    portable_limit: f64,
) {
    let x = samples(range);
    for isa in Isa::available() {
        let limit = if isa == Isa::Scalar { portable_limit } else { limit };
        let mut y = vec![0.0; x.len()];
        map(isa, f, &x, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let exact = exact(f64::from(x));
            let error = (f64::from(y) - exact).abs() / unit_in_the_last_place(exact);
            assert!(error <= limit, "{}: f({x}) = {y}, off by {error} units", isa.name());
        }
    }
}

/// Asserts that no value is further from the exact one than `limit`.
#[track_caller]
pub(super) fn check_absolute<F: Function>(
    f: F,
    exact: impl Fn(f64) -> f64,
    range: Range<f32>,
    limit: f64,
) {
    let x = samples(range);
    for isa in Isa::available() {
        let mut y = vec![0.0; x.len()];
        map(isa, f, &x, &mut y);
        check_all(isa, &x, &y, &exact, limit);
    }
}

/// Asserts that no derivative is further from the exact one than `limit`.
#[track_caller]
pub(super) fn check_derivative<F: Function>(
    f: F,
    exact: impl Fn(f64) -> f64,
    range: Range<f32>,
    limit: f64,
) {
    let x = samples(range);
    for isa in Isa::available() {
        let mut y = vec![0.0; x.len()];
        map_backward(isa, f, &x, &vec![1.0; x.len()], &mut y);
        check_all(isa, &x, &y, &exact, limit);
    }
}

#[track_caller]
fn check_all(isa: Isa, x: &[f32], y: &[f32], exact: &impl Fn(f64) -> f64, limit: f64) {
    for (&x, &y) in x.iter().zip(y) {
        let error = (f64::from(y) - exact(f64::from(x))).abs();
        assert!(error <= limit, "{}: at {x} got {y}, off by {error}", isa.name());
    }
}

/// Asserts one value on every ISA; NaN equals NaN.
#[track_caller]
pub(super) fn check_value<F: Function>(f: F, x: f32, expected: f32) {
    for isa in Isa::available() {
        let mut y = [0.0];
        map(isa, f, &[x], &mut y);
        let same = y[0] == expected || (y[0].is_nan() && expected.is_nan());
        assert!(same, "{}: f({x}) = {}, not {expected}", isa.name(), y[0]);
    }
}

/// The error function from its series, whose terms are all positive (Abramowitz and Stegun, 7.1.6).
pub(super) fn exact_erf(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}
