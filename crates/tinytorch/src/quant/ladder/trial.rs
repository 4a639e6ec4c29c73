//! Quantizing a model or one layer of it to see what that costs, and putting the floats back.

use crate::Result;
use crate::autograd::{Ctx, Stored};
use crate::nn::{Forward, Module, Outputs};
use crate::quant::apply::{apply_corrected, changes_by, changes_of};
use crate::quant::changes::Changes;
use crate::quant::correct::{Corrections, Corrector, Fitting};
use crate::quant::fold::Fold;
use crate::quant::{Prepared, QuantConfig, QuantError, QuantReport, Scheme, relative_error};
use crate::tensor::{Dtype, Tensor};
use std::collections::BTreeMap;
use tinytorch_kernels::os::give_back_if_wanted;

/// Answers of a class that have to change before it may be called lost: one or two are chance where there
/// are many classes.
const FEWEST_CHANGED: usize = 3;

/// A class is lost unless it may keep this share of its answers, with 95 % confidence.
const KEPT: f64 = 0.9;

/// How many times the budget a lost class weighs: enough that whatever saves it is worth more than any
/// rounding.
const WEIGHT_OF_A_CLASS: f64 = 2.0;

/// Batches on which layers are tried for the sake of a lost class.
const BATCHES_OF_A_CLASS: usize = 8;

/// Inputs, and what the float model makes of them.
pub(super) struct Judge<'x, X> {
    inputs: Vec<&'x X>,
    outputs: Vec<Tensor>,
    /// More inputs, by which classes alone are judged: a rare one may be in none of the others.
    more: Vec<&'x X>,
    more_outputs: Vec<Tensor>,
    /// Whether the first output has a number for each class.
    has_classes: bool,
}

/// How far a model's outputs are from the float model's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Off {
    /// Of each float output, relative to what that output varies by.
    pub(super) errors: Vec<f64>,
    /// The class that has lost its answers, if one has; of several that with the fewest left. A class is the
    /// place of the float model's largest number in a row of the first output.
    pub(super) lost: Option<usize>,
}

impl Off {
    /// The error of the output that is furthest off, as an audit judges; NaN is furthest.
    pub(super) fn error(&self) -> f64 {
        self.errors.iter().copied().max_by(f64::total_cmp).unwrap_or(0.0)
    }

    /// The error as the search sees it: a class is beyond any budget.
    pub(super) fn against(&self, max_error: f64) -> f64 {
        match self.lost {
            Some(_) => self.error().max(WEIGHT_OF_A_CLASS * max_error),
            None => self.error(),
        }
    }
}

impl<'x, X> Judge<'x, X> {
    /// Runs the float model on inputs to judge by, and on more of which only lost classes count.
    pub(super) fn new<M>(
        model: &M,
        inputs: Vec<&'x X>,
        more: Vec<&'x X>,
        has_classes: bool,
    ) -> Result<Judge<'x, X>>
    where
        M: Forward<X> + ?Sized,
    {
        let (of_inputs, of_more) = (outputs(model, &inputs, None)?, outputs(model, &more, None)?);
        for (output, values) in of_inputs.iter().enumerate() {
            if values.to_vec::<f32>()?.iter().any(|value| !value.is_finite()) {
                return Err(QuantError::Outputs { output }.into());
            }
        }
        Ok(Judge { inputs, outputs: of_inputs, more, more_outputs: of_more, has_classes })
    }

    /// Batches that a model runs to be judged.
    pub(super) fn batches(&self) -> usize {
        self.inputs.len() + self.more.len()
    }

    /// How far a model is off, which is corrected as it runs if it is to be.
    fn off<M: Forward<X> + ?Sized>(
        &self,
        model: &M,
        corrector: Option<&Corrector<'x, X>>,
    ) -> Result<Off> {
        let mut fitting = corrector.map(|corrector| corrector.fitting(model));
        let got = outputs(model, &self.inputs, fitting.as_mut())?;
        let pairs = got.iter().zip(&self.outputs);
        let errors = pairs.map(|(got, want)| relative_error(got, want)).collect::<Result<_>>()?;
        if !self.has_classes {
            return Ok(Off { errors, lost: None });
        }
        let more = outputs(model, &self.more, None)?;
        let mut classes = Classes::default();
        for (got, want) in [(&got, &self.outputs), (&more, &self.more_outputs)] {
            if let ([got, ..], [want, ..]) = (&got[..], &want[..]) {
                classes.add(got, want)?;
            }
        }
        Ok(Off { errors, lost: classes.lost() })
    }

    /// The batches of all that hold the most answers of a class.
    pub(super) fn batches_of<M>(&self, model: &M, class: usize) -> Result<Vec<&'x X>>
    where
        M: Forward<X> + ?Sized,
    {
        let mut counted = Vec::new();
        for &input in self.inputs.iter().chain(&self.more) {
            let Some(output) = outputs(model, &[input], None)?.into_iter().next() else { continue };
            let answers = output.argmax_last()?.to_vec::<i64>()?;
            let count = answers.iter().filter(|&&a| usize::try_from(a) == Ok(class)).count();
            if count > 0 {
                counted.push((count, input));
            }
        }
        counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        Ok(counted.into_iter().take(BATCHES_OF_A_CLASS).map(|(_, input)| input).collect())
    }
}

/// How many of the answers of each class are as they were.
#[derive(Default)]
struct Classes {
    /// Answers, and those that are the same, by class.
    counts: BTreeMap<usize, (usize, usize)>,
}

impl Classes {
    fn add(&mut self, got: &Tensor, want: &Tensor) -> Result<()> {
        if want.shape().last_dim() < 2 || got.shape() != want.shape() {
            return Ok(());
        }
        let (got, want) =
            (got.argmax_last()?.to_vec::<i64>()?, want.argmax_last()?.to_vec::<i64>()?);
        for (got, want) in got.iter().zip(&want) {
            let count = self.counts.entry(usize::try_from(*want).unwrap_or(0)).or_default();
            count.0 += 1;
            count.1 += usize::from(got == want);
        }
        Ok(())
    }

    fn lost(&self) -> Option<usize> {
        let is_lost = |&(all, same): &(usize, usize)| {
            all - same >= FEWEST_CHANGED && most_of_share(same as f64, all as f64) < KEPT
        };
        let lost = self.counts.iter().filter(|(_, count)| is_lost(count));
        let left = |(all, same): (usize, usize)| same as f64 / all as f64;
        lost.min_by(|a, b| left(*a.1).total_cmp(&left(*b.1))).map(|(class, _)| *class)
    }
}

/// The upper end of the 95 % interval of a share (Wilson, 1927).
fn most_of_share(hits: f64, n: f64) -> f64 {
    const Z2: f64 = 3.841_459;
    let share = hits / n;
    let half = (Z2 * (share * (1.0 - share) / n + Z2 / (4.0 * n * n))).sqrt();
    (share + Z2 / (2.0 * n) + half) / (1.0 + Z2 / n)
}

/// All float outputs of a model, those of each batch below those of the one before.
fn outputs<M, X>(
    model: &M,
    inputs: &[&X],
    mut fitting: Option<&mut Fitting<'_>>,
) -> Result<Vec<Tensor>>
where
    M: Forward<X> + ?Sized,
{
    let mut rows: Vec<Vec<Tensor>> = Vec::new();
    for input in inputs {
        let output = match &mut fitting {
            Some(fitting) => fitting.pass(model, input)?,
            None => model.call(input, &mut Ctx::eval())?,
        };
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

    /// The norms that convolutions can do.
    pub(super) fn folds(&self) -> &[Fold] {
        &self.prepared.folds
    }

    /// How far the outputs of the model quantized like this are off, with its means corrected if they are to be.
    pub(super) fn off<X>(
        &mut self,
        config: &QuantConfig,
        judge: &Judge<'_, X>,
        corrector: Option<&Corrector<'_, X>>,
    ) -> Result<Off>
    where
        M: Forward<X>,
    {
        let prepared = self.prepared.with_config(config)?;
        let corrections = self.corrections(&prepared, corrector)?;
        let (changes, _) = changes_of(&*self.model, &prepared, &corrections)?;
        let off = self.off_after(changes, judge, None);
        // The int8 weights were a quarter of the model, and what lay between them is free now.
        give_back_if_wanted();
        off
    }

    fn corrections<X>(
        &mut self,
        prepared: &Prepared,
        corrector: Option<&Corrector<'_, X>>,
    ) -> Result<Corrections>
    where
        M: Forward<X>,
    {
        let none = Corrections::new();
        let Some(corrector) = corrector else { return Ok(none) };
        let (changes, _) = changes_of(&*self.model, prepared, &none)?;
        let undo = changes.try_out(self.model);
        let corrections = corrector.corrections(&*self.model);
        undo.put_back(self.model);
        give_back_if_wanted();
        corrections
    }

    /// How far the outputs of the float model with one weight stored like this are off, and what is then
    /// stored. The corrector is that of the judge's inputs.
    pub(super) fn off_with_layer<'x, X>(
        &mut self,
        layer: &str,
        scheme: Scheme,
        judge: &Judge<'x, X>,
        corrector: Option<&Corrector<'x, X>>,
    ) -> Result<(Off, Option<Stored>)>
    where
        M: Forward<X>,
    {
        let only = |name: &str| if name == layer { scheme } else { Scheme::Float };
        let none = Corrections::new();
        let (changes, _) = changes_by(&*self.model, &self.prepared, &only, &none)?;
        let int8 = changes.stored.values().find(|stored| matches!(stored, Stored::Int8(_)));
        let int8 = int8.cloned();
        Ok((self.off_after(changes, judge, corrector)?, int8))
    }

    fn off_after<'x, X>(
        &mut self,
        changes: Changes,
        judge: &Judge<'x, X>,
        corrector: Option<&Corrector<'x, X>>,
    ) -> Result<Off>
    where
        M: Forward<X>,
    {
        let undo = changes.try_out(self.model);
        let off = judge.off(&*self.model, corrector);
        undo.put_back(self.model);
        off
    }

    /// Leaves the model quantized like this.
    pub(super) fn keep<X>(
        mut self,
        config: &QuantConfig,
        corrector: Option<&Corrector<'_, X>>,
    ) -> Result<QuantReport>
    where
        M: Forward<X>,
    {
        let prepared = self.prepared.with_config(config)?;
        let corrections = self.corrections(&prepared, corrector)?;
        apply_corrected(self.model, &prepared, &corrections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class of so many answers, so many of which have changed.
    fn lost(all: usize, changed: usize) -> bool {
        let rows = |changed: usize| {
            let row = |i: usize| if i < changed { [0.0f32, 1.0] } else { [1.0, 0.0] };
            Tensor::from_vec((0..all).flat_map(row).collect(), [all, 2]).unwrap()
        };
        let mut classes = Classes::default();
        classes.add(&rows(changed), &rows(0)).unwrap();
        classes.lost() == Some(0)
    }

    /// Wilson's upper ends: 0 of 3 is 0.56, 1 of 4 is 0.70, 97 of 100 is 0.99, 85 of 100 is 0.907, 84 of 100 is 0.899.
    #[test]
    fn a_class_is_lost_by_what_it_cannot_have_kept() {
        assert!(lost(3, 3) && lost(4, 3) && !lost(2, 2));
        assert!(!lost(100, 3) && !lost(100, 15) && lost(100, 16));
    }

    #[test]
    fn rows_of_one_number_have_no_classes() {
        let mut classes = Classes::default();
        let column = Tensor::arange(8).unwrap().reshape([8, 1]).unwrap();
        classes.add(&Tensor::zeros([8, 1]).unwrap(), &column).unwrap();
        assert_eq!(classes.lost(), None);
    }

    #[test]
    fn a_lost_class_is_beyond_any_budget() {
        let off = |lost| Off { errors: vec![0.002, 0.006], lost };
        assert_eq!(off(None).against(0.01), 0.006);
        assert_eq!(off(Some(2)).against(0.01), 0.02);
    }
}
