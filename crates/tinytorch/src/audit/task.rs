use crate::Result;
use crate::tensor::Tensor;

/// Share of the samples whose largest output is their label.
///
/// # Errors
/// If the outputs have no classes.
pub(super) fn accuracy(outputs: &Tensor, labels: &Tensor) -> Result<f64> {
    same_share(&outputs.argmax_last()?, labels)
}

/// Share of the samples on which two models' largest outputs are the same one.
///
/// # Errors
/// As [`accuracy`].
pub(super) fn agreement(a: &Tensor, b: &Tensor) -> Result<f64> {
    same_share(&a.argmax_last()?, &b.argmax_last()?)
}

fn same_share(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (a, b) = (a.to_vec::<i64>()?, b.to_vec::<i64>()?);
    let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
    Ok(same as f64 / a.len().max(1) as f64)
}
