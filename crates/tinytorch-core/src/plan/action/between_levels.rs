//! Ops of floats that read and write levels.

use super::{Action, Operands, Target, first};
use crate::Result;
use crate::graph::{Compute, Cost, ElementsMut, Exec, Inputs, Known, View, ViewMut};
use crate::int8::QParams;
use crate::tensor::{Dtype, Shape};
use std::sync::Arc;
use tinytorch_kernels::int8::{dequantize_u8, quantize_u8};
use tinytorch_kernels::{Ran, Scratch};

/// Elements of a piece: three of them as floats, two inputs and an output, are 48 KB, which stay in a cache
/// of the first or second level.
const PIECE: usize = 4096;

/// Inputs up to which a run allocates nothing.
const FEW: usize = 4;

/// Room for `len` views: in `few` if they fit, else in `many`.
fn list<'v, 'a>(
    len: usize,
    few: &'v mut [View<'a>; FEW],
    many: &'v mut Vec<View<'a>>,
) -> &'v mut [View<'a>] {
    if len <= FEW {
        return &mut few[..len];
    }
    many.resize(len, View::NOTHING);
    many
}

/// An op whose inputs stand for floats and whose output is quantized again: the same bits as dequantizing,
/// the op and quantizing one after the other, without floats in the plan's memory. A pointwise op on
/// values of one shape goes piece by piece.
#[derive(Debug)]
pub(in crate::plan) struct BetweenLevels {
    op: Arc<dyn Compute>,
    inputs: Vec<QParams>,
    output: QParams,
}

impl BetweenLevels {
    /// `op` between levels of these parameters.
    pub(in crate::plan) fn new(op: Arc<dyn Compute>, inputs: &[QParams], output: QParams) -> Self {
        BetweenLevels { op, inputs: inputs.to_vec(), output }
    }

    /// The op on what the levels of `views` stand for; `floats` holds all of it.
    fn compute(
        &self,
        views: &[View<'_>],
        shape: Shape,
        out: &mut [u8],
        floats: &mut [f32],
        exec: &mut Exec,
    ) -> Result<()> {
        let (result, mut rest) = floats.split_at_mut(out.len());
        let mut few = [View::NOTHING; FEW];
        let mut many = Vec::new();
        let inputs = list(views.len(), &mut few, &mut many);
        for ((view, &params), input) in views.iter().zip(&self.inputs).zip(&mut *inputs) {
            let (own, others) = rest.split_at_mut(view.shape.len());
            dequantize_u8(exec.isa(), view.values()?, params, own)?;
            *input = View { shape: view.shape, elements: (&*own).into() };
            rest = others;
        }
        let output = ViewMut { shape, elements: ElementsMut::F32(&mut *result) };
        self.op.run_typed(&Inputs::all(inputs), &mut [output], exec)?;
        Ok(quantize_u8(exec.isa(), result, self.output, out)?)
    }

    /// [`BetweenLevels::compute`] for a pointwise op on values of one shape, piece by piece.
    fn piecewise(
        &self,
        views: &[View<'_>],
        out: &mut [u8],
        working: &mut Scratch,
        exec: &mut Exec,
    ) -> Result<()> {
        let piece = PIECE.min(out.len());
        let floats = working.numbers((views.len() + 1) * piece);
        let mut few = [View::NOTHING; FEW];
        let mut many = Vec::new();
        let pieces = list(views.len(), &mut few, &mut many);
        for (i, out) in out.chunks_mut(PIECE).enumerate() {
            let shape = Shape::new(&[out.len()])?;
            for (view, piece) in views.iter().zip(&mut *pieces) {
                let levels = &view.values::<u8>()?[i * PIECE..][..out.len()];
                *piece = View { shape, elements: levels.into() };
            }
            self.compute(pieces, shape, out, floats, exec)?;
        }
        Ok(())
    }
}

impl Action for BetweenLevels {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn outputs(&self, inputs: &[Known<'_>]) -> Result<Vec<(Shape, Dtype)>> {
        let floats = inputs.iter().map(|known| Some(Known::only(known.shape, Dtype::F32)));
        self.op.outputs(&floats.collect::<Vec<_>>())
    }

    fn keeps_samples_apart(&self) -> bool {
        self.op.properties().sets_samples_apart()
    }

    fn run(&self, operands: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let (views, output) = (operands.views, first(out.outputs)?);
        let (shape, out) = (output.shape, output.values()?);
        let alike = views.iter().all(|view| view.shape == shape);
        let mut working = std::mem::take(&mut exec.working);
        let done = if self.op.properties().pointwise && alike {
            self.piecewise(views, out, &mut working, exec)
        } else {
            let floats = out.len() + views.iter().map(|view| view.shape.len()).sum::<usize>();
            self.compute(views, shape, out, working.numbers(floats), exec)
        };
        exec.working = working;
        exec.ran(Ran::float("between_levels_u8"));
        done
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let read = inputs.iter().map(|shape| shape.len() as u64).sum();
        Cost { read, written: output.len() as u64, ..self.op.cost(inputs, output) }
    }

    fn shares_work(&self, _: &Cost) -> bool {
        false
    }
}
