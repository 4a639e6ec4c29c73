//! Plans that trace their model anew, for sizes that the model takes apart as it runs.

use super::{Plan, PlanError};
use crate::graph::for_dtype;
use crate::tensor::{Dtype, Shape, Tensor};
use crate::{Error, Result};
use std::fmt;
use tinytorch_kernels::Isa;

/// Programs for other sizes that are kept; the oldest makes room.
const PROGRAMS: usize = 8;

/// Compiles the same model for inputs of other sizes.
type Trace = dyn Fn(&[Tensor]) -> Result<Plan> + Send + Sync;

/// How a plan gets a program for sizes that its own has fixed, and those that it got.
pub(super) struct Anew {
    trace: Box<Trace>,
    /// What the inputs of a trace are filled with.
    examples: Vec<Tensor>,
    /// Plans that trace nothing themselves, the oldest first.
    others: Vec<Plan>,
}

impl fmt::Debug for Anew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anew").field("others", &self.others).finish_non_exhaustive()
    }
}

impl Anew {
    /// The same with kernels on `isa`.
    pub(super) fn on(mut self, isa: Isa) -> Anew {
        self.others = self.others.into_iter().map(|plan| plan.on(isa)).collect();
        self
    }

    /// Sums a figure of the plans that are not in use.
    pub(super) fn sum(&self, of: impl Fn(&Plan) -> usize) -> usize {
        self.others.iter().map(of).sum()
    }
}

impl Plan {
    /// The same plan, which calls `trace` with inputs of the sizes that it meets where a step has fixed others: a
    /// recurrent layer that is recorded step by step is another program for each length. `trace` compiles the same
    /// model on them; they hold the values of `examples`, over and over. Such programs are kept, up to eight of them.
    pub fn tracing_anew(
        self,
        examples: &[Tensor],
        trace: impl Fn(&[Tensor]) -> Result<Plan> + Send + Sync + 'static,
    ) -> Plan {
        let (trace, examples) = (Box::new(trace), examples.to_vec());
        Plan { anew: Some(Anew { trace, examples, others: Vec::new() }), ..self }
    }

    /// Finds a program that takes inputs of these sizes, or traces one, and makes their placement the current one.
    pub(super) fn place_anywhere(&mut self, inputs: &[(Shape, Dtype)]) -> Result<()> {
        let others = self.anew.as_ref().map_or(&[][..], |anew| &anew.others);
        let known = others.iter().position(|plan| plan.known(inputs.iter().copied()).is_some());
        if let Some(index) = known {
            self.switch_to(index);
            self.current = self.known(inputs.iter().copied()).unwrap_or(self.current);
            return Ok(());
        }
        let error = match self.place(inputs) {
            Err(error @ Error::Plan(PlanError::FixedSizes { .. })) => error,
            placed => return placed,
        };
        let isa = self.isa();
        let Some(anew) = &mut self.anew else { return Err(error) };
        if let Some(index) = anew.others.iter_mut().position(|plan| plan.place(inputs).is_ok()) {
            self.switch_to(index);
            return Ok(());
        }
        let sized = anew.examples.iter().zip(inputs);
        let sized = sized.map(|(example, (shape, _))| over_and_over(example, *shape));
        let plan = (anew.trace)(&sized.collect::<Result<Vec<_>>>()?)?.on(isa);
        if anew.others.len() == PROGRAMS {
            anew.others.remove(0);
        }
        anew.others.push(Plan { anew: None, ..plan });
        let newest = anew.others.len() - 1;
        self.switch_to(newest);
        Ok(())
    }

    /// Makes one of the other plans this one, and keeps this one as the newest of them.
    fn switch_to(&mut self, index: usize) {
        let Some(mut anew) = self.anew.take() else { return };
        let other = anew.others.remove(index);
        anew.others.push(std::mem::replace(self, other));
        self.anew = Some(anew);
    }
}

/// The values of a tensor in a shape, again and again, or zeros if it has none.
fn over_and_over(example: &Tensor, shape: Shape) -> Result<Tensor> {
    for_dtype!(example.dtype(), T => {
        let values = example.to_vec::<T>()?;
        match values.is_empty() {
            true => Tensor::full(T::default(), shape),
            false => Tensor::from_vec(values.into_iter().cycle().take(shape.len()).collect(), shape),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Var};
    use crate::ops::{Parts, Split};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The sum of all rows, taken apart one by one as a recurrent layer does.
    fn plan_of_rows(x: &Tensor) -> Result<Plan> {
        let mut ctx = Ctx::trace();
        let input = ctx.input(x);
        let parts = Parts::Sizes(vec![1; x.shape()[0]]);
        let rows = ctx.apply_many(Split { axis: 0, parts }, &[Some(&input)])?;
        let sum = |sum: Var, row: &Var, ctx: &mut Ctx<'_>| sum.add(row, ctx);
        let first = rows[0].clone();
        let y = rows[1..].iter().try_fold(first, |all, row| sum(all, row, &mut ctx))?;
        let graph = ctx.into_tape().expect("it traces").lower(&y)?;
        Plan::from_graph(graph, &[x], &BTreeMap::new())
    }

    fn rows(count: usize, width: usize) -> Tensor {
        let values = (0..count * width).map(|i| i as f32).collect();
        Tensor::from_vec(values, [count, width]).unwrap()
    }

    fn column_sums(x: &Tensor) -> Vec<f32> {
        let (values, width) = (x.to_vec::<f32>().unwrap(), x.shape()[1]);
        (0..width).map(|i| values.iter().skip(i).step_by(width).sum()).collect()
    }

    #[test]
    fn a_length_is_traced_once_and_any_width_runs_by_it() {
        let x = rows(3, 2);
        let traced = Arc::new(AtomicUsize::new(0));
        let counter = traced.clone();
        let plan = plan_of_rows(&x).unwrap();
        let mut plan = plan.tracing_anew(std::slice::from_ref(&x), move |inputs| {
            counter.fetch_add(1, Ordering::Relaxed);
            plan_of_rows(&inputs[0])
        });
        let sizes = [(3, 2), (5, 2), (3, 4), (5, 4), (1, 2), (5, 2), (3, 2), (5, 4)];
        for (count, width) in sizes {
            let x = rows(count, width);
            assert_eq!(plan.run(&x).unwrap().to_vec::<f32>().unwrap(), column_sums(&x));
        }
        assert_eq!(traced.load(Ordering::Relaxed), 2, "five rows and one");
    }

    #[test]
    fn programs_for_more_lengths_than_are_kept_make_room() {
        let x = rows(1, 2);
        let plan = plan_of_rows(&x).unwrap();
        let mut plan =
            plan.tracing_anew(std::slice::from_ref(&x), |inputs| plan_of_rows(&inputs[0]));
        for count in (1..=20).chain([3]) {
            let x = rows(count, 2);
            assert_eq!(plan.run(&x).unwrap().to_vec::<f32>().unwrap(), column_sums(&x));
        }
        assert_eq!(plan.anew.as_ref().unwrap().others.len(), PROGRAMS);
    }

    #[test]
    fn without_a_trace_and_where_the_model_does_not_run_a_length_is_an_error() {
        let x = rows(3, 2);
        let error = plan_of_rows(&x).unwrap().run(&rows(4, 2)).unwrap_err();
        assert!(matches!(error, Error::Plan(PlanError::FixedSizes { .. })), "{error}");
        let plan = plan_of_rows(&x).unwrap();
        let failing = |_: &[Tensor]| Err(PlanError::ResultCount { results: 7 }.into());
        let mut plan = plan.tracing_anew(std::slice::from_ref(&x), failing);
        let error = plan.run(&rows(4, 2)).unwrap_err();
        assert!(matches!(error, Error::Plan(PlanError::ResultCount { results: 7 })), "{error}");
        assert_eq!(plan.run(&x).unwrap().to_vec::<f32>().unwrap(), column_sums(&x));
    }
}
