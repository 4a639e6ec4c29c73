//! Where windows lie: the rule that convolutions and pools share.

use super::GeometryError;

/// Along an axis of `size` entries, padded with `before` and `after`, windows of `kernel` entries that are
/// `dilation` apart start every `stride` entries, so there are
/// `(before + size + after - dilation (kernel - 1) - 1) / stride + 1` of them.
pub(super) struct Windows {
    pub(super) op: &'static str,
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) padding: [[usize; 2]; 2],
    pub(super) dilation: [usize; 2],
}

impl Windows {
    /// # Errors
    /// [`GeometryError`] for a stride, dilation or kernel of 0.
    pub(super) fn check(&self) -> Result<(), GeometryError> {
        let Windows { op, kernel, stride, dilation, .. } = *self;
        if stride.contains(&0) {
            return Err(GeometryError::ZeroStride { op, stride });
        }
        if dilation.contains(&0) {
            return Err(GeometryError::ZeroDilation { op, dilation });
        }
        if kernel.contains(&0) {
            return Err(GeometryError::EmptyKernel { op, kernel });
        }
        Ok(())
    }

    /// Rows and columns from a window's first entry to its last, of windows that have passed
    /// [`Windows::check`]; what overflows is as impossible to fit as anything larger than the image.
    pub(super) fn span(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.kernel[i] - 1).saturating_mul(self.dilation[i]).saturating_add(1))
    }

    /// Number of windows down and across.
    ///
    /// # Errors
    /// As [`Windows::check`], and [`GeometryError::KernelTooLarge`].
    pub(super) fn count(&self, image: [usize; 2]) -> Result<[usize; 2], GeometryError> {
        self.check()?;
        let Windows { op, kernel, stride, padding, .. } = *self;
        let span = self.span();
        let along = |i: usize| {
            let [before, after] = padding[i];
            let padded = before.checked_add(after)?.checked_add(image[i])?;
            Some(padded.checked_sub(span[i])? / stride[i] + 1)
        };
        match (along(0), along(1)) {
            (Some(down), Some(across)) => Ok([down, across]),
            _ => Err(GeometryError::KernelTooLarge { op, kernel, span, image, padding }),
        }
    }
}
