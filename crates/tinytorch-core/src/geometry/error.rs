//! What can be wrong with windows.

/// What is wrong with the windows of a convolution or pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// A stride of 0.
    #[error("{op}: the stride is {stride:?}; both entries must be at least 1")]
    ZeroStride {
        /// The operation.
        op: &'static str,
        /// The stride given.
        stride: [usize; 2],
    },
    /// A dilation of 0.
    #[error("{op}: the dilation is {dilation:?}; both entries must be at least 1")]
    ZeroDilation {
        /// The operation.
        op: &'static str,
        /// The dilation given.
        dilation: [usize; 2],
    },
    /// A window without entries.
    #[error("{op}: the kernel size is {kernel:?}; both entries must be at least 1")]
    EmptyKernel {
        /// The operation.
        op: &'static str,
        /// The kernel size given.
        kernel: [usize; 2],
    },
    /// A window that does not fit into the image.
    #[error(
        "{op}: a window of {kernel:?} spread over {span:?} does not fit an image of {image:?} padded by {padding:?}; use a smaller kernel or more padding"
    )]
    KernelTooLarge {
        /// The operation.
        op: &'static str,
        /// Height and width of the window.
        kernel: [usize; 2],
        /// Rows and columns from its first entry to its last, as its dilation makes them.
        span: [usize; 2],
        /// Height and width of the image.
        image: [usize; 2],
        /// Rows added above and below, columns added left and right.
        padding: [[usize; 2]; 2],
    },
    /// Padding so large that a window could lie in it completely.
    #[error("{op}: padding {padding:?} is more than half of the window, which spans {kernel:?}")]
    PaddingTooLarge {
        /// The operation.
        op: &'static str,
        /// Rows added above and below, columns added left and right.
        padding: [[usize; 2]; 2],
        /// Rows and columns that the window spans.
        kernel: [usize; 2],
    },
    /// Windows with gaps so large that one could fall between them.
    #[error(
        "{op}: windows of {kernel:?} with entries {dilation:?} apart could miss an image of {image:?}; use a smaller dilation or less padding"
    )]
    OutsideImage {
        /// The operation.
        op: &'static str,
        /// Height and width of the window.
        kernel: [usize; 2],
        /// Rows and columns from one entry to the next.
        dilation: [usize; 2],
        /// Height and width of the image.
        image: [usize; 2],
    },
    /// Channels that do not divide into the groups.
    #[error(
        "conv2d: {groups} groups do not divide {in_channels} input and {out_channels} output channels; both must be multiples of the groups"
    )]
    Groups {
        /// Number of groups.
        groups: usize,
        /// Number of input channels.
        in_channels: usize,
        /// Number of output channels.
        out_channels: usize,
    },
}
