//! The int8 convolution returns the same bits as plain 64-bit arithmetic on every instruction
//! set, for every geometry, layout and number of threads.

use crate::reference::{Numbers, levels, reference};
use half::f16;
use proptest::prelude::*;
use tinytorch_kernels::int8::{
    ConvShape, Epilogue, Images, Int8Error, Layout, Output, Panels, QParams, RowParams, Scales,
    conv2d,
};
use tinytorch_kernels::{Isa, Ran, Scratch};

/// The level under kernel position `i` of output pixel `row`, counted over the whole batch.
fn activation(
    shape: &ConvShape,
    data: &[i64],
    zero_points: &[u8],
    group: usize,
    row: usize,
    i: usize,
) -> i64 {
    let [out_height, out_width] = shape.output_size().unwrap();
    let channels = shape.in_channels / shape.groups;
    let (image, pixel) = (row / (out_height * out_width), row % (out_height * out_width));
    let (tap, channel) = (i / channels, group * channels + i % channels);
    let y = pixel / out_width * shape.stride[0] + tap / shape.kernel[1] * shape.dilation[0];
    let x = pixel % out_width * shape.stride[1] + tap % shape.kernel[1] * shape.dilation[1];
    let inside =
        |at: usize, padding: usize, size: usize| at.checked_sub(padding).filter(|at| *at < size);
    match (
        inside(y, shape.padding[0][0], shape.height),
        inside(x, shape.padding[1][0], shape.width),
    ) {
        (Some(y), Some(x)) => {
            data[((image * shape.height + y) * shape.width + x) * shape.in_channels + channel]
        }
        _ => i64::from(zero_points[image]),
    }
}

/// What is multiplied.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Bytes, and weights around 0.
    Centered,
    /// Bytes, and weights that are not.
    OffCenter,
    /// 16-bit numbers, and weights around 0.
    Words,
}

/// Bytes and 16-bit numbers by weights around 0 and, unless their scales come in blocks, bytes by weights that are not.
fn check(seed: u64, shape: ConvShape, blocks: bool, relu: bool, tame: bool) {
    check_with(seed, shape, (blocks, Kind::Centered), relu, tame);
    check_with(seed, shape, (blocks, Kind::Words), relu, tame);
    if !blocks {
        check_with(seed, shape, (blocks, Kind::OffCenter), relu, tame);
    }
}

fn check_with(seed: u64, shape: ConvShape, (blocks, kind): (bool, Kind), relu: bool, tame: bool) {
    let mut numbers = Numbers(seed);
    let is_wide = kind == Kind::Words;
    let size = shape.input_len().unwrap();
    let data = numbers.u8s(if is_wide { 2 * size } else { size });
    let data: Vec<u8> = match is_wide {
        true => data.as_chunks().0.iter().flat_map(|pair| word(*pair).to_ne_bytes()).collect(),
        false => data,
    };
    let values: Vec<i64> = match is_wide {
        true => data.as_chunks().0.iter().map(|pair| i64::from(word(*pair))).collect(),
        false => data.iter().map(|&level| i64::from(level)).collect(),
    };
    let group_n = shape.out_channels / shape.groups;
    let k = shape.kernel[0] * shape.kernel[1] * (shape.in_channels / shape.groups);
    let mut w = numbers.i8s(shape.out_channels * k);
    if tame {
        w.iter_mut().for_each(|w| *w /= 2);
    }
    let w_zeros = numbers.zero_points(shape.out_channels, kind == Kind::OffCenter);
    let per_image: Vec<QParams> = (0..shape.batch)
        .map(|_| {
            let (scale, zero_point) = (numbers.scales(1)[0], numbers.u8s(1)[0]);
            QParams { scale, zero_point: if is_wide { 0 } else { zero_point } }
        })
        .collect();
    let zero_points: Vec<u8> = per_image.iter().map(|params| params.zero_point).collect();
    let channel = numbers.scales(shape.out_channels);
    let block: Vec<f16> =
        numbers.scales(shape.out_channels * k.div_ceil(8)).into_iter().map(f16::from_f32).collect();
    let bias = numbers.f32s(shape.out_channels);
    let scales = if blocks {
        Scales::Blocks { size: 8, scales: &block }
    } else {
        Scales::PerChannel(&channel)
    };
    let epilogue = Epilogue { scales, bias: Some(&bias), relu };

    let [out_height, out_width] = shape.output_size().unwrap();
    let pixels = out_height * out_width;
    let rows = shape.batch * pixels;
    let row_params: Vec<QParams> = (0..rows).map(|row| per_image[row / pixels]).collect();
    let mut nhwc = vec![0.0; rows * shape.out_channels];
    for group in 0..shape.groups {
        let columns = group * group_n..(group + 1) * group_n;
        let per_column = k.div_ceil(8);
        let scales = if blocks {
            let of_group = columns.start * per_column..columns.end * per_column;
            Scales::Blocks { size: 8, scales: &block[of_group] }
        } else {
            Scales::PerChannel(&channel[columns.clone()])
        };
        let of_group = Epilogue { scales, bias: Some(&bias[columns.clone()]), relu };
        let y = reference(
            rows,
            group_n,
            k,
            |row, i| activation(&shape, &values, &zero_points, group, row, i),
            |column, i| {
                let row = columns.start + column;
                i64::from(w[row * k + i]) - i64::from(w_zeros[row])
            },
            &if is_wide {
                RowParams::PerRow16(&row_params)
            } else {
                RowParams::PerRow(&row_params)
            },
            &of_group,
        );
        for (i, y) in y.into_iter().enumerate() {
            nhwc[i / group_n * shape.out_channels + columns.start + i % group_n] = y;
        }
    }
    let mut nchw = vec![0.0; nhwc.len()];
    for (i, y) in nhwc.iter().enumerate() {
        let (pixel, column) = (i / shape.out_channels, i % shape.out_channels);
        let (image, pixel) = (pixel / pixels, pixel % pixels);
        nchw[(image * shape.out_channels + column) * pixels + pixel] = *y;
    }

    let panels = Panels::pack(&w, shape.out_channels, k).unwrap().with_sums();
    let panels = panels.with_zero_points(&w_zeros).unwrap();
    let params = match is_wide {
        true => RowParams::PerRow16(&per_image),
        false => RowParams::PerRow(&per_image),
    };
    let images = Images { data: &data, params };
    let plus = numbers.f32s(nhwc.len());
    let out_params = QParams { scale: 0.05, zero_point: 100 };
    for isa in Isa::available() {
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut scratch = Scratch::new();
                for (layout, want) in [(Layout::Nhwc, &nhwc), (Layout::Nchw, &nchw)] {
                    let mut y = vec![f32::NAN; want.len()];
                    let output = Output::F32(&mut y);
                    let Ran { name, int8 } = conv2d(
                        isa,
                        &shape,
                        &images,
                        &panels,
                        &epilogue,
                        output,
                        layout,
                        &mut scratch,
                    )
                    .unwrap();
                    assert!(int8 && name.contains(isa.name()), "{name}");
                    let equal = y.iter().zip(want).all(|(y, want)| y.to_bits() == want.to_bits());
                    assert!(equal, "{name} {layout:?} {shape:?}\n{y:?}\n{want:?}");
                }
                for layout in [Layout::Nhwc, Layout::Nchw] {
                    let mut run = |epilogue: &Epilogue<'_>, output: Output<'_>| {
                        conv2d(
                            isa,
                            &shape,
                            &images,
                            &panels,
                            epilogue,
                            output,
                            layout,
                            &mut scratch,
                        )
                        .unwrap()
                    };
                    let (mut y, mut sum) = (vec![f32::NAN; plus.len()], vec![f32::NAN; plus.len()]);
                    run(&Epilogue { relu: false, ..epilogue }, Output::F32(&mut y));
                    run(&epilogue, Output::Sum { data: &mut sum, plus: &plus });
                    let want = y.iter().zip(&plus).map(|(y, plus)| y + plus);
                    let want = want.map(|sum| if relu && sum < 0.0 { 0.0 } else { sum });
                    assert!(sum.iter().map(|y| y.to_bits()).eq(want.map(f32::to_bits)));
                }
                let mut q = vec![0; nhwc.len()];
                let output = Output::U8 { data: &mut q, params: out_params };
                let layout = Layout::Nhwc;
                conv2d(isa, &shape, &images, &panels, &epilogue, output, layout, &mut scratch)
                    .unwrap();
                assert_eq!(q, levels(&nhwc, out_params));
            });
        }
    }
}

/// A 16-bit level, none of which is -2^15.
fn word(bytes: [u8; 2]) -> i16 {
    i16::from_ne_bytes(bytes).max(-i16::MAX)
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let channels = prop_oneof![
        // One group of any size.
        (1usize..20, 1usize..40).prop_map(|(cin, cout)| (cin, cout, 1)),
        // Depthwise, with a channel multiplier.
        (2usize..40, 1usize..3).prop_map(|(groups, multiplier)| (
            groups,
            groups * multiplier,
            groups
        )),
        // Groups whose columns start inside a panel.
        (2usize..4, 1usize..9, 1usize..10).prop_map(|(g, cin, cout)| (g * cin, g * cout, g)),
    ];
    let padding = || [0usize..3, 0usize..3];
    (
        (0usize..3, channels, 3usize..9, 3usize..9),
        ([1usize..4, 1usize..4], [1usize..3, 1usize..3], [padding(), padding()]),
        [1usize..4, 1usize..4],
    )
        .prop_map(
            |(
                (batch, (in_channels, out_channels, groups), height, width),
                (kernel, stride, padding),
                dilation,
            )| {
                ConvShape {
                    batch,
                    in_channels,
                    height,
                    width,
                    out_channels,
                    kernel,
                    stride,
                    padding,
                    dilation,
                    groups,
                }
            },
        )
        .prop_filter("the kernel fits", |shape| shape.check().is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_isa_equals_64_bit_arithmetic(
        seed in any::<u64>(), shape in shapes(),
        blocks in any::<bool>(), relu in any::<bool>(), tame in any::<bool>(),
    ) {
        check(seed, shape, blocks, relu, tame);
    }
}

const BASE: ConvShape = ConvShape {
    batch: 1,
    in_channels: 3,
    height: 40,
    width: 40,
    out_channels: 64,
    kernel: [7, 7],
    stride: [2, 2],
    padding: [[3, 3], [3, 3]],
    dilation: [1, 1],
    groups: 1,
};

#[test]
fn shapes_of_real_networks_are_exact() {
    check(1, BASE, false, true, false);
    let middle =
        ConvShape { in_channels: 64, kernel: [3, 3], stride: [1, 1], padding: [[1, 1]; 2], ..BASE };
    check(2, ConvShape { height: 14, width: 14, ..middle }, false, true, false);
    check(3, ConvShape { height: 7, width: 7, out_channels: 130, ..middle }, true, false, false);
    check(7, ConvShape { height: 7, width: 7, in_channels: 88, ..middle }, false, false, false);
    check(4, ConvShape { groups: 64, ..middle }, false, true, false);
    let channelwise =
        ConvShape { in_channels: 70, out_channels: 70, groups: 70, width: 9, height: 11, ..middle };
    check(8, ConvShape { kernel: [5, 5], ..channelwise }, false, true, false);
    check(9, ConvShape { kernel: [9, 2], stride: [2, 3], ..channelwise }, false, false, true);
    check(10, ConvShape { width: 61, stride: [1, 2], ..channelwise }, false, false, false);
    check(11, ConvShape { out_channels: 210, kernel: [2, 6], ..channelwise }, false, true, false);
    check(
        5,
        ConvShape { kernel: [1, 1], padding: [[0, 0]; 2], in_channels: 67, ..BASE },
        false,
        false,
        false,
    );
    let wide = ConvShape {
        in_channels: 5,
        height: 12,
        width: 12,
        kernel: [11, 11],
        stride: [1, 1],
        ..BASE
    };
    check(6, wide, false, false, false);
}

/// The last convolution of a MobileNetV2 on one picture: threads share its channels, and of a share more rows are turned
/// at once than of all channels.
#[test]
fn channels_that_threads_share_are_turned_within_their_room() {
    let last = ConvShape { kernel: [1, 1], stride: [1, 1], padding: [[0; 2]; 2], ..BASE };
    let last = ConvShape { in_channels: 320, height: 5, width: 5, out_channels: 1280, ..last };
    check_with(12, last, (false, Kind::Centered), true, false);
    check_with(13, ConvShape { out_channels: 1200, ..last }, (false, Kind::Centered), false, false);
    check_with(14, last, (false, Kind::Words), true, false);
}

/// Several pixels of few channels share a vector: 64 channels on AVX-512, 32 on AVX2, 16 in scalar code.
#[test]
fn depthwise_kernels_over_few_channels_are_exact() {
    let few = |channels: usize, width: usize| ConvShape {
        in_channels: channels,
        out_channels: channels,
        groups: channels,
        height: 5,
        width,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [[1, 1]; 2],
        ..BASE
    };
    for (i, channels) in [4, 8, 12, 16, 32, 64].into_iter().enumerate() {
        for (j, width) in [1, 3, 7, 8, 9, 16, 17, 61].into_iter().enumerate() {
            check(40 + (8 * i + j) as u64, few(channels, width), false, j % 2 == 0, false);
        }
    }
    check(100, ConvShape { kernel: [5, 5], ..few(16, 31) }, false, true, false);
    check(
        101,
        ConvShape { kernel: [9, 2], padding: [[4, 4], [0, 1]], ..few(8, 30) },
        false,
        false,
        true,
    );
    check(
        102,
        ConvShape { kernel: [1, 1], padding: [[0; 2]; 2], ..few(16, 10) },
        false,
        true,
        false,
    );
    check(
        103,
        ConvShape { kernel: [1, 7], padding: [[0; 2], [6, 0]], ..few(4, 90) },
        false,
        true,
        false,
    );
    check(104, ConvShape { stride: [2, 1], ..few(16, 13) }, false, true, false);
    check(
        105,
        ConvShape { dilation: [2, 1], padding: [[2, 2], [1, 1]], batch: 2, ..few(16, 13) },
        false,
        true,
        false,
    );
    // Every other pixel, and a kernel that skips columns, keep to a pixel a vector.
    check(106, ConvShape { stride: [1, 2], ..few(16, 13) }, false, true, false);
    check(107, ConvShape { dilation: [1, 2], ..few(16, 13) }, false, true, false);
}

#[test]
fn kernels_that_skip_pixels_are_exact() {
    let dense = ConvShape {
        in_channels: 16,
        out_channels: 33,
        height: 13,
        width: 11,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [[2, 2]; 2],
        dilation: [2, 2],
        ..BASE
    };
    check(20, dense, false, true, false);
    check(
        21,
        ConvShape { dilation: [3, 1], padding: [[1, 3], [0, 2]], ..dense },
        false,
        false,
        true,
    );
    check(22, ConvShape { dilation: [1, 4], stride: [2, 3], ..dense }, true, false, false);
    // Runs that are filled up to groups of four, and runs that are gathered.
    check(23, ConvShape { in_channels: 3, ..dense }, false, false, false);
    check(24, ConvShape { in_channels: 1, padding: [[0; 2]; 2], ..dense }, false, true, true);
    check(
        25,
        ConvShape { in_channels: 8, out_channels: 22, groups: 2, ..dense },
        false,
        true,
        false,
    );
    // Depthwise: rows skipped, columns skipped, both, with fours of kernel rows, with a multiplier.
    let channelwise = ConvShape { in_channels: 70, out_channels: 70, groups: 70, ..dense };
    check(26, channelwise, false, true, false);
    check(
        27,
        ConvShape { dilation: [2, 1], padding: [[3, 0], [1, 2]], ..channelwise },
        false,
        false,
        true,
    );
    check(28, ConvShape { dilation: [1, 3], stride: [1, 2], ..channelwise }, false, true, false);
    check(29, ConvShape { kernel: [5, 2], stride: [2, 3], ..channelwise }, false, false, false);
    check(
        30,
        ConvShape { width: 61, out_channels: 140, dilation: [3, 2], ..channelwise },
        false,
        true,
        false,
    );
    // A signal: an image with one row, of which a kernel skips none, whatever it says.
    let signal =
        ConvShape { height: 1, width: 91, kernel: [1, 3], padding: [[0; 2], [8, 0]], ..dense };
    check(31, ConvShape { dilation: [1, 4], ..signal }, false, true, false);
    check(
        32,
        ConvShape { dilation: [usize::MAX, 8], groups: 16, out_channels: 16, ..signal },
        false,
        false,
        false,
    );
}

/// Where products of 16 bits are the fastest, tiles of these are transformed: whole and cut ones, with channels that
/// fill vectors and panels and that do not.
#[test]
fn kernels_of_nine_pixels_are_exact() {
    let square = ConvShape {
        in_channels: 16,
        out_channels: 16,
        height: 8,
        width: 8,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [[1, 1]; 2],
        ..BASE
    };
    check(200, square, false, true, false);
    check(
        201,
        ConvShape { batch: 3, in_channels: 20, out_channels: 8, ..square },
        false,
        false,
        true,
    );
    check(202, ConvShape { width: 15, height: 9, out_channels: 33, ..square }, false, true, false);
    check(
        203,
        ConvShape { in_channels: 36, width: 19, padding: [[0; 2]; 2], ..square },
        false,
        false,
        false,
    );
    let uneven = ConvShape { padding: [[2, 0], [0, 3]], height: 7, width: 12, ..square };
    check(204, ConvShape { in_channels: 64, out_channels: 50, ..uneven }, false, true, false);
    check(205, ConvShape { batch: 2, in_channels: 44, ..uneven }, false, false, false);
    check(
        206,
        ConvShape { height: 1, width: 33, padding: [[1, 2], [1, 1]], ..square },
        false,
        false,
        false,
    );
    // More rows than are transformed together.
    check(207, ConvShape { height: 61, width: 58, in_channels: 48, ..square }, false, true, false);
    // The most channels that are transformed, and more.
    for (i, channels) in [256, 260].into_iter().enumerate() {
        let wide = ConvShape { in_channels: channels, height: 7, width: 7, ..square };
        check(208 + i as u64, wide, false, false, false);
    }
}

#[test]
fn sixteen_bits_that_cannot_be_multiplied_are_typed_errors() {
    let weight = Panels::pack(&[0; 64 * 147], 64, 147).unwrap();
    let off_center = weight.clone().with_zero_points(&[3; 64]).unwrap();
    let call = |data: &[u8], zero_point: u8, weight: &Panels| {
        let params = [QParams { scale: 1.0, zero_point }];
        let images = Images { data, params: RowParams::PerRow16(&params) };
        let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
        let mut y = vec![0.0; 64 * 20 * 20];
        let (output, layout) = (Output::F32(&mut y), Layout::Nhwc);
        let mut scratch = Scratch::new();
        conv2d(Isa::Scalar, &BASE, &images, weight, &epilogue, output, layout, &mut scratch)
    };
    assert!(call(&[0; 9600], 0, &weight).is_ok());
    assert!(matches!(call(&[0; 4800], 0, &weight), Err(Int8Error::Length { .. })));
    assert!(matches!(call(&[0; 9600], 1, &weight), Err(Int8Error::NotCentered { .. })));
    assert!(matches!(call(&[0; 9600], 0, &off_center), Err(Int8Error::ZeroPoints)));
}

#[test]
fn impossible_geometries_are_typed_errors() {
    let call = |shape: ConvShape| {
        let panels = Panels::pack(&[0; 64 * 147], 64, 147).unwrap();
        let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: 0 });
        let images = Images { data: &[0; 4800], params };
        let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
        let mut y = vec![0.0; 64 * 20 * 20];
        let output = Output::F32(&mut y);
        let mut scratch = Scratch::new();
        conv2d(Isa::Scalar, &shape, &images, &panels, &epilogue, output, Layout::Nhwc, &mut scratch)
    };
    assert!(call(BASE).is_ok());
    for wrong in [
        ConvShape { kernel: [0, 7], ..BASE },
        ConvShape { stride: [2, 0], ..BASE },
        ConvShape { groups: 0, ..BASE },
        ConvShape { groups: 2, ..BASE },
        ConvShape { height: 0, ..BASE },
        ConvShape { kernel: [50, 7], ..BASE },
        ConvShape { dilation: [0, 1], ..BASE },
        ConvShape { dilation: [1, 8], ..BASE },
    ] {
        assert!(matches!(call(wrong), Err(Int8Error::Convolution { .. })), "{wrong:?}");
    }
    for wrong in [
        ConvShape { batch: usize::MAX, ..BASE },
        ConvShape { padding: [[usize::MAX, 1], [0, 0]], ..BASE },
        ConvShape { padding: [[usize::MAX / 4, 1], [0, 0]], ..BASE },
        ConvShape { dilation: [1, usize::MAX / 3], ..BASE },
    ] {
        assert!(matches!(call(wrong), Err(Int8Error::TooLarge { .. })), "{wrong:?}");
    }
    assert!(matches!(call(ConvShape { width: 41, ..BASE }), Err(Int8Error::Length { .. })));
    let other = ConvShape { kernel: [5, 5], padding: [[2, 2]; 2], ..BASE };
    assert!(matches!(call(other), Err(Int8Error::InnerSize { .. })));
}
