//! Two-dimensional convolution of quantized images with int8 weights, as an implicit matrix product.
//!
//! Each output pixel is a row of a product whose `k` values are the pixels under the kernel, in
//! the order kernel row, kernel column, channel. In an NHWC image they lie in runs, one for each
//! kernel row, so the product reads them where they are: nothing is unfolded. Where runs are not
//! a multiple of four values, as with three channels, a few output pixels at a time are gathered.

use super::conv_access::Access;
use super::conv_job::Job;
use super::conv_shape::ConvShape;
use super::error::{check_length, checked_size};
use super::finish::Target;
use super::name::kernel_names;
use super::operands::{Epilogue, Images, Layout, Output};
use super::{Int8Error, Panels};
use crate::{Isa, Ran, Scratch};

/// Convolves and says which kernel ran.
///
/// The weight has `out_channels` rows of `kernel height * kernel width * in_channels / groups`
/// values, in that order. Where every group has a single input channel, the depthwise kernel runs.
/// The epilogue is that of [`gemm`](super::gemm), a column being an output channel.
///
/// ```
/// use tinytorch_kernels::int8::{
///     ConvShape, Epilogue, Images, Layout, Output, Panels, QParams, RowParams, Scales, conv2d,
/// };
/// use tinytorch_kernels::{Isa, Scratch};
///
/// let shape = ConvShape {
///     batch: 1, in_channels: 1, height: 3, width: 3, out_channels: 1,
///     kernel: [3, 3], stride: [1, 1], padding: [[1, 1], [1, 1]], dilation: [1, 1], groups: 1,
/// };
/// let weight = Panels::pack(&[1; 9], 1, 9)?; // sums each pixel's neighborhood
/// let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: 5 });
/// let images = Images { data: &[6; 9], params }; // ones
/// let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
/// let mut y = [0.0; 9];
/// let output = Output::F32(&mut y);
/// let mut scratch = Scratch::new();
/// conv2d(Isa::active(), &shape, &images, &weight, &epilogue, output, Layout::Nchw, &mut scratch)?;
/// assert_eq!(y, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
///
/// # Errors
/// The geometry is impossible, a length does not match it, or a scale is not usable.
#[expect(
    clippy::too_many_arguments,
    reason = "each is a different thing, and a struct of them has one user"
)]
pub fn conv2d(
    isa: Isa,
    shape: &ConvShape,
    images: &Images<'_>,
    weight: &Panels,
    epilogue: &Epilogue<'_>,
    mut output: Output<'_>,
    layout: Layout,
    scratch: &mut Scratch,
) -> Result<Ran, Int8Error> {
    shape.check()?;
    let shape = &shape.canonical();
    let bytes = checked_size("the images", &[shape.input_len()?, images.params.level_bytes()])?;
    check_length("the images", images.data.len(), bytes)?;
    images.params.check("the images' scales", shape.batch)?;
    let k = shape.k();
    if weight.k() != k {
        return Err(Int8Error::InnerSize { activations: k, weights: weight.k() });
    }
    check_length("the weight's rows", weight.n(), shape.out_channels)?;
    epilogue.check(weight.n(), weight.k(), weight.zero_points())?;
    images.params.check_weights(weight.zero_points(), &epilogue.scales)?;
    output.check(shape.output_len()?)?;
    let access = Access::of(isa, shape, shape.output_size()?, epilogue, &images.params);
    let target = Target::of(&mut output);
    let job = Job { isa, shape, images, weight, epilogue, target, layout, access };
    job.run(scratch)?;
    let names = match access {
        Access::Depthwise => kernel_names!("depthwise_int8"),
        Access::Winograd => kernel_names!("winograd_int8"),
        _ if job.level_bytes() > 1 => kernel_names!("conv_int8_by_int16"),
        _ => kernel_names!("conv_int8"),
    };
    Ok(Ran::int8(names.of(isa, job.uses_pair_rule())))
}
