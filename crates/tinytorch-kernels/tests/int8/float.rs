//! Products of floats with int8 weights, in both directions, against 64-bit floats.

use crate::reference::Numbers;
use half::f16;
use proptest::prelude::*;
use tinytorch_kernels::int8::{Epilogue, Panels, Scales, gemm_transposed, gemm_weight_only};
use tinytorch_kernels::{Isa, Scratch};

struct Case {
    m: usize,
    n: usize,
    k: usize,
    a: Vec<f32>,
    g: Vec<f32>,
    w: Vec<i8>,
    zero_points: Vec<i8>,
    channel: Vec<f32>,
    block: Vec<f16>,
    bias: Vec<f32>,
}

const BLOCK: usize = 8;

impl Case {
    fn new(seed: u64, m: usize, n: usize, k: usize) -> Case {
        let mut numbers = Numbers(seed);
        Case {
            m,
            n,
            k,
            a: numbers.f32s(m * k),
            g: numbers.f32s(m * n),
            w: numbers.i8s(n * k),
            zero_points: numbers.zero_points(n, seed % 2 == 1),
            channel: numbers.scales(n),
            block: numbers.scales(n * k.div_ceil(BLOCK)).into_iter().map(f16::from_f32).collect(),
            bias: numbers.f32s(n),
        }
    }

    fn scales(&self, blocks: bool) -> Scales<'_> {
        if blocks {
            Scales::Blocks { size: BLOCK, scales: &self.block }
        } else {
            Scales::PerChannel(&self.channel)
        }
    }

    fn weight(&self, blocks: bool, row: usize, column: usize) -> f64 {
        let scale = if blocks {
            self.block[row * self.k.div_ceil(BLOCK) + column / BLOCK].to_f64()
        } else {
            f64::from(self.channel[row])
        };
        let zero_point = if blocks { 0 } else { self.zero_points[row] };
        (f64::from(self.w[row * self.k + column]) - f64::from(zero_point)) * scale
    }

    /// Both products on one instruction set and number of threads.
    fn run(&self, isa: Isa, threads: usize, blocks: bool) -> (Vec<f32>, Vec<f32>) {
        let panels = Panels::pack(&self.w, self.n, self.k).unwrap();
        let panels = match blocks {
            true => panels,
            false => panels.with_zero_points(&self.zero_points).unwrap(),
        };
        let scales = self.scales(blocks);
        let epilogue = Epilogue { scales, bias: Some(&self.bias), relu: true };
        let mut y = vec![f32::NAN; self.m * self.n];
        let mut gradient = vec![f32::NAN; self.m * self.k];
        let mut scratch = Scratch::new();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let forward =
                gemm_weight_only(isa, &self.a, self.m, &panels, &epilogue, &mut y, &mut scratch)
                    .unwrap();
            let out = &mut gradient;
            let backward =
                gemm_transposed(isa, &self.g, self.m, &panels, &scales, out, &mut scratch).unwrap();
            assert!(!forward.int8 && !backward.int8, "{forward:?} {backward:?}");
        });
        (y, gradient)
    }

    fn check(&self, blocks: bool) {
        for isa in Isa::available() {
            let (y, gradient) = self.run(isa, 1, blocks);
            for i in 0..self.m {
                for j in 0..self.n {
                    let terms = (0..self.k)
                        .map(|t| f64::from(self.a[i * self.k + t]) * self.weight(blocks, j, t));
                    let want = (terms.sum::<f64>() + f64::from(self.bias[j])).max(0.0);
                    let got = f64::from(y[i * self.n + j]);
                    assert!((got - want).abs() < 1e-4, "{} {got} {want}", isa.name());
                }
                for t in 0..self.k {
                    let terms = (0..self.n)
                        .map(|j| f64::from(self.g[i * self.n + j]) * self.weight(blocks, j, t));
                    let want = terms.sum::<f64>();
                    let got = f64::from(gradient[i * self.k + t]);
                    assert!((got - want).abs() < 1e-4, "{} {got} {want}", isa.name());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    #[test]
    fn both_directions_are_close_to_64_bit_floats(
        seed in any::<u64>(), m in 0usize..20, n in 0usize..40, k in 0usize..70, blocks in any::<bool>(),
    ) {
        Case::new(seed, m, n, k).check(blocks);
    }
}

#[test]
fn several_strips_and_tiles_are_right() {
    Case::new(1, 9, 70, 600).check(false);
    Case::new(2, 3, 33, 515).check(true);
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = Case::new(3, 37, 200, 530);
    for isa in Isa::available() {
        assert_eq!(case.run(isa, 1, true), case.run(isa, 2, true), "{}", isa.name());
        assert_eq!(case.run(isa, 1, false), case.run(isa, 3, false), "{}", isa.name());
    }
}

#[test]
fn the_scratch_does_not_grow_with_the_weight() {
    let mut scratch = Scratch::new();
    let panels = Panels::pack_rows(2048, 1024, |_, row| row.fill(1)).unwrap();
    let mut out = vec![0.0; 1024];
    let scales = Scales::PerTensor(1.0);
    let g = vec![1.0; 2048];
    gemm_transposed(Isa::active(), &g, 1, &panels, &scales, &mut out, &mut scratch).unwrap();
    assert_eq!(out, vec![2048.0; 1024]);
    assert!(scratch.bytes() <= 32 * 1024 * rayon::current_num_threads());
}

#[test]
fn wrong_lengths_are_typed_errors() {
    let panels = Panels::pack(&[0; 6], 2, 3).unwrap();
    let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
    let (isa, mut scratch) = (Isa::Scalar, Scratch::new());
    for (a, out) in [(2, 2), (3, 1)] {
        let (a, mut out) = (vec![0.0; a], vec![0.0; out]);
        assert!(gemm_weight_only(isa, &a, 1, &panels, &epilogue, &mut out, &mut scratch).is_err());
    }
    for (g, out) in [(3, 3), (2, 2)] {
        let (g, mut out, scales) = (vec![0.0; g], vec![0.0; out], Scales::PerTensor(1.0));
        assert!(gemm_transposed(isa, &g, 1, &panels, &scales, &mut out, &mut scratch).is_err());
    }
}
