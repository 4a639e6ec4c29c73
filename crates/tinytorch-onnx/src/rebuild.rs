//! An ONNX model as one of tinytorch's models: kept in safetensors files, whose metadata hold its graph.

use crate::error::OnnxError;
use crate::program::{Dim, ValueInfo};
use crate::{OnnxModel, error};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tinytorch::Result;
use tinytorch::autograd::Var;
use tinytorch::models::{Rebuild, Sample};
use tinytorch::nn::Init;
use tinytorch::tensor::{Dtype, Shape};

/// Positions of an input of integers whose length is open.
const POSITIONS: usize = 16;

/// What makes an ONNX model again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Its graph without the values of its parameters, as a `ModelProto` in base64.
    graph: String,
}

impl Rebuild for OnnxModel {
    type Input = Vec<Var>;
    type Config = Graph;

    const NAME: &'static str = "onnx";

    fn config(&self) -> Graph {
        Graph { graph: STANDARD.encode(self.frame()) }
    }

    /// The parameters have no values, whatever `init` says: a graph does not tell what they should begin with.
    fn build(config: &Graph, _: &mut Init) -> Result<OnnxModel> {
        let bytes = STANDARD.decode(&config.graph).map_err(|error| OnnxError::Format {
            file: "the graph".into(),
            problem: format!("it is no base64: {error}"),
        })?;
        OnnxModel::from_frame(bytes)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        self.inputs().iter().map(sample).collect()
    }

    fn input_names(&self) -> Vec<String> {
        names(self.inputs())
    }

    fn output_names(&self) -> Vec<String> {
        names(self.outputs())
    }

    fn fixed_batch(&self) -> Option<usize> {
        OnnxModel::fixed_batch(self)
    }

    fn unrolls(&self) -> bool {
        OnnxModel::unrolls(self)
    }

    fn node_of(&self, weight: &str) -> Option<String> {
        self.program().node_of(weight)
    }

    fn first_sizes(&self) -> Vec<Option<usize>> {
        let first = |input: &ValueInfo| match input.dims.as_deref() {
            Some([Dim::Size(size), ..]) => Some(*size),
            _ => None,
        };
        self.inputs().iter().map(first).collect()
    }
}

fn names(values: &[ValueInfo]) -> Vec<String> {
    values.iter().map(|value| value.name.clone()).collect()
}

/// A sample without the batch. Of an open size there is one, but of the length of a sequence of integers.
fn sample(input: &ValueInfo) -> Result<Sample> {
    let sizes = |open: usize| -> Vec<usize> {
        let of = |dim: &Dim| match dim {
            Dim::Size(size) => *size,
            Dim::Open(_) => open,
        };
        input.dims.iter().flatten().skip(1).map(of).collect()
    };
    let unusual = || {
        let problem = format!("a sample of {} cannot be made up", input.spec());
        OnnxError::Tensor { tensor: error::shown(&input.name), problem }
    };
    match (input.dtype, input.dims.as_deref()) {
        (_, None | Some([])) => Err(unusual().into()),
        (Dtype::F32, _) => Ok(Sample::Values(Shape::new(&sizes(1))?)),
        // 0 and 1 are ids in any vocabulary, and may be a mask.
        (Dtype::I64, Some([_, _])) => {
            Ok(Sample::Ids { vocab: 2, context: sizes(POSITIONS)[0], pad: None })
        }
        _ => Err(unusual().into()),
    }
}
