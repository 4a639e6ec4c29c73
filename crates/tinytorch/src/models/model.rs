//! A model whose type is not known: what files, audits and commands work on.

use super::{Decoder, ModelError, Rebuild, Sample, description};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{Chain, Forward, Init, Link, Module, Outputs};
use crate::tensor::Tensor;
use std::any::Any;

/// A model that takes a list of values and gives a list of values, however many there are.
///
/// It is how a [`Model`] of several inputs is quantized or profiled: a `&dyn Model` is a
/// `&dyn ListModel`, and that is a [`Forward<Vec<Var>>`](Forward).
pub trait ListModel: Module + Send + Sync {
    /// The outputs for these inputs, which are as [`Model::samples`] states them, batches of any size.
    ///
    /// # Errors
    /// [`ModelError::InputCount`], or what does not fit the model.
    fn forward_list(&self, inputs: &[Var], ctx: &mut Ctx<'_>) -> Result<Vec<Var>>;
}

/// A model that can describe itself, and so be saved, loaded by name and rebuilt. Whatever is
/// [`Rebuild`] is one.
///
/// A `dyn Model` with one input and one output is a [`Forward`] like any other.
pub trait Model: ListModel {
    /// The name by which files know this kind of model.
    fn kind(&self) -> &str;

    /// The kind and the settings, as files hold them: a JSON object whose entry `architecture` is the
    /// kind. [`Kinds::build`](super::Kinds::build) makes the same names and shapes of it.
    ///
    /// # Errors
    /// [`ModelError::Description`] for settings that are no JSON object.
    fn description(&self) -> Result<String>;

    /// A model of the same type from a description that a file holds.
    ///
    /// # Errors
    /// As [`Kinds::build`](super::Kinds::build), for which this kind is the only one.
    fn rebuild(&self, description: &str, init: &mut Init) -> Result<Box<dyn Model>>;

    /// One sample of each input, without the batch.
    ///
    /// # Errors
    /// As [`Rebuild::samples`].
    fn samples(&self) -> Result<Vec<Sample>>;

    /// A copy with parameters of its own.
    fn clone_box(&self) -> Box<dyn Model>;

    /// What the inputs are called where data are given by name; empty where they have no names.
    fn input_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// How many samples a pass takes, if it takes no other number.
    fn fixed_batch(&self) -> Option<usize> {
        None
    }

    /// Whether a pass records as many steps as its input is long, so that another length is another graph.
    fn unrolls(&self) -> bool {
        false
    }

    /// The first size of each input, `None` where any will do; empty if that is so of all.
    fn first_sizes(&self) -> Vec<Option<usize>> {
        Vec::new()
    }

    /// The node of the user's own graph that multiplies by this weight, operator and name, where there is such a graph.
    fn node_of(&self, weight: &str) -> Option<String> {
        let _ = weight;
        None
    }

    /// What the outputs are called in reports; `output 0` and so on where there is no name.
    fn output_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// The model as its own type, for those who know it; `None` of a model that stands for another.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// The model as one that generates text, if it is one.
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        None
    }

    /// The model as a chain of layers, if it is one.
    fn as_chain(&mut self) -> Option<&mut dyn Chain> {
        None
    }
}

impl<M: Rebuild> ListModel for M {
    fn forward_list(&self, inputs: &[Var], ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let input = <M::Input as super::Inputs>::from_list(inputs)?;
        Ok(self.call(&input, ctx)?.vars().into_iter().cloned().collect())
    }
}

impl<M: Rebuild> Model for M {
    fn kind(&self) -> &str {
        M::NAME
    }

    fn description(&self) -> Result<String> {
        description::write(M::NAME, &self.config())
    }

    fn rebuild(&self, description: &str, init: &mut Init) -> Result<Box<dyn Model>> {
        Ok(Box::new(description::build::<M>(description, init)?))
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Rebuild::samples(self)
    }

    fn clone_box(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }

    fn input_names(&self) -> Vec<String> {
        Rebuild::input_names(self)
    }

    fn fixed_batch(&self) -> Option<usize> {
        Rebuild::fixed_batch(self)
    }

    fn unrolls(&self) -> bool {
        Rebuild::unrolls(self)
    }

    fn first_sizes(&self) -> Vec<Option<usize>> {
        Rebuild::first_sizes(self)
    }

    fn node_of(&self, weight: &str) -> Option<String> {
        Rebuild::node_of(self, weight)
    }

    fn output_names(&self) -> Vec<String> {
        Rebuild::output_names(self)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn as_decoder(&self) -> Option<&dyn Decoder> {
        Rebuild::as_decoder(self)
    }

    fn as_chain(&mut self) -> Option<&mut dyn Chain> {
        Rebuild::as_chain(self)
    }
}

impl dyn Model + '_ {
    /// Inputs of `batch` samples that the model takes, always the same: values from 0 to 1, or ids that
    /// fill the context.
    ///
    /// # Errors
    /// As [`Model::samples`], of the whole batch.
    pub fn example(&self, batch: usize) -> Result<Vec<Tensor>> {
        self.samples()?.iter().map(|sample| sample.batch(batch)).collect()
    }
}

impl Forward for dyn Model + '_ {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let outputs = self.forward_list(std::slice::from_ref(input), ctx)?;
        single(outputs)
    }
}

impl Forward<Vec<Var>> for dyn ListModel + '_ {
    type Output = Vec<Var>;

    fn forward(&self, inputs: &Vec<Var>, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        self.forward_list(inputs, ctx)
    }
}

fn single(mut outputs: Vec<Var>) -> Result<Var> {
    match (outputs.pop(), outputs.len()) {
        (Some(output), 0) => Ok(output),
        (_, others) => Err(ModelError::OutputCount { got: others + 1 }.into()),
    }
}

impl Chain for Box<dyn Model> {
    fn links(&mut self) -> Result<Vec<Link<'_>>, &'static str> {
        self.as_chain().ok_or("model with branches")?.links()
    }

    fn resized(&mut self) {
        if let Some(chain) = self.as_chain() {
            chain.resized();
        }
    }
}

impl Clone for Box<dyn Model> {
    fn clone(&self) -> Self {
        self.clone_box()
    }
}
