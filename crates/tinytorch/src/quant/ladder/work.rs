//! What the layers of a model multiply: all that their price depends on.

use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, ParamId};
use crate::graph::{ConvGeometry, Step};
use crate::nn::Forward;
use crate::quant::trace::lowered;
use crate::tensor::{Shape, Tensor};
use std::collections::BTreeMap;

/// What a layer does with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// `[.., in]` times `[out, in]`.
    Linear,
    /// A convolution.
    Conv(ConvGeometry),
    /// Rows are looked up, and nothing is multiplied.
    LookUp,
}

/// One use of a weight.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) kind: Kind,
    /// The shape of what the weight multiplies, or the number of rows that are looked up.
    pub(super) input: Shape,
    /// Operations, of which a multiply-add counts as two.
    pub(super) flops: u64,
}

/// The uses of every weight in a pass.
#[derive(Default)]
pub(super) struct Work {
    geometries: BTreeMap<ParamId, ConvGeometry>,
    calls: BTreeMap<ParamId, Vec<Call>>,
    /// The weight of an op that is about to run; rows are looked up without such an announcement.
    multiplying: Option<ParamId>,
}

impl Work {
    /// Watches a pass over an example.
    pub(super) fn of<M, X>(model: &M, example: Option<&X>) -> Result<Work>
    where
        M: Forward<X> + ?Sized,
    {
        let mut work = Work::default();
        let Some(example) = example else { return Ok(work) };
        if let Some(graph) = lowered(model, example)? {
            for node in graph.nodes() {
                if let (Step::Conv2d { geometry, .. }, Some(&weight)) =
                    (&node.step, node.params.first())
                {
                    work.geometries.insert(weight, *geometry);
                }
            }
        }
        model.call(example, &mut Ctx::eval().observed(&mut work))?;
        Ok(work)
    }

    /// The uses of a weight, none if the pass did not reach it.
    pub(super) fn calls(&self, weight: ParamId) -> &[Call] {
        self.calls.get(&weight).map_or(&[], Vec::as_slice)
    }
}

impl Observer for Work {
    fn activation(&mut self, weight: ParamId, _: &Tensor) -> Result<()> {
        self.multiplying = Some(weight);
        Ok(())
    }

    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let (Some(weight), Some(input)) = (run.weight, run.inputs.first()) else { return Ok(()) };
        let multiplies = self.multiplying.take() == Some(weight);
        let (kind, input) = match self.geometries.get(&weight) {
            Some(geometry) if multiplies => (Kind::Conv(*geometry), *input.shape()),
            None if multiplies => (Kind::Linear, *input.shape()),
            _ => {
                let width = run.output.shape().last_dim().max(1);
                (Kind::LookUp, Shape::new(&[run.output.len() / width])?)
            }
        };
        let flops = run.cost.flops;
        self.calls.entry(weight).or_default().push(Call { kind, input, flops });
        Ok(())
    }
}
