use crate::Result;
use crate::graph::{Compute, Exec, Graph, Step};
use crate::tensor::Tensor;
use tinytorch_kernels::Isa;

/// Computes once what depends on constants alone.
pub(super) fn fold_constants(graph: &mut Graph) -> Result<()> {
    let mut exec = Exec::new(Isa::active());
    for edge in graph.edges() {
        let node = graph.node(edge);
        let (Step::Compute(op) | Step::Reshape(op)) = &node.step else { continue };
        let constant = |&input| match &graph.node(input).step {
            Step::Constant(value) => Some(value),
            _ => None,
        };
        let Some(inputs) = node.inputs.iter().map(constant).collect::<Option<Vec<&Tensor>>>()
        else {
            continue;
        };
        let value = Compute::forward(&**op, &inputs, &mut exec)?;
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
        fold_constants(&mut graph).unwrap();
        let sum = graph.node(graph.output().unwrap());
        let Step::Constant(two) = &graph.node(sum.inputs[1]).step else {
            panic!("{:?}", graph.nodes())
        };
        assert_eq!(two.to_vec::<f32>().unwrap(), [2.0, 2.0]);
    }
}
