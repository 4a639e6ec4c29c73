//! Batch norms into the convolutions before them.

use crate::Result;
use crate::graph::{BatchNorm, Bounds, Graph, ScaleShift, Step, Weight};
use crate::tensor::Tensor;

/// Multiplies a batch norm into the float convolution whose output it alone reads:
/// `w'[o] = scale[o] w[o]` and `b'[o] = scale[o] b[o] + shift[o]`.
pub(super) fn fold_batch_norm(graph: &mut Graph) -> Result<()> {
    for norm in graph.firsts() {
        let Step::BatchNorm2d(batch_norm) = &graph.node(norm).step else { continue };
        let Some(conv) = graph.node(norm).input(0) else { continue };
        if !graph.is_read_once(conv) {
            continue;
        }
        let Some(folded) = folded(&graph.node(conv).step, batch_norm)? else { continue };
        let params = graph.node(norm).params.clone();
        let conv_node = graph.node_mut(conv);
        conv_node.step = folded;
        conv_node.params.extend(params);
        graph.redirect(norm, conv);
    }
    Ok(())
}

/// The convolution that does both, if `step` is one without an activation of its own.
fn folded(step: &Step, norm: &BatchNorm) -> Result<Option<Step>> {
    let Step::Conv2d { weight: Weight::F32(weight), bias, geometry, bounds: Bounds::NONE } = step
    else {
        return Ok(None);
    };
    let ScaleShift { scale, shift } = norm.affine()?;
    let channels = weight.shape()[0];
    if scale.len() != channels {
        return Ok(None);
    }
    let mut weight = weight.contiguous()?;
    let per_channel = weight.len() / channels.max(1);
    let rows = weight.as_mut_slice::<f32>()?.chunks_exact_mut(per_channel.max(1));
    for (row, scale) in rows.zip(&scale) {
        row.iter_mut().for_each(|w| *w *= scale);
    }
    let mut folded_bias = shift;
    if let Some(bias) = bias {
        for ((b, own), scale) in folded_bias.iter_mut().zip(bias.to_vec::<f32>()?).zip(&scale) {
            *b += scale * own;
        }
    }
    let bias = Some(Tensor::from_vec(folded_bias, [channels])?);
    Ok(Some(Step::Conv2d {
        weight: Weight::F32(weight),
        bias,
        geometry: *geometry,
        bounds: Bounds::NONE,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ConvGeometry;

    fn vector(values: &[f32]) -> Tensor {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()
    }

    fn norm() -> BatchNorm {
        let (weight, bias) = (vector(&[2.0, 1.0]), vector(&[0.5, 0.0]));
        let (mean, variance) = (vector(&[1.0, -1.0]), vector(&[4.0, 0.25]));
        BatchNorm { weight, bias, mean, variance, eps: 0.0 }
    }

    fn conv() -> Step {
        let weight = Weight::F32(Tensor::from_vec(vec![3.0, 5.0], [2, 1, 1, 1]).unwrap());
        let bias = Some(vector(&[10.0, 20.0]));
        Step::Conv2d { weight, bias, geometry: ConvGeometry::default(), bounds: Bounds::NONE }
    }

    #[test]
    fn scale_and_shift_move_into_weight_and_bias() {
        let mut graph = Graph::new();
        let x = graph.input();
        let y = graph.push(conv(), &[x]).unwrap();
        let z = graph.push(Step::BatchNorm2d(norm()), &[y]).unwrap();
        graph.set_output(z);
        fold_batch_norm(&mut graph).unwrap();
        assert_eq!(graph.outputs(), [y]);
        let Step::Conv2d { weight: Weight::F32(weight), bias: Some(bias), .. } =
            &graph.node(y).step
        else {
            panic!("{:?}", graph.node(y))
        };
        // (10 - 1) / 2 * 2 + 0.5 and (20 + 1) / 0.5 for an input of 0.
        assert_eq!(weight.to_vec::<f32>().unwrap(), [3.0, 10.0]);
        assert_eq!(bias.to_vec::<f32>().unwrap(), [9.5, 42.0]);
    }

    #[test]
    fn a_convolution_that_others_read_stays_as_it_is() {
        let mut graph = Graph::new();
        let x = graph.input();
        let y = graph.push(conv(), &[x]).unwrap();
        let z = graph.push(Step::BatchNorm2d(norm()), &[y]).unwrap();
        graph.push(conv(), &[y]).unwrap();
        graph.set_output(z);
        fold_batch_norm(&mut graph).unwrap();
        assert_eq!(graph.outputs(), [z]);
    }
}
