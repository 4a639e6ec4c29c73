//! Clips that quantizing does anyway.

use crate::Result;
use crate::graph::{Edge, Graph, Step, Weight};
use crate::int8::{Encoding, QParams};
use crate::plan::format::is_always_finite;

/// Lets what quantizes a clipped value read it unclipped where all levels stand for values between the
/// bounds, as those of a range that calibration saw behind the clip do: rounding to levels keeps the order of
/// values, so what lies beyond a bound gets the first or the last level either way. Values may be moved or joined
/// in between.
///
/// Only behind int8 layers whose output is always finite, which then write the levels themselves: a clip
/// would hide an infinite value that quantizing refuses.
pub(super) fn drop_clip(graph: &mut Graph) -> Result<()> {
    for clip in graph.firsts() {
        let node = graph.node(clip);
        let (Some(bounds), Some(before)) = (node.step.properties().clips, node.input(0)) else {
            continue;
        };
        if is_finite_layer(graph, before)? && is_clipped_later(graph, clip, bounds) {
            graph.redirect(clip, before);
        }
    }
    Ok(())
}

fn is_finite_layer(graph: &Graph, edge: Edge) -> Result<bool> {
    let node = graph.node(edge);
    match &node.step {
        Step::Linear { weight: Weight::Int8(weight), bias, .. }
        | Step::Conv2d { weight: Weight::Int8(weight), bias, .. } => {
            Ok(node.inputs.len() == 1 && is_always_finite(weight, bias.as_ref())?)
        }
        _ => Ok(false),
    }
}

/// Whether all that becomes of an edge's values is quantized, and gives what lies beyond a bound the level of
/// the bound.
fn is_clipped_later(graph: &Graph, edge: Edge, bounds: [f32; 2]) -> bool {
    let is_clipped = |reader: Edge| {
        let node = graph.node(reader);
        match &node.step {
            Step::Quantize { encoding: Encoding::Static(params), .. } => clips_to(*params, bounds),
            Step::Compute(op) if op.output_count() == 1 => {
                let facts = op.properties();
                let moves = facts.joins || (facts.selects && node.input(0) == Some(edge));
                moves && is_clipped_later(graph, reader, bounds)
            }
            _ => false,
        }
    };
    !graph.outputs().contains(&edge) && graph.readers(edge).all(is_clipped)
}

fn clips_to(params: QParams, bounds: [f32; 2]) -> bool {
    bounds.map(|bound| params.quantize(bound)) == [u8::MIN, u8::MAX]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::graph::{Bounds, ConvGeometry};
    use crate::int8::{Granularity, Int8Weight, QWeight};
    use crate::ops::{Clamp, Pointwise};
    use std::sync::Arc;

    /// A convolution whose weights have this size, a clip to 0..=6, and what quantizes it.
    fn graph(size: f32, readers: &[QParams]) -> Graph {
        let mut graph = Graph::new();
        let x = graph.input();
        let input = QParams { scale: 0.1, zero_point: 0 };
        let weight = Tensor::full(size, [4, 4, 1, 1]).unwrap();
        let weight = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let weight = Weight::Int8(Int8Weight::new(weight, Encoding::Static(input)));
        let x = graph.quantized(Some(x), Encoding::Static(input), true).unwrap().unwrap();
        let geometry = ConvGeometry::default();
        let conv = Step::Conv2d { weight, bias: None, geometry, bounds: Bounds::NONE };
        let conv = graph.push(conv, &[x]).unwrap();
        let f = Clamp { low: 0.0, high: 6.0 };
        let clip = Step::Compute(Arc::new(Pointwise { name: "clip", f }));
        let clip = graph.push(clip, &[conv]).unwrap();
        for &params in readers {
            let encoding = Encoding::Static(params);
            let last = graph.push(Step::Quantize { encoding, images: true }, &[clip]).unwrap();
            graph.set_output(last);
        }
        graph
    }

    fn has_clip(mut graph: Graph) -> bool {
        drop_clip(&mut graph).unwrap();
        graph.remove_dead_nodes();
        graph.nodes().iter().any(|node| node.step.properties().clips.is_some())
    }

    #[test]
    fn a_clip_goes_where_all_levels_lie_between_its_bounds() {
        let of = |max: f32| QParams::from_range(0.0, max).unwrap();
        assert!(!has_clip(graph(1.0, &[of(6.0)])));
        assert!(!has_clip(graph(1.0, &[of(6.0), of(2.5)])));
        assert!(has_clip(graph(1.0, &[of(6.0), of(6.5)])), "6.5 has a level of its own");
        let below = QParams::from_range(-0.5, 6.0).unwrap();
        assert!(has_clip(graph(1.0, &[below])), "values below 0 have levels");
    }

    #[test]
    fn a_clip_stays_where_it_hides_infinite_values() {
        let params = QParams::from_range(0.0, 6.0).unwrap();
        assert!(has_clip(graph(1e36, &[params])));
    }

    #[test]
    fn a_result_of_the_graph_stays_clipped() {
        let params = QParams::from_range(0.0, 6.0).unwrap();
        let mut graph = graph(1.0, &[params]);
        let quantize = graph.outputs()[0];
        let clip = graph.node(quantize).input(0).unwrap();
        graph.set_outputs(&[clip, quantize]).unwrap();
        assert!(has_clip(graph));
    }
}
