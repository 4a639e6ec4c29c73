use crate::graph::ConvGeometry;
use crate::tensor::Shape;
use std::ops::Range;

/// The windows of one group of one image as the columns of a matrix, which turns a convolution into
/// a matrix product: row `(channel, ky, kx)`, column `(oy, ox)` holds the pixel that the kernel's
/// entry `(ky, kx)` meets in the window `(oy, ox)`, or 0 in the padding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfold {
    channels: usize,
    image: [usize; 2],
    kernel: [usize; 2],
    out: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
}

/// Adjacent columns of a matrix row, and the pixels they hold: one every `step`.
struct Run {
    columns: Range<usize>,
    pixel: usize,
    step: usize,
}

impl Unfold {
    /// For a valid convolution: the shapes are those of [`ConvGeometry::output`].
    pub(super) fn new(geometry: &ConvGeometry, input: &Shape, weight: &Shape, out: &Shape) -> Self {
        Unfold {
            channels: weight[1],
            image: [input[2], input[3]],
            kernel: [weight[2], weight[3]],
            out: [out[2], out[3]],
            stride: geometry.stride,
            padding: geometry.padding,
        }
    }

    /// Rows of the matrix: entries of the kernel.
    pub(super) fn rows(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Columns of the matrix: windows.
    pub(super) fn columns(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Values of one group of one image.
    pub(super) fn image_len(&self) -> usize {
        self.channels * self.image[0] * self.image[1]
    }

    /// Whether the matrix is the image itself.
    pub(super) fn is_identity(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// Writes the matrix of `image`.
    pub(super) fn unfold(&self, image: &[f32], matrix: &mut [f32]) {
        matrix.fill(0.0);
        self.for_each_run(|Run { columns, pixel, step }| {
            let row = &mut matrix[columns];
            if step == 1 {
                row.copy_from_slice(&image[pixel..pixel + row.len()]);
            } else {
                row.iter_mut().zip(image[pixel..].iter().step_by(step)).for_each(|(m, p)| *m = *p);
            }
        });
    }

    /// Adds the matrix's entries to the pixels they come from: the adjoint of [`Unfold::unfold`].
    pub(super) fn fold(&self, matrix: &[f32], image: &mut [f32]) {
        self.for_each_run(|Run { columns, pixel, step }| {
            let row = &matrix[columns];
            if step == 1 {
                image[pixel..pixel + row.len()].iter_mut().zip(row).for_each(|(p, m)| *p += m);
            } else {
                image[pixel..].iter_mut().step_by(step).zip(row).for_each(|(p, m)| *p += m);
            }
        });
    }

    fn for_each_run(&self, mut run: impl FnMut(Run)) {
        let [h, w] = self.image;
        let [oh, ow] = self.out;
        let mut row = 0;
        for channel in 0..self.channels {
            for ky in 0..self.kernel[0] {
                let down = self.inside(0, ky);
                for kx in 0..self.kernel[1] {
                    let across = self.inside(1, kx);
                    for oy in down.clone().filter(|_| !across.is_empty()) {
                        let y = oy * self.stride[0] + ky - self.padding[0];
                        let x = across.start * self.stride[1] + kx - self.padding[1];
                        let start = (row * oh + oy) * ow;
                        run(Run {
                            columns: start + across.start..start + across.end,
                            pixel: (channel * h + y) * w + x,
                            step: self.stride[1],
                        });
                    }
                    row += 1;
                }
            }
        }
    }

    /// The windows in which entry `k` of the kernel lies on the image rather than on its padding.
    fn inside(&self, axis: usize, k: usize) -> Range<usize> {
        let (stride, padding) = (self.stride[axis], self.padding[axis]);
        let start = padding.saturating_sub(k).div_ceil(stride);
        let end = (self.image[axis] + padding).saturating_sub(k).div_ceil(stride);
        start..end.min(self.out[axis]).max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::*;

    fn pixel_at(u: &Unfold, image: &[f32], [c, y, x]: [usize; 3]) -> f32 {
        let inside =
            |v: usize, axis: usize| v.checked_sub(u.padding[axis]).filter(|&v| v < u.image[axis]);
        match (inside(y, 0), inside(x, 1)) {
            (Some(y), Some(x)) => image[(c * u.image[0] + y) * u.image[1] + x],
            _ => 0.0,
        }
    }

    proptest! {
        #[test]
        fn columns_are_windows_and_fold_is_the_adjoint(
            h in 1usize..7, w in 1usize..7, kh in 1usize..4, kw in 1usize..4,
            sy in 1usize..4, sx in 1usize..4, py in 0usize..3, px in 0usize..3,
        ) {
            let geometry = ConvGeometry { stride: [sy, sx], padding: [py, px], groups: 1 };
            let shapes = [[1, 2, h, w], [1, 2, kh, kw]].map(|s| Shape::new(&s).unwrap());
            let Ok(out) = geometry.output(&shapes[0], &shapes[1]) else { return Ok(()) };
            let u = Unfold::new(&geometry, &shapes[0], &shapes[1], &out);
            let mut rng = Rng::seed((h * 7 + w) as u64);
            let image: Vec<f32> = (0..u.image_len()).map(|_| rng.normal()).collect();
            let mut matrix = vec![f32::NAN; u.rows() * u.columns()];
            u.unfold(&image, &mut matrix);
            for row in 0..u.rows() {
                let (c, ky, kx) = (row / (kh * kw), row / kw % kh, row % kw);
                for column in 0..u.columns() {
                    let (oy, ox) = (column / out[3], column % out[3]);
                    let want = pixel_at(&u, &image, [c, oy * sy + ky, ox * sx + kx]);
                    prop_assert_eq!(matrix[row * u.columns() + column], want);
                }
            }
            let weights: Vec<f32> = matrix.iter().map(|_| rng.normal()).collect();
            let mut folded = vec![0.0; image.len()];
            u.fold(&weights, &mut folded);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let (left, right) = (dot(&matrix, &weights), dot(&image, &folded));
            prop_assert!((left - right).abs() < 1e-3 * (1.0 + left.abs()));
        }
    }
}
