use crate::audit::AuditError;
use crate::autograd::AutogradError;
use crate::bench::BenchError;
use crate::compress::CompressError;
use crate::data::DataError;
use crate::generate::GenerateError;
use crate::graph::{GeometryError, GraphError};
use crate::int8::Int8Error;
use crate::io::IoError;
use crate::loss::LossError;
use crate::models::ModelError;
use crate::nn::LayerError;
use crate::ops::OpError;
use crate::optim::OptimError;
use crate::plan::PlanError;
use crate::profile::ProfileError;
use crate::quant::QuantError;
use crate::tensor::TensorError;
use crate::text::TextError;
use crate::train::TrainError;
use crate::train::adapters::AdapterError;

/// Everything that can go wrong in tinytorch: one sentence that says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Recording a pass or taking its gradient.
    #[error(transparent)]
    Autograd(#[from] AutogradError),
    /// Building or reading a graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An int8 weight.
    #[error(transparent)]
    Int8(#[from] Int8Error),
    /// Quantizing a model.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// The windows of a convolution or pool.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// An argument of an op.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The sizes of a layer, or how it is called.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Targets of a loss.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// Describing a model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Reading or writing a file.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Text, tokens or a tokenizer file.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Generating text, or a cache of keys and values.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A data set, a loader or a data file.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A step of an optimizer.
    #[error(transparent)]
    Optim(#[from] OptimError),
    /// Compiling or running a plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Comparing times.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// Measuring a model.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A training or its checkpoint.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Adapters.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// Pruning, factoring or distilling a model.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// Judging a model.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

/// The result of everything in tinytorch that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<tinytorch_kernels::int8::Int8Error> for Error {
    fn from(error: tinytorch_kernels::int8::Int8Error) -> Error {
        Error::Int8(error.into())
    }
}
