//! Which edges carry 8-bit levels from layer to layer, and in which order.
//!
//! Eager layers exchange floats, and each int8 layer quantizes what it reads. Where every reader of
//! an edge quantizes it alike, with the same static parameters, the layer that writes it can do so
//! once, in its epilogue. Max pools and reshapes may stand in between: quantizing never changes the
//! order of two values, so the largest level is the level of the largest value. All other ops
//! compute with floats.

use crate::Result;
use crate::graph::{Edge, Graph, Step, Weight};
use crate::int8::{Input, QParams, QWeight, Scales};
use crate::tensor::Tensor;
use tinytorch_kernels::int8::Layout;

/// Levels that an edge can carry: what they stand for, and the order of an image's values.
/// [`Layout::Nchw`] is the plain order of all other tensors too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Levels {
    pub(super) params: QParams,
    pub(super) layout: Layout,
}

/// What each edge carries: levels, or `None` for floats.
pub(super) fn levels_on_edges(graph: &Graph) -> Result<Vec<Option<Levels>>> {
    let mut wanted: Vec<Option<Levels>> = vec![None; graph.nodes().len()];
    for edge in graph.edges().rev() {
        wanted[edge.index()] = wanted_by_readers(graph, edge, &wanted);
    }
    let mut carried: Vec<Option<Levels>> = vec![None; graph.nodes().len()];
    for edge in graph.edges() {
        let node = graph.node(edge);
        let writes_levels = match &node.step {
            Step::Linear { weight: Weight::Int8(weight), bias, .. }
            | Step::Conv2d { weight: Weight::Int8(weight), bias, .. } => {
                is_always_finite(weight, bias.as_ref())?
            }
            Step::MaxPool2d(_) | Step::Reshape(_) => carried[node.inputs[0].index()].is_some(),
            _ => false,
        };
        if writes_levels {
            carried[edge.index()] = wanted[edge.index()];
        }
    }
    Ok(carried)
}

/// The levels that every reader of an edge would take, if they agree.
fn wanted_by_readers(graph: &Graph, edge: Edge, wanted: &[Option<Levels>]) -> Option<Levels> {
    if graph.output() == Some(edge) {
        return None;
    }
    let mut readers = graph.readers(edge).map(|reader| {
        let passed_on = wanted[reader.index()];
        match &graph.node(reader).step {
            Step::Linear { weight: Weight::Int8(weight), .. } => levels(weight, Layout::Nchw),
            Step::Conv2d { weight: Weight::Int8(weight), .. } => levels(weight, Layout::Nhwc),
            Step::MaxPool2d(_) => passed_on.map(|l| Levels { layout: Layout::Nhwc, ..l }),
            Step::Reshape(_) => passed_on.filter(|levels| levels.layout == Layout::Nchw),
            _ => None,
        }
    });
    let first = readers.next()??;
    readers.all(|other| other == Some(first)).then_some(first)
}

fn levels(weight: &QWeight, layout: Layout) -> Option<Levels> {
    match weight.input() {
        Input::Static(params) => Some(Levels { params, layout }),
        Input::Dynamic | Input::Float => None,
    }
}

/// Whether no input whatever makes a layer's output infinite. Where one could, the output stays
/// float and is checked, so that a plan reports what an eager pass reports.
fn is_always_finite(weight: &QWeight, bias: Option<&Tensor>) -> Result<bool> {
    let Input::Static(params) = weight.input() else { return Ok(false) };
    let largest = |values: &[f32]| values.iter().fold(0f64, |max, v| max.max(f64::from(v.abs())));
    let scale = match weight.scales() {
        Scales::PerTensor(scale) => f64::from(*scale),
        Scales::PerChannel(scales) => largest(scales),
        Scales::Blocks(scales) => scales.iter().fold(0f64, |max, s| max.max(f64::from(*s))),
    };
    let bias =
        bias.map_or(Ok(0.0), |bias| Ok::<_, crate::Error>(largest(&bias.to_vec::<f32>()?)))?;
    let sum = weight.panels().k() as f64 * 255.0 * 128.0;
    let product = f64::from(params.scale) * scale;
    // A thousandth covers the rounding of each of the few operations after the exact sum.
    let bound = (sum * product.max(f64::from(f32::MIN_POSITIVE)) + bias) * 1.001;
    Ok(bound < f64::from(f32::MAX) && product * 1.001 < f64::from(f32::MAX))
}
