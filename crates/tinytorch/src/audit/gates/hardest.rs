//! What is hardest on a weight's sums, and whether an instruction set adds it up exactly.

use crate::Result;
use tinytorch_kernels::int8::{
    Activations, ConvShape, Epilogue, Images, Layout, MOST_WORDS, Output, Panels, QParams,
    RowParams, Scales, conv2d, gemm,
};
use tinytorch_kernels::{Isa, Scratch};

/// Rows and columns of outputs of an image that is convolved: nine tiles of 2 x 2, enough for kernels that
/// transform them.
const OUTPUTS: usize = 6;

/// The output under which the hardest activations lie, in the lower row of its tile.
const PLACE: [usize; 2] = [3, 2];

/// What lies under the kernel of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    /// Channels of a group.
    pub(super) channels: usize,
    /// Rows and columns.
    pub(super) size: [usize; 2],
}

impl Kernel {
    /// A plain convolution by so many kernels that gives [`OUTPUTS`] rows and columns.
    fn over_an_image(self, kernels: usize) -> ConvShape {
        let [height, width] = self.size.map(|side| OUTPUTS + side - 1);
        ConvShape {
            batch: 1,
            in_channels: self.channels,
            height,
            width,
            out_channels: kernels,
            kernel: self.size,
            stride: [1; 2],
            padding: [[0; 2]; 2],
            dilation: [1; 2],
            groups: 1,
        }
    }
}

/// The activations that are hardest on the rows of a weight: the largest wherever the weights of a row have one
/// sign, for the rows with the largest sums and the largest pairs.
#[derive(Default)]
pub(super) struct Hardest {
    /// By what was looked for: the measure of the row that has most of it, and where its weights have the sign.
    found: [(i64, Vec<bool>); 4],
}

impl Hardest {
    pub(super) fn consider(&mut self, row: &[i8]) {
        for (of_sign, sign) in [1i64, -1].into_iter().enumerate() {
            let part = |w: i8| (sign * i64::from(w)).max(0);
            let sum = row.iter().map(|&w| part(w)).sum();
            let pair = row.chunks(2).map(|pair| pair.iter().map(|&w| part(w)).sum()).max();
            for (of_kind, measure) in [sum, pair.unwrap_or(0)].into_iter().enumerate() {
                let most = &mut self.found[2 * of_sign + of_kind];
                if measure > most.0 {
                    *most = (measure, row.iter().map(|&w| part(w) > 0).collect());
                }
            }
        }
    }

    /// The first sum that an instruction set gets wrong, and what it should be; of 16-bit activations if
    /// `is_wide`.
    pub(super) fn wrong_sum(
        &self,
        isa: Isa,
        panels: &Panels,
        is_wide: bool,
    ) -> Result<Option<(f32, f32)>> {
        let (n, k) = (panels.n(), panels.k());
        let mut row = vec![0i8; k];
        let params = [QParams { scale: 1.0, zero_point: 0 }];
        for (_, signs) in self.found.iter().filter(|(measure, _)| *measure > 0) {
            // Where weights have the other sign, 16-bit activations have it too: both add to the sum.
            let (params, run, most, least) = match is_wide {
                true => (RowParams::PerRow16(&params), MOST_WORDS, i16::MAX, -i16::MAX),
                false => (RowParams::PerRow(&params), k, 255, 0),
            };
            let level = |&has_sign: &bool| if has_sign { most } else { least };
            let levels: Vec<i16> = signs.iter().map(level).collect();
            let data: Vec<u8> = match is_wide {
                true => levels.iter().flat_map(|level| level.to_ne_bytes()).collect(),
                false => levels.iter().map(|&level| level as u8).collect(),
            };
            let activations = Activations { data: &data, m: 1, k, params };
            let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
            let mut sums = vec![0f32; n];
            let output = Output::F32(&mut sums);
            gemm(isa, &activations, panels, &epilogue, output, &mut Scratch::new())?;
            for (i, &got) in sums.iter().enumerate() {
                panels.row_into(i, &mut row)?;
                let zero_point = i64::from(panels.zero_point(i));
                let product = |(&a, &w): (&i16, &i8)| i64::from(a) * (i64::from(w) - zero_point);
                let runs = levels.chunks(run.max(1)).zip(row.chunks(run.max(1)));
                let exact = runs.fold(0.0, |sum, (levels, row)| {
                    sum + levels.iter().zip(row).map(product).sum::<i64>() as f32
                });
                if got != exact {
                    return Ok(Some((got, exact)));
                }
            }
        }
        Ok(None)
    }

    /// The same of a convolution of images that are 0 but for the activations under one place of the kernel.
    pub(super) fn wrong_convolution(
        &self,
        isa: Isa,
        panels: &Panels,
        kernel: Kernel,
    ) -> Result<Option<(f32, f32)>> {
        let shape = kernel.over_an_image(panels.n());
        let mut row = vec![0i8; panels.k()];
        for (_, signs) in self.found.iter().filter(|(measure, _)| *measure > 0) {
            let mut data = vec![0; shape.height * shape.width * kernel.channels];
            let under = kernel.size[1] * kernel.channels;
            for (y, signs) in signs.chunks(under).enumerate() {
                let first = ((PLACE[0] + y) * shape.width + PLACE[1]) * kernel.channels;
                let levels = signs.iter().map(|&has_sign| if has_sign { 255 } else { 0 });
                data[first..first + under].iter_mut().zip(levels).for_each(|(to, from)| *to = from);
            }
            let params = RowParams::Tensor(QParams { scale: 1.0, zero_point: 0 });
            let images = Images { data: &data, params };
            let epilogue = Epilogue { scales: Scales::PerTensor(1.0), bias: None, relu: false };
            let mut sums = vec![0f32; OUTPUTS * OUTPUTS * panels.n()];
            let (output, scratch) = (Output::F32(&mut sums), &mut Scratch::new());
            conv2d(isa, &shape, &images, panels, &epilogue, output, Layout::Nhwc, scratch)?;
            let at = (PLACE[0] * OUTPUTS + PLACE[1]) * panels.n();
            for (i, &got) in sums[at..at + panels.n()].iter().enumerate() {
                panels.row_into(i, &mut row)?;
                let under = signs.iter().zip(&row).filter(|(has_sign, _)| **has_sign);
                let zero_point = i64::from(panels.zero_point(i));
                let products = under.map(|(_, &w)| 255 * (i64::from(w) - zero_point));
                let exact = products.sum::<i64>() as f32;
                if got != exact {
                    return Ok(Some((got, exact)));
                }
            }
        }
        Ok(None)
    }
}
