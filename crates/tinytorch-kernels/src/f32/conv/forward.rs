//! The convolution itself.

use super::depthwise::{Depthwise, is_depthwise};
use super::direct::{Direct, is_direct};
use super::ending::Ending;
use super::winograd::{Winograd, is_transformed};
use super::{Lengths, check_len};
use crate::Isa;
use crate::f32::gemm::{
    BatchDim, Bias, Left, Matrix, MatrixMut, PackedA, Right, Scaling, Unfolded, gemm_batched,
};
use crate::int8::ConvShape;

/// The weights of a convolution: `[out_channels, in_channels / groups, kernel height, kernel width]`.
#[derive(Debug, Clone, Copy)]
pub enum ConvWeight<'a> {
    /// As they are.
    Plain(&'a [f32]),
    /// Packed once, for many convolutions.
    Packed(&'a PackedConvWeight),
}

/// Weights packed once.
#[derive(Debug, Clone)]
pub struct PackedConvWeight {
    groups: Vec<PackedA>,
}

impl PackedConvWeight {
    /// Packs the weights of a convolution, whose batch and image size may be any.
    ///
    /// # Panics
    /// If `shape` is not that of a convolution, or `weight` has not as many values as it says.
    pub fn new(isa: Isa, shape: &ConvShape, weight: &[f32]) -> Self {
        let lengths = Lengths::of(shape);
        check_len("weight", weight.len(), lengths.group_weight() * shape.groups);
        let pack = |group: &[f32]| {
            PackedA::new(isa, Matrix::new(group, lengths.channels_out, lengths.window))
        };
        let group = |i: usize| &weight[i * lengths.group_weight()..][..lengths.group_weight()];
        Self { groups: (0..shape.groups).map(|i| pack(group(i))).collect() }
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.groups.iter().map(PackedA::bytes).sum()
    }
}

/// Convolves, and ends as `ending` says. Convolutions of 3 x 3 may round otherwise on AVX2 than on
/// AVX-512, by some units in the last place. `x` is
/// `[batch, in_channels, height, width]`, `out` likewise.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::conv::{ConvWeight, Ending, conv2d};
/// use tinytorch_kernels::int8::ConvShape;
///
/// let shape = ConvShape {
///     batch: 1, in_channels: 1, height: 3, width: 3, out_channels: 1,
///     kernel: [3, 3], stride: [1, 1], padding: [[1, 1], [1, 1]], dilation: [1, 1], groups: 1,
/// };
/// let mut y = [0.0; 9];
/// let weight = ConvWeight::Plain(&[1.0; 9]); // sums each pixel's neighborhood
/// conv2d(Isa::active(), &shape, &[1.0; 9], weight, Ending::NONE, &mut y);
/// assert_eq!(y, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
/// ```
///
/// # Panics
/// If `shape` is not that of a convolution ([`ConvShape::check`]), or a length does not match it.
pub fn conv2d(
    isa: Isa,
    shape: &ConvShape,
    x: &[f32],
    weight: ConvWeight<'_>,
    ending: Ending<'_>,
    out: &mut [f32],
) {
    let lengths = Lengths::of(shape);
    let (image_in, image_out) = (lengths.group_in * shape.groups, lengths.group_out * shape.groups);
    check_len("images", x.len(), shape.batch * image_in);
    check_len("output", out.len(), shape.batch * image_out);
    if let Some(bias) = ending.bias {
        check_len("bias", bias.len(), shape.out_channels);
    }
    if let Some(plus) = ending.plus {
        check_len("values to add", plus.len(), out.len());
    }
    // What the other forms of a convolution do not add as they write is added behind them.
    let own = if ending.plus.is_some() { ending.only_bias() } else { ending };
    let Ending { bias, bounds, .. } = own;
    match weight {
        ConvWeight::Plain(weight) => {
            check_len("weight", weight.len(), lengths.group_weight() * shape.groups);
            if is_depthwise(shape) {
                Depthwise { shape, x, weight, bias, bounds }.run(isa, out);
                return ending.after_bias(isa, out);
            }
        }
        ConvWeight::Packed(weight) => check_len("packed groups", weight.groups.len(), shape.groups),
    }
    if out.is_empty() {
        return;
    }
    let transformed = is_transformed(isa, shape, &lengths);
    if transformed || is_direct(isa, shape, &lengths) {
        let packed;
        let weight = match weight {
            ConvWeight::Packed(weight) => weight,
            ConvWeight::Plain(weight) => {
                packed = PackedConvWeight::new(isa, shape, weight);
                &packed
            }
        };
        if transformed {
            let weight = &weight.groups[0];
            return Winograd { shape, x, weight, ending }.run(isa, out);
        }
        return Direct { shape, x, weight: &weight.groups, ending }.run(isa, out);
    }
    let images =
        BatchDim { len: shape.batch, a_stride: 0, b_stride: image_in, c_stride: image_out };
    for group in 0..shape.groups {
        let a: Left<'_> = match weight {
            ConvWeight::Plain(weight) => {
                let group = &weight[group * lengths.group_weight()..];
                Matrix::new(group, lengths.channels_out, lengths.window).into()
            }
            ConvWeight::Packed(weight) => (&weight.groups[group]).into(),
        };
        let c = &mut out[group * lengths.group_out..];
        let c = MatrixMut::new(c, lengths.channels_out, lengths.pixels);
        let bias = match bias {
            None => Bias::None,
            Some(bias) => {
                Bias::PerRow(&bias[group * lengths.channels_out..][..lengths.channels_out])
            }
        };
        let b = windows(shape, &x[group * lengths.group_in..]);
        gemm_batched(isa, &[images], a, b, c, &Scaling { bias, bounds, ..Scaling::default() });
    }
    ending.after_bias(isa, out);
}

/// The matrix of windows; an image whose windows are its pixels is that matrix itself.
pub(super) fn windows<'a>(shape: &ConvShape, x: &'a [f32]) -> Right<'a> {
    let is_pointwise =
        shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.padding == [[0; 2]; 2];
    if is_pointwise {
        let channels = shape.in_channels / shape.groups;
        Matrix::new(x, channels, shape.height * shape.width).into()
    } else {
        Right::Unfolded(Unfolded::new(x, shape))
    }
}
