//! What tinytorch runs.

mod decode;
mod model;
mod onnx;
mod product;
mod train;

use crate::case::{Case, Work};
use crate::serve::Variant;
use anyhow::Result;

/// The ways in which tinytorch runs a case, on the threads of the pool that this is called in.
pub(crate) fn prepare(case: &Case) -> Result<Vec<Variant>> {
    match &case.work {
        Work::Product(shape) => product::prepare(case, *shape),
        Work::Model(work) => model::prepare(case, work),
        Work::Onnx(work) => onnx::prepare(case, work),
        Work::Decode(work) => decode::prepare(case, work),
        Work::Train(work) => train::prepare(case, work),
    }
}
