//! Kernels that look at a row at a time: softmax and normalization over the last dimension.

mod norm;
mod softmax;

pub use norm::{Norm, NormGrads, NormKind, RowStats, norm_rows, norm_rows_backward};
pub use softmax::{log_softmax, log_softmax_backward, softmax, softmax_backward};

#[track_caller]
fn check_rows(values: usize, width: usize) {
    assert!(width > 0 && values.is_multiple_of(width), "{values} values are not rows of {width}");
}
