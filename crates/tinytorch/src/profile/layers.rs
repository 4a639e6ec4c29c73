//! What the ops of a pass compute, and how long that takes by itself.

use super::LayerRow;
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, ParamId};
use crate::graph::{Compute, ElementsMut, Exec, Inputs, View, ViewMut};
use crate::nn::{Forward, Module};
use crate::tensor::{Dtype, Shape, Tensor};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tinytorch_kernels::Isa;

/// Watches passes and keeps a row for every op.
pub(super) struct Layers {
    names: BTreeMap<ParamId, String>,
    /// Its working memory stays from pass to pass, as that of a plan does.
    exec: Exec,
    last_layer: Option<String>,
    rows: Vec<LayerRow>,
    /// Time of all ops, allocations included.
    in_ops: Duration,
    /// Time that watching took.
    watching: Duration,
}

/// What one pass has shown, which ran longer than others for being watched.
pub(super) struct Computed {
    /// Every op, with the time that it computes.
    pub(super) rows: Vec<LayerRow>,
    /// Nanoseconds between ops.
    pub(super) between: u64,
}

impl Layers {
    pub(super) fn of<M: Module + ?Sized>(model: &M) -> Layers {
        let names = model.named_params().into_iter().map(|(name, param)| (param.id(), name));
        Layers {
            names: names.collect(),
            exec: Exec::new(Isa::active()),
            last_layer: None,
            rows: Vec::new(),
            in_ops: Duration::ZERO,
            watching: Duration::ZERO,
        }
    }

    /// Runs a pass and watches it.
    ///
    /// # Errors
    /// If the model does not run on the input.
    pub(super) fn watched<M: Forward<X> + ?Sized, X>(
        &mut self,
        model: &M,
        input: &X,
    ) -> Result<Computed> {
        let started = Instant::now();
        let output = model.call(input, &mut Ctx::eval().observed(self))?;
        let elapsed = started.elapsed();
        drop(output);
        let besides = std::mem::take(&mut self.watching) + std::mem::take(&mut self.in_ops);
        self.last_layer = None;
        let between = nanoseconds(elapsed.saturating_sub(besides));
        Ok(Computed { rows: std::mem::take(&mut self.rows), between })
    }

    fn name(&mut self, run: &OpRun<'_>) -> String {
        if let Some(name) = run.weight.and_then(|id| self.names.get(&id)) {
            let layer = name.rsplit_once('.').map_or(name.as_str(), |(layer, _)| layer);
            self.last_layer = Some(layer.to_string());
            return name.clone();
        }
        match &self.last_layer {
            Some(layer) => format!("{} (after {layer})", run.op.name()),
            None => run.op.name().to_string(),
        }
    }

    fn watch(&mut self, run: &OpRun<'_>) -> Result<()> {
        // An op of several outputs, or of none but integers, which decide sizes, counts as a whole.
        let alone = match run.output.dtype() {
            Dtype::F32 if run.op.output_count() == 1 => {
                // Only the pass knows which of its inputs an op did without; alone it may refuse the others.
                time_in_place(&**run.op, run.inputs, *run.output.shape(), &mut self.exec)
                    .unwrap_or(run.elapsed)
            }
            _ => run.elapsed,
        };
        // An op that answers with a view of its input is faster than one that writes its output.
        let computing = nanoseconds(alone).min(nanoseconds(run.elapsed));
        let name = self.name(run);
        self.in_ops += run.elapsed;
        self.rows.push(LayerRow {
            name,
            op: run.op.name().into(),
            kernel: run.kernel.name.into(),
            flops: run.cost.flops,
            read_bytes: run.cost.read,
            written_bytes: run.cost.written,
            nanoseconds: computing,
        });
        Ok(())
    }
}

impl Observer for Layers {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let started = Instant::now();
        let watched = self.watch(&run);
        self.watching += started.elapsed();
        watched
    }
}

/// The time of an op that writes into memory which is there already, and touched.
fn time_in_place(
    op: &dyn Compute,
    inputs: &[&Tensor],
    shape: Shape,
    exec: &mut Exec,
) -> Result<Duration> {
    let mut out = vec![0f32; shape.len()];
    // Freshly zeroed pages exist only once something is written to them.
    std::hint::black_box(&mut out).fill(0.0);
    let dense = inputs.iter().map(|tensor| tensor.contiguous()).collect::<Result<Vec<_>>>()?;
    let views = dense.iter().map(View::of).collect::<Result<Vec<_>>>()?;
    let output = ViewMut { shape, elements: ElementsMut::F32(&mut out) };
    let started = Instant::now();
    op.run_typed(&Inputs::all(&views), &mut [output], exec)?;
    Ok(started.elapsed())
}

pub(super) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
