//! Quantizing a model or one layer of it to see what that costs, and putting the floats back.

use crate::Result;
use crate::autograd::{Ctx, Stored};
use crate::nn::{Forward, Module, Outputs};
use crate::quant::apply::{changes_by, changes_of};
use crate::quant::changes::Changes;
use crate::quant::{Prepared, QuantConfig, QuantReport, Scheme, apply, relative_error};
use crate::tensor::{Dtype, Tensor};

/// Inputs, and what the float model makes of them.
pub(super) struct Judge<'x, X> {
    inputs: &'x [X],
    outputs: Vec<Tensor>,
}

impl<'x, X> Judge<'x, X> {
    /// Runs the float model.
    pub(super) fn new<M>(model: &M, inputs: &'x [X]) -> Result<Judge<'x, X>>
    where
        M: Forward<X> + ?Sized,
    {
        Ok(Judge { inputs, outputs: outputs(model, inputs)? })
    }

    /// The root of the sum of squares over the outputs, each relative to its own size: no output is off by
    /// more.
    fn error<M: Forward<X> + ?Sized>(&self, model: &M) -> Result<f64> {
        let got = outputs(model, self.inputs)?;
        let pairs = got.iter().zip(&self.outputs);
        let mut errors = pairs.map(|(got, want)| relative_error(got, want));
        errors.try_fold(0.0, |sum: f64, error| Ok(sum.hypot(error?)))
    }
}

/// All float outputs of a model, those of each batch below those of the one before.
fn outputs<M, X>(model: &M, inputs: &[X]) -> Result<Vec<Tensor>>
where
    M: Forward<X> + ?Sized,
{
    let mut rows: Vec<Vec<Tensor>> = Vec::new();
    for input in inputs {
        let output = model.call(input, &mut Ctx::eval())?;
        let floats = output.vars().into_iter().filter(|var| var.value().dtype() == Dtype::F32);
        for (i, var) in floats.enumerate() {
            let width = var.shape().last_dim().max(1);
            if rows.len() == i {
                rows.push(Vec::new());
            }
            rows[i].push(var.value().reshape([var.shape().len() / width, width])?);
        }
    }
    rows.iter().map(|rows| Tensor::cat::<f32>(rows, 0)).collect()
}

/// A model that is quantized in one way after another, always from its floats.
pub(super) struct Trials<'m, M: ?Sized> {
    model: &'m mut M,
    prepared: Prepared,
}

impl<'m, M: Module + ?Sized> Trials<'m, M> {
    pub(super) fn new(model: &'m mut M, prepared: Prepared) -> Trials<'m, M> {
        Trials { model, prepared }
    }

    /// The model, which is float between trials.
    pub(super) fn model(&self) -> &M {
        self.model
    }

    /// The output error of the model quantized like this.
    pub(super) fn error<X>(&mut self, config: &QuantConfig, judge: &Judge<'_, X>) -> Result<f64>
    where
        M: Forward<X>,
    {
        let (changes, _) = changes_of(&*self.model, &self.prepared.with_config(config)?)?;
        self.error_after(changes, judge)
    }

    /// The output error of the float model with one weight stored like this, and what is then stored.
    pub(super) fn error_of_layer<X>(
        &mut self,
        layer: &str,
        scheme: Scheme,
        judge: &Judge<'_, X>,
    ) -> Result<(f64, Option<Stored>)>
    where
        M: Forward<X>,
    {
        let only = |name: &str| if name == layer { scheme } else { Scheme::Float };
        let (changes, _) = changes_by(&*self.model, &self.prepared, &only)?;
        let int8 = changes.stored.values().find(|stored| matches!(stored, Stored::Int8(_)));
        let int8 = int8.cloned();
        Ok((self.error_after(changes, judge)?, int8))
    }

    fn error_after<X>(&mut self, changes: Changes, judge: &Judge<'_, X>) -> Result<f64>
    where
        M: Forward<X>,
    {
        let undo = changes.try_out(self.model);
        let error = judge.error(&*self.model);
        undo.put_back(self.model);
        error
    }

    /// Leaves the model quantized like this.
    pub(super) fn keep(self, config: &QuantConfig) -> Result<QuantReport> {
        apply(self.model, &self.prepared.with_config(config)?)
    }
}
