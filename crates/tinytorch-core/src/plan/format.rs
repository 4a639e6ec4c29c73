//! In which form each edge carries its values.
//!
//! Eager layers exchange floats, channel by channel, and each int8 layer quantizes what it reads.
//! Two things are better. Where every reader of an edge quantizes it alike, with the same static
//! parameters, the layer that writes it can do so once, in its epilogue. Max pools and reshapes may
//! stand in between: quantizing never changes the order of two values, so the largest level is the
//! level of the largest value. So may what joins several values, if all of them can be levels of the same
//! parameters. All other ops compute with floats. And images that int8 convolutions
//! write and read stay pixel by pixel, as these kernels have them, floats included.

use crate::Result;
use crate::graph::{Compute, Edge, Graph, Orders, Properties, Step, Weight};
use crate::int8::{Encoding, Int8Weight, Scales};
use crate::tensor::Tensor;
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;

/// The form of an edge's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Format {
    /// How they are stored.
    pub(super) encoding: Encoding,
    /// The order of an image's values; [`Layout::Nchw`] is the plain order of all other tensors too.
    pub(super) layout: Layout,
}

impl Format {
    /// Floats in the plain order.
    pub(super) const PLAIN: Format = Format { encoding: Encoding::F32, layout: Layout::Nchw };

    /// What a step of quantizing gives.
    fn quantized(encoding: Encoding, images: bool) -> Format {
        Format { encoding, layout: if images { Layout::Nhwc } else { Layout::Nchw } }
    }

    fn is_float(self) -> bool {
        self.encoding == Encoding::F32
    }
}

/// The form of every edge.
pub(super) fn formats(graph: &Graph) -> Result<Vec<Format>> {
    let mut in_floats = vec![false; graph.nodes().len()];
    loop {
        let formats = formats_unless(graph, &in_floats)?;
        // One of the values that it joins has to be floats, and then all are.
        let is_torn = |edge: &Edge| {
            let mut inputs = graph.node(*edge).edges();
            joins(&graph.node(*edge).step)
                && formats[edge.node()].is_float()
                && inputs.any(|input| !formats[input.node()].is_float())
        };
        let torn: Vec<Edge> = graph.firsts().filter(is_torn).collect();
        if torn.is_empty() {
            return Ok(formats);
        }
        torn.into_iter().for_each(|edge| in_floats[edge.node()] = true);
    }
}

/// The form of every edge if the values that these nodes join are floats.
fn formats_unless(graph: &Graph, in_floats: &[bool]) -> Result<Vec<Format>> {
    let mut wanted = vec![Wanted::default(); graph.nodes().len()];
    // Several outputs of a node, and the results of the graph, are floats or what else the op gives.
    let is_free = |&edge: &Edge| {
        graph.node(edge).step.output_count() == 1 && !graph.outputs().contains(&edge)
    };
    for edge in graph.firsts().rev().filter(is_free) {
        wanted[edge.node()] = Wanted {
            levels: levels_for_readers(graph, edge, &wanted, in_floats),
            pixels_first: graph.readers(edge).any(|reader| reads_pixels(graph, reader, &wanted)),
        };
    }
    let mut formats = Vec::with_capacity(wanted.len());
    for edge in graph.firsts() {
        let wanted = wanted[edge.node()];
        let format = match wanted.levels {
            _ if let Some(given) = given(&graph.node(edge).step) => given,
            Some(levels) if can_write_levels(graph, edge, &formats)? => levels,
            _ if wanted.pixels_first && can_write_pixels(graph, edge, &formats) => {
                Format { encoding: Encoding::F32, layout: Layout::Nhwc }
            }
            _ => Format::PLAIN,
        };
        formats.push(format);
    }
    Ok(formats)
}

/// The form of what a step gives that says so itself.
fn given(step: &Step) -> Option<Format> {
    match step {
        Step::Quantize { encoding, images } => Some(Format::quantized(*encoding, *images)),
        Step::BetweenLevels { output, .. } => {
            Some(Format::quantized(Encoding::Static(*output), false))
        }
        _ => None,
    }
}

/// What would serve the readers of an edge.
#[derive(Clone, Copy, Default)]
struct Wanted {
    /// Levels that every reader takes.
    levels: Option<Format>,
    /// Whether some reader gains if images are floats pixel by pixel.
    pixels_first: bool,
}

/// The levels that every reader of an edge would take, if they agree.
fn levels_for_readers(
    graph: &Graph,
    edge: Edge,
    wanted: &[Wanted],
    in_floats: &[bool],
) -> Option<Format> {
    let mut readers = graph.readers(edge).map(|reader| {
        let passed_on = wanted[reader.node()].levels;
        match &graph.node(reader).step {
            Step::Quantize { encoding: levels @ Encoding::Static(_), images } => {
                Some(Format::quantized(*levels, *images))
            }
            Step::Dequantize(params) => Some(Format::quantized(Encoding::Static(*params), false)),
            Step::BetweenLevels { inputs, .. } => {
                let place = graph.node(reader).edges().position(|input| input == edge);
                place.map(|i| Format::quantized(Encoding::Static(inputs[i]), false))
            }
            Step::Compute(op) if op.properties().selects && reads_first(graph, reader, edge) => {
                match op.properties().orders.takes_pixels() {
                    true => passed_on.map(|f| Format { layout: Layout::Nhwc, ..f }),
                    false => passed_on.filter(|format| format.layout == Layout::Nchw),
                }
            }
            step if joins(step) && !in_floats[reader.node()] => passed_on,
            _ => None,
        }
    });
    let first = readers.next()??;
    readers.all(|other| other == Some(first)).then_some(first)
}

fn joins(step: &Step) -> bool {
    step.properties().joins
}

/// Whether a layer adds an edge's values to what it computes.
fn adds(graph: &Graph, reader: Edge, edge: Edge) -> bool {
    graph.node(reader).inputs[1..].contains(&Some(edge))
}

/// Whether a node reads an edge's values as its first input and as no other.
fn reads_first(graph: &Graph, reader: Edge, edge: Edge) -> bool {
    graph.node(reader).input(0) == Some(edge) && !adds(graph, reader, edge)
}

/// Whether a node reads images faster pixel by pixel. Global pooling does not, but it is better to
/// turn the little that it reads than to let the layers before it write channel by channel.
fn reads_pixels(graph: &Graph, reader: Edge, wanted: &[Wanted]) -> bool {
    match &graph.node(reader).step {
        // A convolution that adds what it reads has it in the order of its output.
        Step::Conv2d { weight: Weight::Int8(weight), .. } => weight.input() != Encoding::F32,
        Step::Quantize { images, .. } => *images,
        Step::Compute(op) if op.properties().orders == Orders::ByChannelReduced => true,
        Step::Compute(op) if takes_pixels(op) => wanted[reader.node()].pixels_first,
        _ => false,
    }
}

fn can_write_levels(graph: &Graph, edge: Edge, formats: &[Format]) -> Result<bool> {
    let node = graph.node(edge);
    match &node.step {
        Step::Linear { weight: Weight::Int8(weight), bias, .. }
        | Step::Conv2d { weight: Weight::Int8(weight), bias, .. }
            if node.inputs.len() == 1 =>
        {
            is_always_finite(weight, bias.as_ref())
        }
        Step::Compute(op) if op.properties().selects => {
            Ok(node.input(0).is_some_and(|input| !formats[input.node()].is_float()))
        }
        step if joins(step) => Ok(node.edges().all(|input| !formats[input.node()].is_float())),
        _ => Ok(false),
    }
}

fn can_write_pixels(graph: &Graph, edge: Edge, formats: &[Format]) -> bool {
    let node = graph.node(edge);
    let are_pixels = |inputs: &[Option<Edge>]| {
        let mut formats = inputs.iter().map(|input| input.map(|input| formats[input.node()]));
        formats.all(|f| f.is_some_and(|f| f.is_float() && f.layout == Layout::Nhwc))
    };
    match &node.step {
        Step::Conv2d { weight: Weight::Int8(weight), .. } => {
            weight.input() != Encoding::F32 && are_pixels(&node.inputs[1..])
        }
        Step::Compute(op) if op.properties().pointwise || op.properties().joins => {
            are_pixels(&node.inputs)
        }
        // What else it reads are no images.
        Step::Compute(op) => {
            takes_pixels(op) && are_pixels(&node.inputs[..node.inputs.len().min(1)])
        }
        _ => false,
    }
}

/// Whether an op computes images pixel by pixel as well.
fn takes_pixels(op: &Arc<dyn Compute>) -> bool {
    let Properties { pointwise, orders, .. } = op.properties();
    pointwise || orders.takes_pixels()
}

/// Whether no input whatever makes a layer's output infinite. Where one could, the output stays
/// float and is checked, so that a plan reports what an eager pass reports.
pub(super) fn is_always_finite(weight: &Int8Weight, bias: Option<&Tensor>) -> Result<bool> {
    let Encoding::Static(params) = weight.input() else { return Ok(false) };
    let largest = |values: &[f32]| values.iter().fold(0f64, |max, v| max.max(f64::from(v.abs())));
    let scale = match weight.scales() {
        Scales::PerTensor(scale) => f64::from(*scale),
        Scales::PerChannel(scales) => largest(scales),
        Scales::Blocks(scales) => scales.iter().fold(0f64, |max, s| max.max(f64::from(*s))),
    };
    let bias = bias.map(Tensor::to_vec::<f32>).transpose()?;
    let bias = weight.offset(bias.as_deref()).unwrap_or_default();
    if !bias.iter().all(|b| b.is_finite()) {
        return Ok(false);
    }
    // A thousandth covers the rounding of the few operations after each exact sum.
    let furthest = if weight.zero_points().is_empty() { 128.0 } else { 255.0 };
    let sum = weight.panels().k() as f64 * 255.0 * furthest;
    let unscaled = sum * scale;
    let bound = (unscaled.max(scale) * f64::from(params.scale) + largest(&bias)) * 1.001;
    Ok(bound.max(unscaled) < f64::from(f32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Bounds, ConvGeometry, PoolGeometry};
    use crate::int8::{Granularity, QParams, QWeight};
    use crate::ops::Pool;

    fn params() -> QParams {
        QParams { scale: 0.5, zero_point: 3 }
    }

    fn conv(scale: f32, input: Encoding) -> Step {
        let weight = Tensor::full(scale, [4, 4, 1, 1]).unwrap();
        let weight = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let weight = Weight::Int8(Int8Weight::new(weight, input));
        Step::Conv2d { weight, bias: None, geometry: ConvGeometry::default(), bounds: Bounds::NONE }
    }

    /// Adds a step, and before an int8 layer one that quantizes what it reads.
    fn push(graph: &mut Graph, step: Step, edge: Edge) -> Edge {
        let input = match &step {
            Step::Conv2d { weight: Weight::Int8(weight), .. } => weight.input(),
            _ => Encoding::F32,
        };
        let edge = graph.quantized(Some(edge), input, true).unwrap().unwrap();
        graph.push(step, &[edge]).unwrap()
    }

    fn chain(steps: Vec<Step>) -> Graph {
        let mut graph = Graph::new();
        let mut edge = graph.input();
        for step in steps {
            edge = push(&mut graph, step, edge);
        }
        graph.set_output(edge);
        graph
    }

    /// Whether each step gives levels, without those that do nothing else.
    fn levels(graph: &Graph) -> Vec<bool> {
        let steps = graph.firsts().zip(formats(graph).unwrap());
        let others = steps.filter(|(edge, _)| given(&graph.node(*edge).step).is_none());
        others.map(|(_, format)| !format.is_float()).collect()
    }

    #[test]
    fn levels_flow_through_max_pools_and_not_through_averages() {
        let int8 = || conv(1.0, Encoding::Static(params()));
        let pool = PoolGeometry::square(2);
        let graph = chain(vec![int8(), Step::Compute(Arc::new(Pool::Max(pool))), int8()]);
        assert_eq!(levels(&graph), [false, true, true, false]);
        let graph = chain(vec![int8(), Step::Compute(Arc::new(Pool::Avg(pool))), int8()]);
        assert_eq!(levels(&graph), [false; 4]);
    }

    #[test]
    fn readers_that_disagree_get_floats() {
        for other in [Encoding::PerRow, Encoding::Static(QParams { zero_point: 4, ..params() })] {
            let mut graph = chain(vec![conv(1.0, Encoding::Static(params()))]);
            let y = graph.outputs()[0];
            let a = push(&mut graph, conv(1.0, Encoding::Static(params())), y);
            push(&mut graph, conv(1.0, other), y);
            graph.set_output(a);
            assert_eq!(levels(&graph), [false; 4]);
            assert_eq!(formats(&graph).unwrap()[y.node()].layout, Layout::Nhwc);
        }
    }

    #[test]
    fn a_layer_that_could_overflow_writes_floats() {
        let reader = || conv(1.0, Encoding::Static(params()));
        let graph = chain(vec![conv(1e36, Encoding::Static(params())), reader()]);
        assert_eq!(levels(&graph), [false; 3]);
        let graph = chain(vec![conv(1e30, Encoding::Static(params())), reader()]);
        assert_eq!(levels(&graph), [false, true, false]);
    }
}
