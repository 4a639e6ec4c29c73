//! Convolutions and their gradients against the definition, in 64-bit arithmetic.

use super::*;
use crate::Isa;
use crate::f32::Bounds;
use proptest::prelude::*;

fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + seed) * 7919) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// Calls `visit` with the indices of an output value, a weight and the input value that they share.
fn for_each_product(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let lengths = Lengths::of(shape);
    let [out_height, out_width] = shape.output_size().unwrap();
    let channels_in = shape.in_channels / shape.groups;
    let [kernel_height, kernel_width] = shape.kernel;
    for n in 0..shape.batch {
        for o in 0..shape.out_channels {
            for (y, x) in (0..out_height).flat_map(|y| (0..out_width).map(move |x| (y, x))) {
                for c in 0..channels_in {
                    for (i, j) in
                        (0..kernel_height).flat_map(|i| (0..kernel_width).map(move |j| (i, j)))
                    {
                        let row = (y * shape.stride[0] + i * shape.dilation[0])
                            .wrapping_sub(shape.padding[0][0]);
                        let col = (x * shape.stride[1] + j * shape.dilation[1])
                            .wrapping_sub(shape.padding[1][0]);
                        if row < shape.height && col < shape.width {
                            let channel = o / lengths.channels_out * channels_in + c;
                            let plane = n * shape.in_channels + channel;
                            visit(
                                ((n * shape.out_channels + o) * out_height + y) * out_width + x,
                                ((o * channels_in + c) * kernel_height + i) * kernel_width + j,
                                (plane * shape.height + row) * shape.width + col,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// A sum, and the sum of its terms' magnitudes, to which rounding errors are proportional.
#[derive(Copy, Clone, Default)]
struct Sum {
    exact: f64,
    magnitude: f64,
}

impl Sum {
    fn add(&mut self, a: f32, b: f32) {
        let term = f64::from(a) * f64::from(b);
        self.exact += term;
        self.magnitude += term.abs();
    }
}

#[track_caller]
fn assert_close(isa: Isa, what: &str, got: &[f32], sums: &[Sum]) {
    for (i, (got, Sum { exact, magnitude })) in got.iter().zip(sums).enumerate() {
        let error = (f64::from(*got) - exact).abs();
        let allowed = 2e-6 * magnitude.max(1.0);
        assert!(error < allowed, "{} {what} [{i}]: {got}, not {exact}", isa.name());
    }
}

#[track_caller]
fn check(shape: &ConvShape) {
    let lengths = Lengths::of(shape);
    let image_out = lengths.group_out * shape.groups;
    let x = values(shape.batch * lengths.group_in * shape.groups, 1);
    let weight = values(lengths.group_weight() * shape.groups, 2);
    let bias = values(shape.out_channels, 3);
    let grad = values(shape.batch * image_out, 4);
    let mut y = vec![Sum::default(); grad.len()];
    for (i, y) in y.iter_mut().enumerate() {
        y.add(bias[i / lengths.pixels % shape.out_channels], 1.0);
    }
    let mut of_x = vec![Sum::default(); x.len()];
    let mut of_weight = vec![Sum::default(); weight.len()];
    for_each_product(shape, |o, w, i| {
        y[o].add(weight[w], x[i]);
        of_x[i].add(weight[w], grad[o]);
        of_weight[w].add(x[i], grad[o]);
    });
    let bounded = Bounds { low: 0.0, high: 1.5 };
    let clipped: Vec<Sum> =
        y.iter().map(|y| Sum { exact: y.exact.clamp(0.0, 1.5), ..*y }).collect();
    let sum = |(y, plus): (&Sum, &f32)| {
        let exact = (y.exact + f64::from(*plus)).clamp(0.0, 1.5);
        Sum { exact, magnitude: y.magnitude + f64::from(plus.abs()) }
    };
    let added: Vec<Sum> = y.iter().zip(&grad).map(sum).collect();
    for isa in Isa::available() {
        let mut out = vec![9.0; y.len()];
        conv2d(
            isa,
            shape,
            &x,
            ConvWeight::Plain(&weight),
            Ending { bias: Some(&bias), ..Ending::NONE },
            &mut out,
        );
        assert_close(isa, "output", &out, &y);
        let packed = PackedConvWeight::new(isa, shape, &weight);
        conv2d(
            isa,
            shape,
            &x,
            ConvWeight::Packed(&packed),
            Ending { bias: Some(&bias), plus: None, bounds: bounded },
            &mut out,
        );
        assert_close(isa, "bounded output", &out, &clipped);
        let ending = Ending { bias: Some(&bias), plus: Some(&grad), bounds: bounded };
        conv2d(isa, shape, &x, ConvWeight::Plain(&weight), ending, &mut out);
        assert_close(isa, "bounded sum", &out, &added);
        conv2d(isa, shape, &x, ConvWeight::Packed(&packed), ending, &mut out);
        assert_close(isa, "bounded sum", &out, &added);

        let mut out = vec![9.0; x.len()];
        conv2d_backward_input(isa, shape, &weight, &grad, &mut out);
        assert_close(isa, "input gradient", &out, &of_x);
        let mut out = vec![9.0; weight.len()];
        conv2d_backward_weight(isa, shape, &x, &grad, &mut out);
        assert_close(isa, "weight gradient", &out, &of_weight);
    }
}

/// Holds where outputs are sums in the order of the weights, whatever fills a vector.
#[track_caller]
fn assert_same_bits(shape: &ConvShape) {
    let lengths = Lengths::of(shape);
    let x = values(shape.batch * lengths.group_in * shape.groups, 1);
    let weight = values(lengths.group_weight() * shape.groups, 2);
    let bias = values(shape.out_channels, 3);
    let run = |isa| {
        let mut y = vec![9.0; shape.batch * lengths.group_out * shape.groups];
        let weight = ConvWeight::Plain(&weight);
        conv2d(isa, shape, &x, weight, Ending { bias: Some(&bias), ..Ending::NONE }, &mut y);
        y
    };
    let vectors = Isa::available().into_iter().filter(|isa| isa.lanes() >= 8);
    let all: Vec<Vec<f32>> = vectors.map(run).collect();
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{shape:?}");
}

const PLAIN: ConvShape = ConvShape {
    batch: 2,
    in_channels: 3,
    height: 7,
    width: 9,
    out_channels: 5,
    kernel: [3, 3],
    stride: [1, 1],
    padding: [[1, 1], [1, 1]],
    dilation: [1, 1],
    groups: 1,
};

#[test]
fn common_convolutions_and_their_gradients_match_the_definition() {
    check(&PLAIN);
    check(&ConvShape { padding: [[0; 2]; 2], ..PLAIN });
    check(&ConvShape { kernel: [1, 1], padding: [[0; 2]; 2], ..PLAIN });
    check(&ConvShape { kernel: [1, 1], padding: [[0; 2]; 2], in_channels: 700, width: 7, ..PLAIN });
    check(&ConvShape { kernel: [1, 1], padding: [[0; 2]; 2], stride: [2, 2], ..PLAIN });
    check(&ConvShape { kernel: [7, 7], padding: [[3, 3], [3, 3]], stride: [2, 2], ..PLAIN });
    check(&ConvShape { kernel: [2, 3], padding: [[0, 1], [2, 0]], stride: [1, 3], ..PLAIN });
    check(&ConvShape { kernel: [3, 2], stride: [4, 5], ..PLAIN });
    check(&ConvShape { height: 1, width: 1, kernel: [3, 3], ..PLAIN });
    // Several blocks of windows, several tiles of images, several sums of images.
    check(&ConvShape { in_channels: 50, height: 20, width: 23, ..PLAIN });
    check(&ConvShape { batch: 19, in_channels: 2, ..PLAIN });
}

#[test]
fn convolutions_of_nothing_give_nothing_or_their_bias() {
    for groups in [1, 2] {
        let even = ConvShape { in_channels: 4, out_channels: 4, groups, ..PLAIN };
        check(&ConvShape { batch: 0, ..even });
        check(&ConvShape { out_channels: 0, ..even });
        check(&ConvShape { in_channels: 0, ..even });
    }
}

const TRANSFORMED: ConvShape =
    ConvShape { in_channels: 64, height: 14, width: 14, out_channels: 64, ..PLAIN };

#[test]
fn tiles_that_are_transformed_match_the_definition() {
    check(&TRANSFORMED);
    check(&ConvShape { in_channels: 67, out_channels: 69, height: 13, width: 15, ..TRANSFORMED });
    check(&ConvShape { padding: [[2, 0], [0, 3]], height: 11, width: 16, ..TRANSFORMED });
    check(&ConvShape {
        padding: [[0; 2]; 2],
        out_channels: 74,
        width: 17,
        height: 18,
        ..TRANSFORMED
    });
    check(&ConvShape { padding: [[8, 7], [7, 9]], height: 2, width: 3, ..TRANSFORMED });
    check(&ConvShape { height: 1, width: 121, ..TRANSFORMED });
    // One tile behind the last whole vector, as in the first, or two.
    check(&ConvShape { out_channels: 74, height: 10, width: 20, ..TRANSFORMED });
    // Several tasks for an image.
    check(&ConvShape { batch: 1, height: 40, width: 37, out_channels: 65, ..TRANSFORMED });
}

/// Images of 49 pixels have one behind the last whole vector of 8 or 16 lanes, those of 18 two; panels of channels are taken
/// by eights, fours, twos and ones, and the last has some of its channels. Long windows of 3 x 3 are summed in parts.
#[test]
fn pixels_behind_the_last_vector_match_the_definition() {
    for (height, width) in [(7, 7), (3, 6), (1, 17)] {
        for (in_channels, out_channels) in [(1, 3), (9, 8), (20, 125), (700, 12)] {
            let shape = ConvShape {
                in_channels,
                height,
                width,
                out_channels,
                kernel: [1, 1],
                padding: [[0; 2]; 2],
                ..PLAIN
            };
            check(&shape);
            assert_same_bits(&shape);
            let groups = if in_channels % 2 == 0 && out_channels % 2 == 0 { 2 } else { 1 };
            check(&ConvShape { groups, ..shape });
        }
        for (in_channels, out_channels) in [(9, 8), (150, 12), (3, 125)] {
            let shape = ConvShape { in_channels, height, width, out_channels, ..PLAIN };
            let halved =
                ConvShape { height: 2 * height, width: 2 * width, stride: [2, 2], ..shape };
            for shape in [shape, halved] {
                check(&shape);
                assert_same_bits(&shape);
            }
        }
    }
}

#[test]
fn narrow_rows_that_are_joined_match_the_definition() {
    let narrow = ConvShape { in_channels: 12, height: 8, width: 8, out_channels: 20, ..PLAIN };
    check(&narrow);
    check(&ConvShape { padding: [[2, 0], [0, 2]], height: 9, ..narrow });
    check(&ConvShape { padding: [[0, 3], [3, 0]], width: 7, ..narrow });
    check(&ConvShape { stride: [2, 2], height: 15, width: 14, ..narrow });
    check(&ConvShape { stride: [2, 1], height: 15, ..narrow });
    check(&ConvShape { stride: [1, 2], width: 29, dilation: [2, 3], ..narrow });
    check(&ConvShape { stride: [3, 4], height: 30, width: 37, kernel: [5, 2], ..narrow });
    check(&ConvShape { kernel: [1, 1], padding: [[0; 2]; 2], stride: [2, 2], width: 22, ..narrow });
    // Several blocks of channels, and several rows of blocks for a few threads.
    check(&ConvShape { in_channels: 150, out_channels: 9, ..narrow });
    check(&ConvShape { batch: 1, in_channels: 60, height: 28, width: 28, ..narrow });
}

#[test]
fn what_is_not_finite_stays_with_the_outputs_that_see_it() {
    let lengths = Lengths::of(&TRANSFORMED);
    let mut x = values(TRANSFORMED.batch * lengths.group_in, 1);
    let weight = values(lengths.group_weight(), 2);
    let (row, column) = (3, 4);
    x[row * TRANSFORMED.width + column] = f32::INFINITY;
    for isa in Isa::available() {
        let mut y = vec![0.0; TRANSFORMED.batch * lengths.group_out];
        conv2d(isa, &TRANSFORMED, &x, ConvWeight::Plain(&weight), Ending::NONE, &mut y);
        for (i, y) in y.iter().enumerate() {
            let (image, pixel) = (i / lengths.group_out, i % lengths.pixels);
            let at = [pixel / TRANSFORMED.width, pixel % TRANSFORMED.width];
            let sees = image == 0 && at[0].abs_diff(row) < 2 && at[1].abs_diff(column) < 2;
            assert!(y.is_finite() != sees, "{isa:?} {at:?} {y}");
        }
    }
}

#[test]
fn transformed_tiles_have_the_same_bits_on_all_vectors() {
    let lengths = Lengths::of(&TRANSFORMED);
    let x = values(TRANSFORMED.batch * lengths.group_in, 1);
    let weight = values(lengths.group_weight(), 2);
    let run = |isa| {
        let mut y = vec![0.0; TRANSFORMED.batch * lengths.group_out];
        conv2d(isa, &TRANSFORMED, &x, ConvWeight::Plain(&weight), Ending::NONE, &mut y);
        y
    };
    let vectors = Isa::available().into_iter().filter(|isa| isa.lanes() >= 8);
    let all: Vec<Vec<f32>> = vectors.map(run).collect();
    assert!(all.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn grouped_and_depthwise_convolutions_match_the_definition() {
    check(&ConvShape { in_channels: 4, out_channels: 6, groups: 2, ..PLAIN });
    check(&ConvShape { in_channels: 6, out_channels: 6, groups: 6, ..PLAIN });
    check(&ConvShape { in_channels: 3, out_channels: 6, groups: 3, stride: [2, 2], ..PLAIN });
    check(&ConvShape { in_channels: 2, out_channels: 2, groups: 2, width: 40, ..PLAIN });
    // Narrow and wide ones, at both strides, with all rests of a vector and every padding behind the last column and row.
    for width in 14..49 {
        for (stride, behind) in [(1, 1), (1, 0), (2, 1), (2, 0), (2, 2)] {
            let padding = [[1, behind], [1, behind]];
            let wide = ConvShape { in_channels: 2, out_channels: 4, groups: 2, ..PLAIN };
            let shape = ConvShape { width: stride * width, stride: [stride; 2], padding, ..wide };
            check(&shape);
            assert_same_bits(&shape);
        }
    }
    // More rows than are transposed at a time, with padding above the first ones and below the last ones.
    let tall = ConvShape { in_channels: 17, out_channels: 17, groups: 17, height: 120, ..PLAIN };
    for shape in [tall, ConvShape { width: 63, stride: [2, 2], ..tall }] {
        check(&shape);
        assert_same_bits(&shape);
    }
}

#[test]
fn kernels_that_skip_pixels_match_the_definition() {
    let shape = ConvShape { dilation: [2, 2], padding: [[2, 2], [2, 2]], ..PLAIN };
    check(&shape);
    check(&ConvShape { dilation: [1, 3], padding: [[0, 2], [3, 1]], ..shape });
    check(&ConvShape { dilation: [3, 1], padding: [[4, 0], [0, 2]], ..shape });
    // Steps that share a factor with the dilation, and ones that do not.
    check(&ConvShape { dilation: [2, 2], stride: [2, 2], ..shape });
    check(&ConvShape { dilation: [3, 4], stride: [2, 3], padding: [[3, 1], [4, 5]], ..shape });
    check(&ConvShape { dilation: [2, 6], stride: [3, 4], padding: [[1, 2], [6, 7]], ..shape });
    // More padding than image, and a kernel of which most pixels lie in it.
    check(&ConvShape { height: 1, width: 1, dilation: [4, 5], padding: [[4; 2], [5; 2]], ..shape });
    // A signal: an image with one row, whose kernel cannot skip any.
    let signal = ConvShape { height: 1, kernel: [1, 3], padding: [[0; 2], [4, 0]], ..shape };
    check(&ConvShape { width: 41, dilation: [1, 4], ..signal });
    check(&ConvShape { width: 41, dilation: [usize::MAX, 2], ..signal });
    check(&ConvShape { in_channels: 4, out_channels: 6, groups: 2, ..shape });
    check(&ConvShape { in_channels: 6, out_channels: 6, groups: 6, ..shape });
    check(&ConvShape { in_channels: 3, out_channels: 6, groups: 3, stride: [3, 2], ..shape });
    check(&ConvShape { in_channels: 50, height: 20, width: 23, dilation: [5, 3], ..shape });
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let dense =
        ConvShape { batch: 20, in_channels: 16, height: 16, width: 16, out_channels: 32, ..PLAIN };
    let depthwise = ConvShape { out_channels: 16, groups: 16, ..dense };
    let pointwise =
        ConvShape { kernel: [1, 1], padding: [[0; 2]; 2], batch: 1, height: 7, ..dense };
    let pointwise = ConvShape { in_channels: 200, width: 5, out_channels: 300, ..pointwise };
    for shape in [dense, depthwise, pointwise, ConvShape { batch: 9, ..TRANSFORMED }] {
        let lengths = Lengths::of(&shape);
        let x = values(shape.batch * lengths.group_in * shape.groups, 1);
        let weight = values(lengths.group_weight() * shape.groups, 2);
        let grad = values(shape.batch * lengths.group_out * shape.groups, 3);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let isa = Isa::detect_best();
            let mut out = [vec![0.0; grad.len()], vec![0.0; x.len()], vec![0.0; weight.len()]];
            let [y, of_x, of_weight] = &mut out;
            pool.install(|| {
                conv2d(isa, &shape, &x, ConvWeight::Plain(&weight), Ending::NONE, y);
                conv2d_backward_input(isa, &shape, &weight, &grad, of_x);
                conv2d_backward_weight(isa, &shape, &x, &grad, of_weight);
            });
            out
        };
        let one = run(1);
        assert!(run(2) == one && run(5) == one);
    }
}

#[test]
#[should_panic(expected = "the weight must have 135 values, not 9")]
fn lengths_must_match_the_shape() {
    let mut out = vec![0.0; 2 * 5 * 63];
    let x = vec![0.0; 2 * 3 * 63];
    conv2d(Isa::Scalar, &PLAIN, &x, ConvWeight::Plain(&[0.0; 9]), Ending::NONE, &mut out);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_convolution_and_its_gradients_match_the_definition(
        (batch, groups, in_channels, out_channels) in (0..3_usize, 1..4_usize, 1..4_usize, 1..4_usize),
        (height, width) in (1..9_usize, 1..40_usize),
        kernel in prop::array::uniform2(1..4_usize),
        stride in prop::array::uniform2(1..4_usize),
        padding in prop::array::uniform2(prop::array::uniform2(0..3_usize)),
        dilation in prop::array::uniform2(1..4_usize),
    ) {
        let shape = ConvShape {
            batch,
            in_channels: groups * in_channels,
            height,
            width,
            out_channels: groups * out_channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        };
        prop_assume!(shape.check().is_ok());
        check(&shape);
    }

    #[test]
    fn any_depthwise_convolution_matches_the_definition_and_rounds_alike_on_all_vectors(
        (batch, channels) in (1..3_usize, 2..40_usize),
        (height, width) in (1..12_usize, 1..36_usize),
        kernel in prop::array::uniform2(1..6_usize),
        stride in prop::array::uniform2(1..4_usize),
        padding in prop::array::uniform2(prop::array::uniform2(0..4_usize)),
        dilation in prop::array::uniform2(1..3_usize),
    ) {
        let shape = ConvShape {
            batch,
            in_channels: channels,
            height,
            width,
            out_channels: channels,
            kernel,
            stride,
            padding,
            dilation,
            groups: channels,
        };
        prop_assume!(shape.check().is_ok());
        check(&shape);
        assert_same_bits(&shape);
    }
}
