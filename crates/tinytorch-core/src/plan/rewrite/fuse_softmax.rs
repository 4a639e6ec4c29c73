//! Scores that are scaled and masked, as attention is spelled op by op, into the softmax that reads them: what lies in between
//! stays in the first-level cache.

use crate::Result;
use crate::graph::{Compute, Cost, Edge, Elements, Exec, Graph, Properties, Step, View};
use crate::tensor::{Shape, elementwise, parallel, view};
use std::sync::Arc;
use tinytorch_kernels::f32::{functions, map, rows, zip_in_place};

/// Rows that are scaled, masked and weighed before the next ones are.
const TOGETHER: usize = 8;

/// Lets a softmax read the scores of the sum, and of the product with a number, that nothing else reads.
pub(super) fn fuse_softmax(graph: &mut Graph) {
    for edge in graph.firsts() {
        let node = graph.node(edge);
        let Step::Compute(softmax) = &node.step else { continue };
        let (Some(axis), Some(sum)) = (softmax.properties().weighs, node.input(0)) else {
            continue;
        };
        let Some([a, b]) = pair(graph, sum, |facts| facts.sums) else { continue };
        let scaled = [[a, b], [b, a]].into_iter().find_map(|[product, mask]| {
            let [x, y] = pair(graph, product, |facts| facts.multiplies)?;
            let scaled = |[x, factor]: [Edge; 2]| Some((x, number(graph, factor)?, mask));
            scaled([x, y]).or_else(|| scaled([y, x]))
        });
        let Some((scores, factor, mask)) = scaled else { continue };
        let fused = ThenSoftmax { softmax: softmax.clone(), axis, factor };
        let node = graph.node_mut(edge);
        node.step = Step::Compute(Arc::new(fused));
        node.inputs = vec![Some(scores), Some(mask)];
    }
}

/// The two inputs of an op with a fact that nothing but one reader follows.
fn pair(graph: &Graph, edge: Edge, fact: impl Fn(Properties) -> bool) -> Option<[Edge; 2]> {
    let node = graph.node(edge);
    match node.inputs[..] {
        [Some(a), Some(b)] if graph.is_read_once(edge) && fact(node.step.properties()) => {
            Some([a, b])
        }
        _ => None,
    }
}

/// A constant of one float, which adds no axes.
fn number(graph: &Graph, edge: Edge) -> Option<f32> {
    let value = graph.constant_at(Some(edge), "softmax").ok()?;
    let values = value.to_vec::<f32>().ok()?;
    (value.rank() <= 1 && values.len() == 1).then(|| values[0])
}

/// The softmax of the first input times a number plus the second one, to the bit what the three ops give.
#[derive(Debug)]
struct ThenSoftmax {
    softmax: Arc<dyn Compute>,
    axis: usize,
    factor: f32,
}

impl ThenSoftmax {
    /// Row by row, where rows are what is weighed and the mask has as long ones.
    fn weigh_rows(
        &self,
        [scores, mask]: [&View<'_>; 2],
        out: &mut [f32],
        exec: &mut Exec,
    ) -> Result<()> {
        let (shape, keys, isa) = (scores.shape, scores.shape.last_dim(), exec.isa());
        let strides = view::stretched_strides(&mask.shape, &shape);
        let (x, mask, scale) = (scores.f32()?, mask.f32()?, self.factor);
        let memory = (&mut exec.working, TOGETHER * keys);
        parallel::for_each_piece(out, keys, 14 * x.len(), memory, |first, memory, out| {
            for (i, out) in out.chunks_mut(TOGETHER * keys).enumerate() {
                let (row, masked) = (first + i * TOGETHER, &mut memory[..out.len()]);
                let x = &x[row * keys..][..out.len()];
                map(isa, functions::Affine { scale, shift: 0.0 }, x, masked);
                for (row, masked) in (row..).zip(masked.chunks_exact_mut(keys)) {
                    let mask = &mask[view::row_start(&shape, &strides, row)..][..keys];
                    zip_in_place(isa, functions::Add, masked, mask);
                }
                rows::softmax(isa, keys, masked, out);
            }
        });
        Ok(())
    }
}

impl Compute for ThenSoftmax {
    fn name(&self) -> &'static str {
        "mul + add + softmax"
    }

    fn properties(&self) -> Properties {
        let Properties { keeps_samples_apart, .. } = self.softmax.properties();
        Properties { keeps_samples_apart, ..Properties::default() }
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.softmax.shape(&[inputs[0].broadcast(&inputs[1], self.name())?])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (scores, mask) = (&inputs[0], &inputs[1]);
        let shape = scores.shape.broadcast(&mask.shape, self.name())?;
        let are_rows = self.axis + 1 == shape.rank() && mask.shape.last_dim() == shape.last_dim();
        if are_rows && shape == scores.shape && !shape.is_empty() {
            return self.weigh_rows([scores, mask], out, exec);
        }
        let mut masked = vec![0f32; shape.len()];
        let operands = [(&scores.shape, scores.f32()?), (&mask.shape, mask.f32()?)];
        elementwise::zip_into(&shape, operands, |x, mask| x * self.factor + mask, &mut masked);
        self.softmax.run(&[View { shape, elements: Elements::F32(&masked) }], out, exec)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 14)
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Var};
    use crate::plan::Plan;
    use crate::{Rng, Tensor};
    use std::collections::BTreeMap;

    fn randn(shape: &[usize], seed: u64) -> Tensor {
        Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
    }

    /// The plan of `softmax(x factor + mask)` along an axis, and what the ops give.
    fn masked(
        shape: &[usize],
        mask: &[usize],
        axis: usize,
        swapped: bool,
    ) -> (Plan, Tensor, Tensor) {
        let (x, mask) = (randn(shape, 1), Var::from(randn(mask, 2)));
        let factor = Var::from(Tensor::from_vec(vec![0.3f32], []).unwrap());
        let mut ctx = Ctx::trace();
        let input = ctx.input(&x);
        let scaled = match swapped {
            true => factor.mul(&input, &mut ctx).unwrap(),
            false => input.mul(&factor, &mut ctx).unwrap(),
        };
        let sum = match swapped {
            true => mask.add(&scaled, &mut ctx).unwrap(),
            false => scaled.add(&mask, &mut ctx).unwrap(),
        };
        let y = sum.softmax(axis, &mut ctx).unwrap();
        let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
        let plan = Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap();
        (plan, x, y.value().clone())
    }

    #[test]
    fn one_step_gives_to_the_bit_what_three_give() {
        for (shape, mask, axis) in [
            (&[2, 3, 19, 37][..], &[2, 1, 19, 37][..], 3),
            (&[2, 3, 19, 37], &[37], 3),
            (&[2, 3, 19, 37], &[3, 1, 37], 3),
            (&[2, 3, 19, 37], &[2, 1, 19, 1], 3),
            (&[3, 1, 37], &[2, 3, 19, 37], 3),
            (&[2, 5, 7], &[5, 7], 1),
            (&[0, 5], &[5], 1),
        ] {
            for swapped in [false, true] {
                let (mut plan, x, want) = masked(shape, mask, axis, swapped);
                assert_eq!(plan.steps().len(), 1, "{shape:?} {mask:?}");
                assert_eq!(plan.steps()[0].op, "mul + add + softmax");
                let got = plan.run(&x).unwrap();
                assert_eq!(got.shape(), want.shape());
                let bits = |t: &Tensor| -> Vec<u32> {
                    t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect()
                };
                assert_eq!(bits(&got), bits(&want), "{shape:?} {mask:?}");
            }
        }
    }

    #[test]
    fn other_readers_and_factors_that_are_no_number_are_in_the_way() {
        for (other_reader, factor) in [(true, vec![0.3f32]), (false, vec![0.3; 4])] {
            let (x, mask) = (randn(&[2, 4], 1), Var::from(randn(&[4], 2)));
            let len = factor.len();
            let factor = Var::from(Tensor::from_vec(factor, [len]).unwrap());
            let mut ctx = Ctx::trace();
            let scaled = ctx.input(&x).mul(&factor, &mut ctx).unwrap();
            let mut y = scaled.add(&mask, &mut ctx).unwrap().softmax(1, &mut ctx).unwrap();
            if other_reader {
                y = y.add(&scaled, &mut ctx).unwrap();
            }
            let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
            let plan = Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap();
            assert!(plan.steps().iter().any(|step| step.op == "softmax"));
        }
    }
}
