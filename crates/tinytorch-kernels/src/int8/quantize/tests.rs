//! Quantizing on every instruction set against its definition.

use super::*;
use crate::int8::symmetric_scale;
use proptest::prelude::*;

/// Values with ties, both infinities and NaN among them.
fn values() -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        8 => -300.0f32..300.0,
        2 => (-600i32..600).prop_map(|halves| halves as f32 * 0.5),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, -0.0]),
    ];
    prop::collection::vec(value, 0..70)
}

proptest! {
    #[test]
    fn every_isa_equals_the_definition(
        x in values(), exponent in -3i32..3, zero_point in prop::sample::select(vec![0u8, 7, 255]),
    ) {
        let params = QParams { scale: 2f32.powi(exponent), zero_point };
        let want: Vec<u8> = x.iter().map(|x| params.quantize(*x)).collect();
        let signed: Vec<i8> = x.iter().map(|x| {
            let steps = x * (1.0 / params.scale);
            if steps.is_nan() { -127 } else { steps.clamp(-127.0, 127.0).round_ties_even() as i8 }
        }).collect();
        for isa in Isa::available() {
            let mut q = vec![0; x.len()];
            quantize_u8(isa, &x, params, &mut q).unwrap();
            prop_assert_eq!(&q, &want, "{}", isa.name());
            let mut q = vec![0; x.len()];
            quantize_i8(isa, &x, params.scale, &mut q).unwrap();
            prop_assert_eq!(&q, &signed, "{}", isa.name());
        }
    }

    #[test]
    fn dequantizing_equals_the_definition(
        q in prop::collection::vec(any::<u8>(), 0..70), zero_point in any::<u8>(),
    ) {
        let params = QParams { scale: 0.37, zero_point };
        let signed: Vec<i8> = q.iter().map(|q| q.cast_signed()).collect();
        for isa in Isa::available() {
            let mut out = vec![0.0; q.len()];
            dequantize_u8(isa, &q, params, &mut out).unwrap();
            prop_assert!(out.iter().zip(&q).all(|(x, q)| *x == params.dequantize(*q)));
            dequantize_i8(isa, &signed, 0.37, &mut out).unwrap();
            prop_assert!(out.iter().zip(&signed).all(|(x, q)| *x == f32::from(*q) * 0.37));
        }
    }

    #[test]
    fn extremes_are_found_wherever_they_are(x in prop::collection::vec(-9.0f32..9.0, 1..70)) {
        let min = x.iter().copied().fold(f32::INFINITY, f32::min);
        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for isa in Isa::available() {
            prop_assert_eq!(min_max(isa, &x), Ok((min, max)));
        }
    }

    #[test]
    fn a_value_that_is_not_finite_is_found_wherever_it_is(
        len in 1usize..70, at in any::<prop::sample::Index>(),
        bad in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        let mut x = vec![1.0; len];
        let at = at.index(len);
        x[at] = bad;
        for isa in Isa::available() {
            let error = min_max(isa, &x).unwrap_err();
            let params = QParams { scale: 0.5, zero_point: 3 };
            let quantized = quantize_finite_u8(isa, &x, params, &mut vec![0; len]).unwrap_err();
            for error in [error, quantized] {
                let named = matches!(error, Int8Error::NotFinite { index, .. } if index == at);
                prop_assert!(named);
            }
        }
    }
}

#[test]
fn rows_have_ranges_of_their_own() {
    let x = [0.0, 1.0, 2.0, -100.0, 0.0, 50.0, 3.0, 3.0, 3.0];
    for isa in Isa::available() {
        let mut q = [0; 9];
        let mut params = [QParams { scale: 1.0, zero_point: 0 }; 3];
        quantize_rows_u8(isa, &x, 3, 3, &mut q, &mut params).unwrap();
        for (i, x) in x.iter().enumerate() {
            let params = params[i / 3];
            assert!((params.dequantize(q[i]) - x).abs() <= params.scale * 0.5001, "{x}");
        }
        assert_eq!(params[0], QParams::from_range(0.0, 2.0).unwrap());
    }
}

#[test]
fn a_bad_row_is_named_by_its_place_in_the_input() {
    let mut x = vec![1.0; 40];
    x[33] = f32::NAN;
    let mut params = [QParams { scale: 1.0, zero_point: 0 }; 4];
    let error = quantize_rows_u8(Isa::Scalar, &x, 4, 10, &mut [0; 40], &mut params).unwrap_err();
    assert!(matches!(error, Int8Error::NotFinite { index: 33, .. }));
}

#[test]
fn lengths_and_scales_are_checked() {
    let isa = Isa::Scalar;
    let params = QParams { scale: 1.0, zero_point: 0 };
    assert!(quantize_u8(isa, &[1.0], params, &mut []).is_err());
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-45] {
        let error = quantize_i8(isa, &[1.0], scale, &mut [0]).unwrap_err();
        assert!(matches!(error, Int8Error::Scale { .. }));
    }
    assert_eq!(min_max(isa, &[]), Ok((0.0, 0.0)));
    assert_eq!(symmetric_scale(0.0), Ok(1.0));
}

#[test]
fn threads_do_not_change_a_level() {
    let x: Vec<f32> = (0..300_000).map(|i| (i as f32 * 0.1).sin()).collect();
    let mut one = vec![0; x.len()];
    let mut two = one.clone();
    let levels = QParams::from_range(-1.0, 1.0).unwrap();
    for (threads, out) in [(1, &mut one), (2, &mut two)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| quantize_u8(Isa::active(), &x, levels, out)).unwrap();
    }
    assert_eq!(one, two);
}
