//! How near the int8 kernels come to the machine's limits, both measured in the same run.
//!
//! `cargo run --release -p tinytorch-kernels --example int8_speed [ISA] [ONLY]` where `ONLY` is a
//! part of a shape such as `1024x1024`, or `->` for all convolutions, or `depthwise`.

#![allow(clippy::print_stdout, reason = "the table is the result")]

use std::time::Instant;

use half::f16;
use tinytorch_kernels::f32::Bounds;
use tinytorch_kernels::f32::conv::{self as float, ConvWeight, Ending};
use tinytorch_kernels::int8::{
    Activations, ConvShape, Epilogue, Images, Layout, Output, Panels, QParams, RowParams, Scales,
    conv2d, gemm, quantize_rows_u8,
};
use tinytorch_kernels::isa::{Kernel, Simd};
use tinytorch_kernels::{Isa, Scratch};

const ROUNDS: usize = 15;

/// Rounds of [`DotPeak`].
const PEAK_STEPS: usize = 20_000;

/// Twelve independent chains of dot instructions on numbers that stay in registers and in a few
/// cache lines. The activations change at every step, so that no product can be computed ahead.
struct DotPeak;

impl Kernel for DotPeak {
    type Output = (i32, usize);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (i32, usize) {
        const CHAINS: usize = 12;
        let bytes: [i8; 64 * CHAINS] = std::array::from_fn(|i| i as i8);
        let bytes = std::hint::black_box(&bytes);
        let w: [S::Bytes; CHAINS] =
            // SAFETY: 64 bytes, the widest vector, are there for each chain.
            std::array::from_fn(|i| unsafe { s.load_bytes(bytes[64 * i..].as_ptr()) });
        let mut a = s.splat_i32(0x0102_0304);
        let mut sums = [s.splat_i32(0); CHAINS];
        for _ in 0..PEAK_STEPS {
            a = s.add_i32(a, s.splat_i32(0x0101_0101));
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum = s.dot(*sum, s.i32_to_bytes(a), w);
            }
        }
        let all = sums.into_iter().fold(s.splat_i32(0), |all, sum| s.add_i32(all, sum));
        let mut lanes = [0; 16];
        s.store_i32(all, &mut lanes);
        (lanes[0], 2 * 4 * S::LANES * CHAINS * PEAK_STEPS)
    }
}

/// Reads a buffer once.
struct ReadAll<'a>(&'a [f32]);

impl Kernel for ReadAll<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sums = [s.splat(0.0); 8];
        for chunk in self.0.chunks_exact(8 * S::LANES) {
            for (sum, x) in sums.iter_mut().zip(chunk.chunks_exact(S::LANES)) {
                *sum = s.add(*sum, s.load(x));
            }
        }
        s.sum(sums.into_iter().fold(s.splat(0.0), |all, sum| s.add(all, sum)))
    }
}

/// Whether the command line asks for this shape.
fn wanted(shape: &str) -> bool {
    std::env::args().nth(2).is_none_or(|only| shape.contains(&only))
}

/// Seconds of the fastest and of the median call.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn time(&mut self, mut f: impl FnMut()) {
        let start = Instant::now();
        f();
        self.0.push(start.elapsed().as_secs_f64());
    }

    fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

fn peak(isa: Isa, threads: usize) -> (f64, f64) {
    let start = Instant::now();
    let operations: usize = rayon::broadcast(|_| isa.run(DotPeak).1).iter().sum();
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(rayon::current_num_threads(), threads);
    (operations as f64, seconds)
}

fn product(isa: Isa, threads: usize, [m, k, n]: [usize; 3], block: bool) {
    if !wanted(&format!("{m}x{k}x{n}")) {
        return;
    }
    let x: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
    let weights: Vec<i8> = (0..n * k).map(|i| (i * 7919 % 255) as u8 as i8).collect();
    let panels = Panels::pack(&weights, n, k).expect("sizes fit");
    let scales = vec![0.01; n];
    let blocks = vec![f16::from_f32(0.01); n * k.div_ceil(32)];
    let scales = if block {
        Scales::Blocks { size: 32, scales: &blocks }
    } else {
        Scales::PerChannel(&scales)
    };
    let epilogue = Epilogue { scales, bias: None, relu: false };
    let mut q = vec![0; m * k];
    let mut params = vec![QParams { scale: 1.0, zero_point: 0 }; m];
    let mut y = vec![0.0; m * n];
    let mut levels = vec![0; m * n];
    let out_params = QParams { scale: 0.5, zero_point: 128 };
    let mut scratch = Scratch::new();
    quantize_rows_u8(isa, &x, m, k, &mut q, &mut params).expect("finite");

    let operations = (2 * m * n * k) as f64;
    let repeat = (2e7 / operations * 10.0).ceil() as usize;
    let (mut limit, mut float, mut both, mut bytes) =
        (Vec::new(), Times::default(), Times::default(), Times::default());
    let mut dynamic = Times::default();
    let mut name = "";
    let floats = vec![1.0f32; n * k / 4];
    let mut read = Times::default();
    for _ in 0..ROUNDS {
        let (operations, seconds) = peak(isa, threads);
        limit.push(operations / seconds);
        let shape = |q| Activations { data: q, m, k, params: RowParams::Tensor(out_params) };
        float.time(|| {
            for _ in 0..repeat {
                let out = Output::F32(&mut y);
                name = gemm(isa, &shape(&q), &panels, &epilogue, out, &mut scratch)
                    .expect("valid")
                    .name;
            }
        });
        bytes.time(|| {
            for _ in 0..repeat {
                let out = Output::U8 { data: &mut levels, params: out_params };
                gemm(isa, &shape(&q), &panels, &epilogue, out, &mut scratch).expect("valid");
            }
        });
        dynamic.time(|| {
            for _ in 0..repeat {
                let a = Activations { params: RowParams::PerRow(&params), ..shape(&q) };
                gemm(isa, &a, &panels, &epilogue, Output::F32(&mut y), &mut scratch)
                    .expect("valid");
            }
        });
        both.time(|| {
            for _ in 0..repeat {
                quantize_rows_u8(isa, &x, m, k, &mut q, &mut params).expect("finite");
                let a = Activations { data: &q, m, k, params: RowParams::PerRow(&params) };
                gemm(isa, &a, &panels, &epilogue, Output::F32(&mut y), &mut scratch)
                    .expect("valid");
            }
        });
        if m == 1 {
            read.time(|| {
                for _ in 0..repeat {
                    rayon::broadcast(|ctx| {
                        let part = floats.len() / ctx.num_threads();
                        std::hint::black_box(
                            isa.run(ReadAll(&floats[ctx.index() * part..][..part])),
                        );
                    });
                }
            });
        }
    }
    let limit = limit.into_iter().fold(0.0, f64::max);
    let rate = |seconds: f64| operations * repeat as f64 / seconds / 1e9;
    println!(
        "{threads} {name:28} {m:4}x{k}x{n:<5} f32 {:6.0} ({:3.0} %, median {:3.0} %)  u8 {:6.0} ({:3.0} %)  scale per row {:6.0} ({:3.0} %)  quantized here {:6.0} ({:3.0} %)  peak {:5.0} GOP/s",
        rate(float.best()),
        rate(float.best()) * 1e11 / limit,
        rate(float.median()) * 1e11 / limit,
        rate(bytes.best()),
        rate(bytes.best()) * 1e11 / limit,
        rate(dynamic.best()),
        rate(dynamic.best()) * 1e11 / limit,
        rate(both.best()),
        rate(both.best()) * 1e11 / limit,
        limit / 1e9,
    );
    if m == 1 {
        let gb = (n * k * repeat) as f64 / 1e9;
        println!(
            "    weights read at {:.1} GB/s (median {:.1}), {:.0} % of the {:.1} GB/s (median {:.1}) of a plain read of as many bytes",
            gb / float.best(),
            gb / float.median(),
            100.0 * read.best() / float.best(),
            gb / read.best(),
            gb / read.median(),
        );
    }
}

/// A convolution of `size` x `size` images, `channels` in and out.
fn convolution(isa: Isa, threads: usize, shape: ConvShape, layout: Layout) {
    let k = shape.kernel[0] * shape.kernel[1] * shape.in_channels / shape.groups;
    let n = shape.out_channels;
    let [height, width] = shape.kernel;
    let label = format!(
        "{}x{}x{}x{} -> {n}{} {height}x{width}",
        shape.batch,
        shape.height,
        shape.width,
        shape.in_channels,
        if shape.groups > 1 { " depthwise" } else { "" },
    );
    if !wanted(&label) {
        return;
    }
    let data: Vec<u8> =
        (0..shape.input_len().expect("fits")).map(|i| (i * 7919 % 251) as u8).collect();
    let weights: Vec<i8> = (0..n * k).map(|i| (i * 7919 % 255) as u8 as i8).collect();
    let panels = Panels::pack(&weights, n, k).expect("sizes fit");
    let params = QParams { scale: 0.1, zero_point: 100 };
    let images = Images { data: &data, params: RowParams::Tensor(params) };
    let scales = vec![0.01; n];
    let epilogue = Epilogue { scales: Scales::PerChannel(&scales), bias: None, relu: true };
    let outputs = shape.output_len().expect("fits");
    let (mut y, mut levels) = (vec![0.0; outputs], vec![0; outputs]);
    let mut scratch = Scratch::new();
    let operations = (2 * outputs * k) as f64;
    let repeat = (1e8 / operations).ceil() as usize;
    let (mut limit, mut float, mut bytes) = (0f64, Times::default(), Times::default());
    let (mut floats, all_float) = (vec![0.0; outputs], Float::of(&shape));
    let mut without_int8 = Times::default();
    let mut name = "";
    for _ in 0..ROUNDS {
        let (operations, seconds) = peak(isa, threads);
        limit = limit.max(operations / seconds);
        if shape.groups > 1 {
            without_int8
                .time(|| (0..repeat).for_each(|_| all_float.convolve(isa, &shape, &mut floats)));
        }
        float.time(|| {
            for _ in 0..repeat {
                let out = Output::F32(&mut y);
                name = conv2d(isa, &shape, &images, &panels, &epilogue, out, layout, &mut scratch)
                    .expect("valid")
                    .name;
            }
        });
        bytes.time(|| {
            for _ in 0..repeat {
                let out = Output::U8 { data: &mut levels, params };
                conv2d(isa, &shape, &images, &panels, &epilogue, out, layout, &mut scratch)
                    .expect("valid");
            }
        });
    }
    let rate = |times: &Times| operations * repeat as f64 / times.best();
    println!(
        "{threads} {name:28} {label} step {} {layout:?}: f32 {:.0} GOP/s ({:.0} %), {:.1} us  u8 {:.0} ({:.0} %)",
        shape.stride[0],
        rate(&float) / 1e9,
        100.0 * rate(&float) / limit,
        1e6 * float.best() / repeat as f64,
        rate(&bytes) / 1e9,
        100.0 * rate(&bytes) / limit,
    );
    if shape.groups > 1 {
        let gb = ((data.len() + outputs) * repeat) as f64 / 1e9;
        println!(
            "    u8 to u8 {:.1} us (median {:.1}), {:.1} GB/s in and out; f32 without int8 {:.1} us (median {:.1}), {:.1} times that",
            1e6 * bytes.best() / repeat as f64,
            1e6 * bytes.median() / repeat as f64,
            gb / bytes.best(),
            1e6 * without_int8.best() / repeat as f64,
            1e6 * without_int8.median() / repeat as f64,
            without_int8.median() / bytes.median(),
        );
    }
}

/// A float convolution of the same shape, NCHW.
struct Float {
    x: Vec<f32>,
    weight: Vec<f32>,
}

impl Float {
    fn of(shape: &ConvShape) -> Float {
        let k = shape.kernel[0] * shape.kernel[1] * shape.in_channels / shape.groups;
        Float {
            x: vec![1.0; shape.input_len().expect("fits")],
            weight: vec![0.5; shape.out_channels * k],
        }
    }

    fn convolve(&self, isa: Isa, shape: &ConvShape, y: &mut [f32]) {
        float::conv2d(
            isa,
            shape,
            &self.x,
            ConvWeight::Plain(&self.weight),
            Ending { bounds: Bounds::POSITIVE, ..Ending::NONE },
            y,
        );
    }
}

/// The convolutions of ResNet-18, of a small network for digits, and the depthwise ones of MobileNet.
fn convolutions(isa: Isa, threads: usize) {
    let square = |size, in_channels, out_channels, kernel: usize, stride| ConvShape {
        batch: 1,
        in_channels,
        height: size,
        width: size,
        out_channels,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [[kernel / 2; 2]; 2],
        dilation: [1, 1],
        groups: 1,
    };
    let depthwise = |size, channels, kernel, stride| ConvShape {
        groups: channels,
        ..square(size, channels, channels, kernel, stride)
    };
    for shape in [
        square(224, 3, 64, 7, 2),
        square(224, 3, 32, 3, 2),
        square(32, 3, 32, 3, 1),
        square(56, 64, 64, 3, 1),
        square(56, 64, 128, 3, 2),
        square(28, 128, 128, 3, 1),
        square(14, 256, 256, 3, 1),
        square(7, 512, 512, 3, 1),
        square(56, 64, 128, 1, 2),
        ConvShape { batch: 32, ..square(28, 1, 16, 3, 1) },
        ConvShape { batch: 32, ..square(14, 16, 32, 3, 1) },
        depthwise(160, 16, 3, 1),
        depthwise(112, 32, 3, 1),
        depthwise(112, 64, 3, 2),
        depthwise(56, 128, 3, 1),
        depthwise(56, 128, 3, 2),
        depthwise(56, 144, 3, 1),
        depthwise(28, 256, 3, 1),
        depthwise(28, 256, 3, 2),
        depthwise(14, 512, 3, 1),
        depthwise(14, 512, 3, 2),
        depthwise(7, 1024, 3, 1),
        depthwise(14, 512, 5, 1),
    ] {
        convolution(isa, threads, shape, Layout::Nhwc);
    }
    convolution(isa, threads, square(56, 64, 64, 3, 1), Layout::Nchw);
    convolution(isa, threads, depthwise(112, 32, 3, 1), Layout::Nchw);
}

fn main() {
    let isas: Vec<Isa> = match std::env::args().nth(1) {
        Some(name) => vec![name.parse().expect("a valid instruction set")],
        None => vec![Isa::active()],
    };
    for isa in isas {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads start");
            pool.install(|| {
                for shape in [
                    [1024, 1024, 1024],
                    [128, 384, 1536],
                    [128, 384, 384],
                    [128, 64, 64],
                    [32, 784, 512],
                    [32, 512, 256],
                    [32, 64, 128],
                    [3136, 576, 64],
                    [1, 4096, 4096],
                    [1, 784, 512],
                    [4, 1024, 1024],
                    [1, 4, 6400],
                    [1, 16, 6400],
                    [1, 64, 6400],
                ] {
                    product(isa, threads, shape, false);
                }
                for shape in [
                    [128, 384, 1536],
                    [1, 4096, 4096],
                    [1, 64, 6400],
                    [128, 64, 256],
                    [32, 512, 256],
                ] {
                    product(isa, threads, shape, true);
                }
                convolutions(isa, threads);
            });
        }
    }
}
