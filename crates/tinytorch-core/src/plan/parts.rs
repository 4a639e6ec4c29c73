//! Large batches, some samples at a time, so that what one step writes is still in a cache when the next one reads it.

use super::placement::Placement;
use super::program::{Instruction, Origin, Program, ValueId};
use super::{Plan, PlanError};
use crate::graph::{View, ViewMut, for_dtype};
use crate::tensor::{Dtype, Shape, Tensor};
use crate::{Error, Result};
use std::time::Duration;

/// Bytes between the layers that are meant to stay in a core's second-level cache.
const CACHE: usize = 1 << 20;

/// Bytes of weights for each byte between the layers from which on weights count: every part reads them once more.
/// ResNet-18, whose float weights are 45 MB, takes 15.8 ms an image as one part of 32 and as 32 parts of one, and 14.7 as
/// parts of two.
const WEIGHTS: usize = 4;

/// Inputs or results of a plan that runs in parts, at most.
const MOST: usize = 8;

impl Plan {
    /// Places the parts of a batch that `whole` is the placement of, if it runs faster in parts: how many samples they have.
    pub(super) fn place_parts(
        &mut self,
        inputs: &[(Shape, Dtype)],
        whole: &Placement,
    ) -> Option<usize> {
        let batch = batch_of(inputs)?;
        if inputs.len().max(self.program.results.len()) > MOST
            || !self.program.keeps_samples_apart(whole)
        {
            return None;
        }
        let wanted = CACHE.max(self.program.weight_bytes() / WEIGHTS);
        let at_once = (wanted / whole.bytes.div_ceil(batch).max(1)).max(1);
        let count = batch.div_ceil(at_once.saturating_mul(rayon::current_num_threads()));
        let part = batch.div_ceil(count);
        for samples in [part, batch % part] {
            if samples == 0 || samples == batch {
                continue;
            }
            let inputs = inputs.iter().map(|(shape, dtype)| (shape.with(0, samples), *dtype));
            let inputs: Vec<_> = inputs.collect();
            let placement = self.placement(&inputs).ok()?;
            if !self.program.is_part(whole, batch, &placement, samples) {
                return None;
            }
            if self.known(inputs.iter().copied()).is_none() {
                self.keep(placement);
            }
        }
        (part < batch).then_some(part)
    }

    /// [`Plan::execute`] on so many samples at a time.
    pub(super) fn execute_in_parts(
        &mut self,
        part: usize,
        inputs: &[View<'_>],
        results: &mut [ViewMut<'_>],
        mut times: Option<&mut Vec<Duration>>,
    ) -> Result<()> {
        let batch = inputs[0].shape[0];
        let done = (0..batch).step_by(part).try_for_each(|start| {
            let samples = start..batch.min(start + part);
            let mut seen = [View::NOTHING; MOST];
            for (seen, input) in seen.iter_mut().zip(inputs) {
                let of_one = input.elements.len() / batch;
                let elements = input.elements.range(samples.start * of_one..samples.end * of_one);
                *seen = View { shape: input.shape.with(0, samples.len()), elements };
            }
            let seen = &seen[..inputs.len()];
            self.prepare(seen.iter().map(|view| (view.shape, view.dtype())))?;
            let mut written: [ViewMut<'_>; MOST] = std::array::from_fn(|_| ViewMut::nothing());
            let count = results.len();
            for (i, (written, result)) in written.iter_mut().zip(&mut *results).enumerate() {
                let of_one = result.elements.len() / batch;
                let elements = result.elements.range(samples.start * of_one..samples.end * of_one);
                *written = ViewMut { shape: self.result(i).0, elements };
            }
            let mut own = Vec::new();
            let timed = times.is_some().then_some(&mut own);
            let done = self.execute_whole(seen, &mut written[..count], timed);
            if let Some(times) = times.as_deref_mut() {
                times.resize(own.len(), Duration::ZERO);
                times.iter_mut().zip(own).for_each(|(time, own)| *time += own);
            }
            done.map_err(|error| in_whole(error, start * (inputs[0].elements.len() / batch)))
        });
        self.prepare(inputs.iter().map(|view| (view.shape, view.dtype())))?;
        done
    }
}

/// The number of samples that all inputs have, if they have one.
fn batch_of(inputs: &[(Shape, Dtype)]) -> Option<usize> {
    let batch = *inputs.first()?.0.dims().first()?;
    let same = |(shape, _): &(Shape, Dtype)| shape.dims().first() == Some(&batch);
    (batch > 1 && inputs.iter().all(same)).then_some(batch)
}

/// The error of a part in terms of the whole input.
fn in_whole(error: Error, start: usize) -> Error {
    match error {
        Error::Plan(PlanError::NotFinite { index, value }) => {
            PlanError::NotFinite { index: start + index, value }.into()
        }
        other => other,
    }
}

impl Program {
    /// Whether no step that runs lets samples of a batch meet.
    fn keeps_samples_apart(&self, placement: &Placement) -> bool {
        let mut running = self.instructions.iter().zip(&placement.runs).filter(|(_, runs)| **runs);
        running.all(|(instruction, _)| instruction.action.keeps_samples_apart())
    }

    /// Whether `part` places some samples of what `whole` does, and all other values are the same.
    fn is_part(&self, whole: &Placement, batch: usize, part: &Placement, samples: usize) -> bool {
        let scales = |id: ValueId| {
            let (whole, part) = (whole.shapes[id].dims(), part.shapes[id].dims());
            match (whole.split_first(), part.split_first()) {
                (Some((all, whole)), Some((some, part))) => {
                    whole == part && all * samples == some * batch
                }
                _ => false,
            }
        };
        let is_batch = |id: ValueId| whole.decided[self.root(id)].is_none();
        let fits = |instruction: &Instruction| {
            let rank = |id: ValueId| whole.shapes[id].rank();
            let mut batches = instruction.inputs.iter().copied().filter(|&id| is_batch(id));
            let first = batches.clone().next().map(rank);
            let reads = batches.all(|id| scales(id) && Some(rank(id)) == first);
            let mut others = instruction.inputs.iter().copied().filter(|&id| !is_batch(id));
            reads
                && others.all(|id| self.is_same(whole, part, id))
                && instruction.outputs.iter().all(|&id| scales(id))
        };
        let mut running = self.instructions.iter().zip(&whole.runs).filter(|(_, runs)| **runs);
        whole.runs == part.runs
            && running.all(|(instruction, _)| fits(instruction))
            && self.results.iter().all(|&id| is_batch(id) && scales(id))
    }

    /// Whether a value that sizes and constants decide is the same in both.
    fn is_same(&self, whole: &Placement, part: &Placement, id: ValueId) -> bool {
        let root = self.root(id);
        if matches!(self.values[root].origin, Origin::Constant(_)) {
            return whole.shapes[id] == part.shapes[id];
        }
        match (&whole.decided[root], &part.decided[root]) {
            (Some(whole), Some(part)) => are_equal(whole, part).unwrap_or(false),
            _ => false,
        }
    }
}

fn are_equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    if a.shape() != b.shape() || a.dtype() != b.dtype() {
        return Ok(false);
    }
    for_dtype!(a.dtype(), T => Ok(a.to_vec::<T>()? == b.to_vec::<T>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Param, Role, Var};
    use crate::geometry::ConvGeometry;
    use std::collections::BTreeMap;

    fn plan(x: &Tensor, model: impl Fn(&Var, &mut Ctx<'_>) -> Result<Var>) -> Plan {
        let mut ctx = Ctx::trace();
        let input = ctx.input(x);
        let y = model(&input, &mut ctx).unwrap();
        let graph = ctx.into_tape().unwrap().lower(&y).unwrap();
        Plan::from_graph(graph, &[x], &BTreeMap::new()).unwrap()
    }

    fn convolutions(x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut rng = Rng::seed(7);
        let geometry = ConvGeometry { padding: [[1; 2]; 2], ..ConvGeometry::default() };
        let first = Param::new(Tensor::randn([16, 3, 3, 3], 0.3, &mut rng)?, Role::Vector);
        let next = Param::new(Tensor::randn([16, 16, 3, 3], 0.1, &mut rng)?, Role::Vector);
        let last = Param::new(Tensor::randn([5, 16], 0.3, &mut rng)?, Role::Vector);
        let y = x.conv2d(&first, None, geometry, ctx)?.relu(ctx)?;
        let z = y.conv2d(&next, None, geometry, ctx)?.add(&y, ctx)?;
        z.global_avg_pool2d(ctx)?.flatten(1, 3, ctx)?.linear(&last, None, ctx)
    }

    fn images(batch: usize) -> Tensor {
        Tensor::randn([batch, 3, 64, 64], 1.0, &mut Rng::seed(9)).unwrap()
    }

    fn part_of(plan: &Plan) -> Option<usize> {
        plan.placements[plan.current].part
    }

    fn on_two_threads<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap().install(run)
    }

    fn row(y: &Tensor, i: usize) -> Vec<f32> {
        let width = y.shape().last_dim();
        y.to_vec::<f32>().unwrap()[i * width..][..width].to_vec()
    }

    #[test]
    fn a_batch_that_outgrows_the_cache_runs_in_parts_with_the_same_bits() {
        on_two_threads(|| {
            let x = images(61);
            let mut plan = plan(&x, convolutions);
            let part = part_of(&plan).expect("61 images outgrow it");
            assert!(part < 61 && 61 % part != 0, "parts of {part}");
            let y = plan.run(&x).unwrap();
            let held = plan.arena_bytes();
            for i in [0, part - 1, part, 60] {
                let one = plan.run(&x.slice(0, i..i + 1).unwrap()).unwrap();
                assert_eq!(row(&y, i), row(&one, 0), "sample {i}");
            }
            assert_eq!(plan.arena_bytes(), held, "a part needs more than a sample");
            assert!(held < 61 * 16 * 64 * 64 * 4 / 4, "{held} bytes");
        });
    }

    #[test]
    fn what_fits_the_cache_runs_at_once() {
        let x = images(2);
        assert_eq!(part_of(&plan(&x, |x, ctx| x.relu(ctx))), None);
    }

    #[test]
    fn where_samples_meet_a_batch_stays_whole() {
        on_two_threads(|| {
            let x = Tensor::randn([64, 40_000], 1.0, &mut Rng::seed(3)).unwrap();
            let twice = |y: &Var, ctx: &mut Ctx<'_>| y.relu(ctx)?.exp(ctx);
            assert!(part_of(&plan(&x, |x, ctx| twice(x, ctx)?.softmax(1, ctx))).is_some());
            assert_eq!(part_of(&plan(&x, |x, ctx| twice(x, ctx)?.softmax(0, ctx))), None);
            let sums = |x: &Var, ctx: &mut Ctx<'_>| {
                let sum = x.sum_axis(0, true, ctx)?;
                twice(x, ctx)?.add(&sum, ctx)
            };
            assert_eq!(part_of(&plan(&x, sums)), None);
            // A row for each sample of a batch of 64, and no other.
            let own = |x: &Var, ctx: &mut Ctx<'_>| {
                let rows = Var::from(Tensor::randn([64, 1], 1.0, &mut Rng::seed(4))?);
                twice(x, ctx)?.add(&rows, ctx)
            };
            assert_eq!(part_of(&plan(&x, own)), None);
        });
    }

    #[test]
    fn a_value_that_is_not_finite_is_named_by_its_place_in_the_whole_input() {
        let error = in_whole(PlanError::NotFinite { index: 3, value: f32::NAN }.into(), 40);
        assert!(matches!(error, Error::Plan(PlanError::NotFinite { index: 43, .. })), "{error}");
    }

    #[test]
    fn steps_of_a_run_in_parts_are_timed_together() {
        on_two_threads(|| {
            let x = images(61);
            let mut plan = plan(&x, convolutions);
            let steps = plan.steps().len();
            assert_eq!(plan.profile(&x).unwrap().len(), steps + 1);
        });
    }
}
