//! What depends on constants alone.

use crate::Result;
use crate::graph::{Exec, Graph, Step};
use crate::tensor::Tensor;
use tinytorch_kernels::Isa;

/// Computes once what depends on constants alone. Of ops with several outputs this is left to the
/// placement.
pub(super) fn fold_constants(graph: &mut Graph, isa: Isa) -> Result<()> {
    let mut exec = Exec::new(isa);
    for edge in graph.firsts() {
        let node = graph.node(edge);
        let Step::Compute(op) = &node.step else { continue };
        if op.output_count() != 1 {
            continue;
        }
        let constant = |input: &Option<_>| match input.map(|input| &graph.node(input).step) {
            Some(Step::Constant(value)) => Some(Some(value)),
            Some(_) => None,
            None => Some(None),
        };
        let inputs = node.inputs.iter().map(constant).collect::<Option<Vec<Option<&Tensor>>>>();
        let Some(inputs) = inputs else { continue };
        let mut values = op.forward_many(&inputs, &mut exec)?;
        let Some(value) = values.pop() else { continue };
        let node = graph.node_mut(edge);
        node.step = Step::Constant(value);
        node.inputs.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::Ctx;

    #[test]
    fn what_no_input_reaches_is_computed_once() {
        let mut ctx = Ctx::trace();
        let x = ctx.input(&Tensor::ones([2]).unwrap());
        let ones = Tensor::ones([2]).unwrap().into();
        let two = crate::autograd::Var::add(&ones, &ones, &mut ctx).unwrap();
        let y = x.add(&two, &mut ctx).unwrap();
        let mut graph = ctx.into_tape().unwrap().lower(&y).unwrap();
        fold_constants(&mut graph, Isa::active()).unwrap();
        let sum = graph.node(graph.outputs()[0]);
        let Step::Constant(two) = &graph.node(sum.input(1).unwrap()).step else {
            panic!("{:?}", graph.nodes())
        };
        assert_eq!(two.to_vec::<f32>().unwrap(), [2.0, 2.0]);
    }
}
