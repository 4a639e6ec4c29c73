//! Functions of each element one after another, a piece of memory at a time.
//!
//! A value that is multiplied by a number, to which another is added, and so on, goes through memory once for each
//! of them, and that takes all the time there is: of the 280 ms of a recognizer of text 134 were such steps. A piece that stays in
//! the cache goes through all of them at once.

use crate::Result;
use crate::graph::{
    Compute, Cost, Edge, Elements, ElementsMut, Exec, Graph, Inputs, Known, Properties, Step, View,
    ViewMut, known,
};
use crate::tensor::parallel::for_each_piece;
use crate::tensor::{Dtype, Shape, Tensor};
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// Elements of a piece: what is read and what is written are 32 KB together, a small first cache.
const PIECE: usize = 4096;

/// Joins functions of each element that read numbers and one value, where nothing else reads what one of them computes.
pub(super) fn fuse_chain(graph: &mut Graph) {
    for edge in graph.firsts() {
        let Some((before, link)) = link(graph, edge) else { continue };
        if !graph.is_read_once(before) {
            continue;
        }
        let Some((start, mut links)) = links(graph, before) else { continue };
        links.push(link);
        let node = graph.node_mut(edge);
        node.step = Step::Compute(Arc::new(Chain(links)));
        node.inputs = vec![Some(start)];
        node.params.clear();
    }
}

/// What a node computes as the beginning of a chain, and of what. The first of a chain takes floats alone, so that the others
/// are given floats.
fn links(graph: &Graph, edge: Edge) -> Option<(Edge, Vec<Link>)> {
    let node = graph.node(edge);
    if let Step::Compute(op) = &node.step
        && let Some(Chain(links)) = (&**op as &dyn Any).downcast_ref::<Chain>()
    {
        return Some((node.input(0)?, links.clone()));
    }
    let (before, link) = link(graph, edge)?;
    let others = [Dtype::I64, Dtype::I32, Dtype::U8, Dtype::I8, Dtype::Bool];
    let takes_floats_alone = others.iter().all(|other| link.gives(*other).is_none());
    takes_floats_alone.then(|| (before, vec![link]))
}

/// A function of each element of a value, beside numbers.
#[derive(Clone, Debug)]
struct Link {
    op: Arc<dyn Compute>,
    /// Its inputs; the value is what is no number.
    inputs: Vec<Option<Tensor>>,
}

/// Inputs that a link may have.
const INPUTS: usize = 2;

/// What a node computes, if it is a function of each element of one value that gives floats.
fn link(graph: &Graph, edge: Edge) -> Option<(Edge, Link)> {
    let node = graph.node(edge);
    let Step::Compute(op) = &node.step else { return None };
    if !op.properties().pointwise || op.output_count() != 1 || node.inputs.len() > INPUTS {
        return None;
    }
    let (mut value, mut inputs) = (None, Vec::new());
    for input in &node.inputs {
        let input = (*input)?;
        let number = number(graph, input);
        if number.is_none() && value.replace(input).is_some() {
            return None;
        }
        inputs.push(number);
    }
    let link = Link { op: op.clone(), inputs };
    (link.gives(Dtype::F32) == Some(Dtype::F32)).then_some((value?, link))
}

/// A constant of one float.
fn number(graph: &Graph, edge: Edge) -> Option<Tensor> {
    let Step::Constant(value) = &graph.node(edge).step else { return None };
    let is_one = value.dtype() == Dtype::F32 && value.len() == 1 && value.rank() <= 1;
    is_one.then(|| value.contiguous().ok()).flatten()
}

impl Link {
    /// The type of what it gives for values of this one.
    fn gives(&self, dtype: Dtype) -> Option<Dtype> {
        let some = Known::only(Shape::new(&[2]).ok()?, dtype);
        self.outputs(some).ok()?.first().map(|(_, dtype)| *dtype)
    }

    fn outputs(&self, value: Known<'_>) -> Result<Vec<(Shape, Dtype)>> {
        let inputs = self.inputs.iter().map(|number| number.as_ref().map_or(value, Known::all));
        self.op.outputs(&inputs.map(Some).collect::<Vec<_>>())
    }

    /// Its inputs where the value is this.
    fn views<'a>(&'a self, value: &'a [f32]) -> Result<[View<'a>; INPUTS]> {
        let shape = Shape::new(&[value.len()])?;
        let mut views = [View { shape, elements: Elements::F32(value) }; INPUTS];
        for (view, number) in views.iter_mut().zip(&self.inputs) {
            if let Some(number) = number {
                *view = View::of(number)?;
            }
        }
        Ok(views)
    }

    fn run(&self, value: &[f32], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let views = self.views(value)?;
        let shape = Shape::new(&[out.len()])?;
        let mut output = [ViewMut { shape, elements: ElementsMut::F32(out) }];
        self.op.run_typed(&Inputs::all(&views[..self.inputs.len()]), &mut output, exec)
    }
}

/// Functions of each element, one after another.
#[derive(Debug)]
struct Chain(Vec<Link>);

impl Compute for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, ..Properties::default() }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let start = known(inputs, 0, self.name())?;
        let mut outputs = vec![(start.shape, start.dtype)];
        for link in &self.0 {
            outputs = link.outputs(Known::only(outputs[0].0, outputs[0].1))?;
        }
        Ok(outputs)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (values, isa) = (inputs[0].f32()?, exec.isa());
        let (work, failed) = (values.len() * self.0.len(), OnceLock::new());
        let memory = (&mut exec.working, PIECE.min(out.len()));
        for_each_piece(out, PIECE, work, memory, |first, memory, out| {
            let mut exec = Exec::new(isa);
            for (i, out) in out.chunks_mut(PIECE).enumerate() {
                let values = &values[(first + i) * PIECE..][..out.len()];
                if let Err(error) = self.run_piece(values, memory, out, &mut exec) {
                    failed.get_or_init(|| error);
                    return;
                }
            }
        });
        failed.into_inner().map_or(Ok(()), Err)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let of_each = self.0.iter().map(|link| link.op.cost(&inputs[..1], output).flops);
        Cost { flops: of_each.sum(), ..Cost::per_element(inputs, output, 0) }
    }
}

impl Chain {
    /// What one link gives the next reads, in `memory` and in `out` by turns, so that the last writes to `out`.
    fn run_piece(
        &self,
        values: &[f32],
        memory: &mut [f32],
        out: &mut [f32],
        exec: &mut Exec,
    ) -> Result<()> {
        let memory = &mut memory[..out.len()];
        for (i, link) in self.0.iter().enumerate() {
            let writes_out = (self.0.len() - i) % 2 == 1;
            match (i, writes_out) {
                (0, true) => link.run(values, out, exec)?,
                (0, false) => link.run(values, memory, exec)?,
                (_, true) => link.run(memory, out, exec)?,
                (_, false) => link.run(out, memory, exec)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var};
    use crate::ops::Scalar;
    use crate::plan::Plan;
    use std::collections::BTreeMap;

    fn number(value: f32) -> Var {
        Var::from(Tensor::from_vec(vec![value], [1]).unwrap())
    }

    fn ops(plan: &mut Plan, inputs: &[&Tensor]) -> Vec<&'static str> {
        plan.run_many(inputs).unwrap();
        plan.steps().iter().map(|step| step.op).collect()
    }

    /// Shorter than a piece, of several, and of so many that threads share them.
    #[test]
    fn a_chain_gives_what_its_links_give_to_the_bit() {
        for shape in [[1, 2, 3, 5], [2, 3, 41, 67], [4, 16, 96, 128]] {
            for links in 1..=4 {
                let x = Tensor::randn(shape, 2.0, &mut Rng::seed(1)).unwrap();
                let mut ctx = Ctx::trace();
                let mut y = ctx.input(&x).mul(&number(1.7), &mut ctx).unwrap();
                for link in 0..links {
                    y = match link {
                        0 => y.add(&number(0.3), &mut ctx).unwrap(),
                        1 => ctx.apply(Scalar::HardSwish, &[&y]).unwrap(),
                        2 => number(2.0).sub(&y, &mut ctx).unwrap(),
                        _ => y.relu(&mut ctx).unwrap(),
                    };
                }
                let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
                let mut plan = Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap();
                let got = plan.run(&x).unwrap();
                assert_eq!(ops(&mut plan, &[&x]), ["chain"], "{shape:?} {links}");
                assert_eq!(got.shape(), y.value().shape());
                assert!(got.to_vec::<f32>().unwrap() == y.value().to_vec::<f32>().unwrap());
            }
        }
    }

    #[test]
    fn other_readers_and_more_than_numbers_are_in_the_way() {
        let x = Tensor::randn([2, 3], 1.0, &mut Rng::seed(1)).unwrap();
        let row = Var::from(Tensor::from_vec(vec![1.0, 2.0, 3.0], [3]).unwrap());
        let of = |make: &dyn Fn(&Var, &mut Ctx<'_>) -> Var| {
            let mut ctx = Ctx::trace();
            let value = ctx.input(&x);
            let y = make(&value, &mut ctx);
            let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
            ops(&mut Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap(), &[&x])
        };
        let twice = of(&|x, ctx| {
            let y = x.mul(&number(2.0), ctx).unwrap();
            let z = y.add(&number(1.0), ctx).unwrap();
            z.mul(&y, ctx).unwrap()
        });
        assert_eq!(twice, ["mul", "add", "mul"]);
        let by_row = of(&|x, ctx| {
            let y = x.mul(&row, ctx).unwrap();
            y.add(&row, ctx).unwrap()
        });
        assert_eq!(by_row, ["mul", "add"]);
    }

    /// A function that takes whatever is cast begins no chain.
    #[test]
    fn integers_stay_what_they_are() {
        let ids = Tensor::from_vec(vec![3i64, -2], [2]).unwrap();
        let mut ctx = Ctx::trace();
        let y = ctx.input(&ids).cast(Dtype::F32, &mut ctx).unwrap();
        let y = y.mul(&number(0.5), &mut ctx).unwrap();
        let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
        let mut plan = Plan::from_graph(graph, &[&ids], &BTreeMap::new()).unwrap();
        assert_eq!(plan.run(&ids).unwrap().to_vec::<f32>().unwrap(), [1.5, -1.0]);
        assert_eq!(ops(&mut plan, &[&ids]), ["cast", "mul"]);
    }
}
