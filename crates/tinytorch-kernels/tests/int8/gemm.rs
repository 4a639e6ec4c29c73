//! The int8 product returns the same bits as plain 64-bit arithmetic on every instruction set,
//! for every shape, and with any number of threads.

use crate::reference::{Numbers, levels, reference};
use half::f16;
use proptest::prelude::*;
use tinytorch_kernels::int8::{
    Activations, Epilogue, Int8Error, Output, Panels, QParams, RowParams, Scales, gemm,
};
use tinytorch_kernels::{Isa, Ran, Scratch};

/// Sizes around the edges of groups, vectors, panels and tiles.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        prop::sample::select(vec![0usize, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65]),
        0usize..70,
    ]
}

#[derive(Copy, Clone, Debug)]
enum Kind {
    Tensor,
    Channel,
    Blocks(usize),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Tensor),
        Just(Kind::Channel),
        prop::sample::select(vec![4usize, 8, 32]).prop_map(Kind::Blocks),
    ]
}

/// How activations are quantized.
#[derive(Copy, Clone, Debug)]
enum Input {
    Tensor,
    PerRow,
    PerRow16,
}

fn input() -> impl Strategy<Value = Input> {
    prop::sample::select(vec![Input::Tensor, Input::PerRow, Input::PerRow16])
}

/// Weights around 0 and, where the sums are one integer, weights that are not.
fn check(seed: u64, sizes: [usize; 3], kind: Kind, input: Input, relu: bool, tame: bool) {
    check_with(seed, sizes, (kind, false), input, relu, tame);
    if !matches!((kind, input), (Kind::Blocks(_), _) | (_, Input::PerRow16)) {
        check_with(seed, sizes, (kind, true), input, relu, tame);
    }
}

fn check_with(
    seed: u64,
    [m, n, k]: [usize; 3],
    (kind, off_center): (Kind, bool),
    input: Input,
    relu: bool,
    tame: bool,
) {
    let mut numbers = Numbers(seed);
    let words: Vec<i16> = numbers.words(m * k);
    let (a, level): (Vec<u8>, Vec<i64>) = match input {
        Input::PerRow16 => (
            words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
            words.iter().map(|&word| i64::from(word)).collect(),
        ),
        Input::Tensor | Input::PerRow => {
            let bytes = numbers.u8s(m * k);
            let levels = bytes.iter().map(|&byte| i64::from(byte)).collect();
            (bytes, levels)
        }
    };
    let mut w = numbers.i8s(n * k);
    if tame {
        w.iter_mut().for_each(|w| *w /= 2);
    }
    let w_zeros = numbers.zero_points(n, off_center);
    let zero_points = match input {
        Input::PerRow16 => [0; 4],
        Input::Tensor | Input::PerRow => [0, 255, 128, numbers.next() as u8],
    };
    let row_params: Vec<QParams> = (0..m)
        .map(|_| QParams {
            scale: numbers.scales(1)[0],
            zero_point: zero_points[numbers.next() as usize % 4],
        })
        .collect();
    let one = QParams { scale: 0.013, zero_point: zero_points[numbers.next() as usize % 4] };
    let params = match input {
        Input::Tensor => RowParams::Tensor(one),
        Input::PerRow => RowParams::PerRow(&row_params),
        Input::PerRow16 => RowParams::PerRow16(&row_params),
    };
    let channel = numbers.scales(n);
    let block: Vec<f16> = match kind {
        Kind::Blocks(size) => {
            numbers.scales(n * k.div_ceil(size)).into_iter().map(f16::from_f32).collect()
        }
        _ => Vec::new(),
    };
    let scales = match kind {
        Kind::Tensor => Scales::PerTensor(0.007),
        Kind::Channel => Scales::PerChannel(&channel),
        Kind::Blocks(size) => Scales::Blocks { size, scales: &block },
    };
    let (bias, plus) = (numbers.f32s(n), numbers.f32s(m * n));
    let epilogue = Epilogue { scales, bias: relu.then_some(&bias[..]), relu };

    let activation = |i: usize, j: usize| level[i * k + j];
    let weight = |i: usize, j: usize| i64::from(w[i * k + j]) - i64::from(w_zeros[i]);
    let want = reference(m, n, k, activation, weight, &params, &epilogue);
    let floats = Epilogue { relu: false, ..epilogue };
    let sums = reference(m, n, k, activation, weight, &params, &floats);
    let sums = sums.iter().zip(&plus).map(|(y, plus)| y + plus);
    let sums = sums.map(|sum| if relu && sum < 0.0 { 0.0 } else { sum });
    let want_sums: Vec<u32> = sums.map(f32::to_bits).collect();
    let out_params = QParams { scale: 0.05, zero_point: 77 };
    let want_levels = levels(&want, out_params);
    let without_sums = Panels::pack(&w, n, k).unwrap().with_zero_points(&w_zeros).unwrap();
    let with_sums = without_sums.clone().with_sums();
    let activations = Activations { data: &a, m, k, params };
    let mut scratch = Scratch::new();
    let isas = Isa::available();
    for (isa, panels) in isas.iter().flat_map(|isa| [(*isa, &without_sums), (*isa, &with_sums)]) {
        let mut y = vec![f32::NAN; m * n];
        let output = Output::F32(&mut y);
        let Ran { name, int8 } =
            gemm(isa, &activations, panels, &epilogue, output, &mut scratch).unwrap();
        assert!(int8 && name.contains(isa.name()));
        assert!(
            y.iter().zip(&want).all(|(y, want)| y.to_bits() == want.to_bits()),
            "{name} {m}x{k}x{n}: {y:?} instead of {want:?}"
        );
        let output = Output::Sum { data: &mut y, plus: &plus };
        gemm(isa, &activations, panels, &epilogue, output, &mut scratch).unwrap();
        assert!(y.iter().map(|y| y.to_bits()).eq(want_sums.iter().copied()), "{name} {m}x{k}x{n}");
        let mut q = vec![0; m * n];
        let output = Output::U8 { data: &mut q, params: out_params };
        gemm(isa, &activations, panels, &epilogue, output, &mut scratch).unwrap();
        assert_eq!(q, want_levels, "{name} {m}x{k}x{n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_isa_equals_64_bit_arithmetic(
        seed in any::<u64>(), m in size(), n in size(), k in size(),
        kind in kind(), input in input(), relu in any::<bool>(), tame in any::<bool>(),
    ) {
        check(seed, [m, n, k], kind, input, relu, tame);
    }
}

#[test]
fn long_rows_and_many_panels_are_exact() {
    check(1, [13, 130, 1031], Kind::Channel, Input::PerRow, true, false);
    check(2, [1, 257, 2048], Kind::Blocks(32), Input::PerRow, false, false);
    check(3, [70, 48, 515], Kind::Blocks(32), Input::Tensor, true, true);
    check(4, [13, 130, 1031], Kind::Channel, Input::PerRow16, true, false);
    check(5, [1, 257, 2048], Kind::Blocks(512), Input::PerRow16, false, false);
    check(6, [2, 31, 1537], Kind::Tensor, Input::PerRow16, false, false);
    check(7, [70, 48, 515], Kind::Blocks(32), Input::PerRow16, true, true);
}

/// 255 * (127 + 127) does not fit 16 bits: this is where a plain `vpmaddubsw` goes wrong.
#[test]
fn pairs_that_saturate_16_bits_are_exact() {
    for weight in [127, -128] {
        let panels = Panels::pack(&[weight; 64], 1, 64).unwrap();
        assert!(!panels.pair_rule_holds());
        let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: 0 });
        let a = Activations { data: &[255; 64], m: 1, k: 64, params };
        let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
        for isa in Isa::available() {
            let mut y = [0.0];
            gemm(isa, &a, &panels, &epilogue, Output::F32(&mut y), &mut Scratch::new()).unwrap();
            assert_eq!(y, [64.0 * 255.0 * f32::from(weight)], "{}", isa.name());
        }
    }
}

#[test]
fn the_longest_row_fits_its_accumulator() {
    let k = tinytorch_kernels::int8::MAX_K;
    let panels = Panels::pack(&vec![-128; k], 1, k).unwrap();
    let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: 0 });
    let data = vec![255; k];
    let a = Activations { data: &data, m: 1, k, params };
    let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
    for isa in Isa::available() {
        let mut y = [0.0];
        gemm(isa, &a, &panels, &epilogue, Output::F32(&mut y), &mut Scratch::new()).unwrap();
        assert_eq!(y, [(-128i64 * 255 * k as i64) as f32]);
    }
}

#[test]
fn the_longest_row_with_a_zero_point_fits_its_accumulator() {
    let k = tinytorch_kernels::int8::MAX_K_OFF_CENTER;
    for (weight, zero) in [(-128, 127), (127, -128)] {
        let panels = Panels::pack(&vec![weight; k], 1, k).unwrap();
        let panels = panels.with_zero_points(&[zero]).unwrap();
        for (level, zero_point) in [(255, 0), (0, 255)] {
            let data = vec![level; k];
            let params = RowParams::Tensor(QParams { scale: 1.0, zero_point });
            let a = Activations { data: &data, m: 1, k, params };
            let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
            let steps = i64::from(weight) - i64::from(zero);
            let want = (i64::from(level) - i64::from(zero_point)) * steps * k as i64;
            for isa in Isa::available() {
                let (mut y, mut scratch) = ([0.0], Scratch::new());
                gemm(isa, &a, &panels, &epilogue, Output::F32(&mut y), &mut scratch).unwrap();
                assert_eq!(y, [want as f32], "{}", isa.name());
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let mut numbers = Numbers(5);
    for [m, n, k] in [[200, 130, 331], [1, 4100, 1024], [600, 17, 515]] {
        let (a, w) = (numbers.u8s(m * k), numbers.i8s(n * k));
        let (channel, params) = (numbers.scales(n), QParams { scale: 0.1, zero_point: 9 });
        let panels = Panels::pack(&w, n, k).unwrap();
        let panels = panels.with_zero_points(&numbers.zero_points(n, true)).unwrap();
        let activations = Activations { data: &a, m, k, params: RowParams::Tensor(params) };
        let epilogue = Epilogue { scales: Scales::PerChannel(&channel), bias: None, relu: false };
        for isa in Isa::available() {
            let results: Vec<Vec<f32>> = [1, 2, 3]
                .into_iter()
                .map(|threads| {
                    let pool =
                        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let mut y = vec![0.0; m * n];
                    let output = Output::F32(&mut y);
                    let mut scratch = Scratch::new();
                    pool.install(|| {
                        gemm(isa, &activations, &panels, &epilogue, output, &mut scratch).unwrap()
                    });
                    y
                })
                .collect();
            assert_eq!(results[0], results[1], "{}", isa.name());
            assert_eq!(results[0], results[2], "{}", isa.name());
        }
    }
}

#[test]
fn wrong_arguments_are_typed_errors() {
    let panels = Panels::pack(&[0; 6], 2, 3).unwrap();
    let good = QParams { scale: 1.0, zero_point: 0 };
    let call = |data: &[u8], k: usize, params: RowParams<'_>, scales: Scales<'_>, out: usize| {
        let a = Activations { data, m: 1, k, params };
        let epilogue = Epilogue { scales, bias: None, relu: false };
        let mut y = vec![0.0; out];
        let output = Output::F32(&mut y);
        gemm(Isa::Scalar, &a, &panels, &epilogue, output, &mut Scratch::new()).unwrap_err()
    };
    let tensor = RowParams::Tensor(good);
    let one = Scales::PerTensor(1.0);
    assert!(matches!(call(&[0; 4], 4, tensor, one, 2), Int8Error::InnerSize { .. }));
    assert!(matches!(call(&[0; 2], 3, tensor, one, 2), Int8Error::Length { .. }));
    assert!(matches!(call(&[0; 3], 3, tensor, one, 3), Int8Error::Length { .. }));
    assert!(matches!(call(&[0; 3], 3, RowParams::PerRow(&[]), one, 2), Int8Error::Length { .. }));
    assert!(matches!(
        call(&[0; 3], 3, tensor, Scales::PerChannel(&[1.0]), 2),
        Int8Error::Length { .. }
    ));
    assert!(matches!(
        call(&[0; 3], 3, tensor, Scales::Blocks { size: 6, scales: &[] }, 2),
        Int8Error::BlockSize { size: 6 }
    ));
    let zero = RowParams::Tensor(QParams { scale: 0.0, zero_point: 0 });
    assert!(matches!(call(&[0; 3], 3, zero, one, 2), Int8Error::Scale { .. }));
    let blocks = Scales::Blocks { size: 4, scales: &[half::f16::ONE; 2] };
    let wide = [good];
    for (params, scales) in [(tensor, blocks), (RowParams::PerRow16(&wide), one)] {
        let panels = panels.clone().with_zero_points(&[0, 1]).unwrap();
        let a = Activations { data: &[0; 6][..3 * params.level_bytes()], m: 1, k: 3, params };
        let epilogue = Epilogue { scales, bias: None, relu: false };
        let output = Output::F32(&mut [0.0; 2]);
        let error = gemm(Isa::Scalar, &a, &panels, &epilogue, output, &mut Scratch::new());
        assert_eq!(error, Err(Int8Error::ZeroPoints));
    }
    assert!(matches!(
        call(&[0; 3], 3, RowParams::PerRow16(&wide), one, 2),
        Int8Error::Length { expected: 6, .. }
    ));
    let long = Scales::Blocks { size: 516, scales: &[half::f16::ONE; 2] };
    assert!(matches!(
        call(&[0; 6], 3, RowParams::PerRow16(&wide), long, 2),
        Int8Error::LongBlock { size: 516, most: 512 }
    ));
    let off_center = [QParams { zero_point: 3, ..good }];
    assert!(matches!(
        call(&[0; 6], 3, RowParams::PerRow16(&off_center), one, 2),
        Int8Error::NotCentered { zero_point: 3 }
    ));
}
