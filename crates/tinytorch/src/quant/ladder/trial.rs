//! Quantizing a model to see what it costs, and putting the floats back.

use crate::Result;
use crate::autograd::{Ctx, Stored, Var};
use crate::nn::{Forward, Module};
use crate::quant::fold::Fold;
use crate::quant::model::quantize;
use crate::quant::{Calibration, QuantConfig, QuantReport, relative_error};
use crate::tensor::Tensor;

/// Inputs, and what the float model makes of them.
pub(super) struct Judge<'x, X> {
    inputs: &'x [X],
    outputs: Tensor,
}

impl<'x, X> Judge<'x, X> {
    /// Runs the float model.
    pub(super) fn new<M>(model: &M, inputs: &'x [X]) -> Result<Judge<'x, X>>
    where
        M: Forward<X, Output = Var> + ?Sized,
    {
        Ok(Judge { inputs, outputs: outputs(model, inputs)? })
    }

    fn error<M: Forward<X, Output = Var> + ?Sized>(&self, model: &M) -> Result<f64> {
        relative_error(&outputs(model, self.inputs)?, &self.outputs)
    }
}

/// All outputs of a model, one row each.
fn outputs<M, X>(model: &M, inputs: &[X]) -> Result<Tensor>
where
    M: Forward<X, Output = Var> + ?Sized,
{
    let rows = inputs.iter().map(|input| {
        let output = model.forward(input, &mut Ctx::eval())?.into_value();
        let width = output.shape().last_dim().max(1);
        output.reshape([output.len() / width, width])
    });
    Tensor::cat::<f32>(&rows.collect::<Result<Vec<_>>>()?, 0)
}

/// A model that is quantized in one way after another, always from its floats.
pub(super) struct Trials<'m, M: ?Sized> {
    model: &'m mut M,
    folds: Vec<Fold>,
    ranges: Calibration,
    params: Vec<(Stored, bool)>,
    flags: Vec<bool>,
}

impl<'m, M: Module + ?Sized> Trials<'m, M> {
    pub(super) fn new(model: &'m mut M, folds: Vec<Fold>, ranges: Calibration) -> Trials<'m, M> {
        let params = model.named_params().into_iter();
        let params = params.map(|(_, param)| (param.stored().clone(), param.is_frozen())).collect();
        let flags = model.named_flags().into_iter().map(|(_, flag)| flag).collect();
        Trials { model, folds, ranges, params, flags }
    }

    /// The model, float again.
    pub(super) fn model(&self) -> &M {
        self.model
    }

    /// The output error of the model quantized like this.
    pub(super) fn error<X>(&mut self, config: &QuantConfig, judge: &Judge<'_, X>) -> Result<f64>
    where
        M: Forward<X, Output = Var>,
    {
        let error = self.quantize(config).and_then(|_| judge.error(&*self.model));
        self.restore();
        error
    }

    /// Leaves the model quantized like this.
    pub(super) fn keep(mut self, config: &QuantConfig) -> Result<QuantReport> {
        self.quantize(config)
    }

    fn quantize(&mut self, config: &QuantConfig) -> Result<QuantReport> {
        quantize(self.model, &self.folds, &self.ranges, config)
    }

    fn restore(&mut self) {
        let params = self.model.named_params_mut();
        for ((_, param), (stored, frozen)) in params.into_iter().zip(&self.params) {
            param.store(stored.clone());
            param.set_frozen(*frozen);
        }
        for ((_, flag), was) in self.model.named_flags_mut().into_iter().zip(&self.flags) {
            *flag = *was;
        }
    }
}
