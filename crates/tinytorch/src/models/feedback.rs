//! Models with a state: outputs that are inputs of the next step.

use super::{ListModel, Model, ModelError};
use crate::Result;
use crate::autograd::{Ctx, Var};
use crate::nn::{Forward, Module, Path, Visitor, VisitorMut};
use crate::tensor::{Dtype, Shape, Tensor};
use std::sync::Arc;

/// Which outputs of a model are fed back to which of its inputs, from one step of a sequence to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// Places of an output and of the input that it becomes.
    pairs: Vec<(usize, usize)>,
}

impl Feedback {
    /// Of a model that has names for inputs and outputs, by the names of an output and of the input that it
    /// becomes.
    ///
    /// # Errors
    /// [`ModelError::Feedback`] for a name that the model does not have, an input that is fed twice, or no input
    /// that is left to be given.
    pub fn new(model: &dyn Model, pairs: &[(String, String)]) -> Result<Feedback> {
        let (inputs, outputs) = (model.input_names(), model.output_names());
        let place = |what: &str, name: &String, known: &[String]| {
            known.iter().position(|known| known == name).ok_or_else(|| {
                let known = known.join(", ");
                refused(format!("the model has no {what} `{name}`; its {what}s are {known}"))
            })
        };
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(pairs.len());
        for (output, input) in pairs {
            let pair = (place("output", output, &outputs)?, place("input", input, &inputs)?);
            if places.iter().any(|(_, known)| *known == pair.1) {
                return Err(refused(format!("the input `{input}` is fed by two outputs")).into());
            }
            places.push(pair);
        }
        if places.len() >= inputs.len() {
            let problem = "every input is a state, so that nothing is left to be given to a step";
            return Err(refused(problem.to_string()).into());
        }
        Ok(Feedback { inputs, outputs, pairs: places })
    }

    /// Whether an input is a state.
    pub fn feeds(&self, input: usize) -> bool {
        self.pairs.iter().any(|(_, state)| *state == input)
    }

    /// Whether an output is a state and nothing else.
    pub fn is_fed_back(&self, output: usize) -> bool {
        self.pairs.iter().any(|(state, _)| *state == output)
    }

    /// The names of the outputs and of the inputs that they become.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|&(from, to)| (&*self.outputs[from], &*self.inputs[to]))
    }

    /// Makes sure that an output can be the next step's input.
    fn check(&self, pair: usize, got: (Dtype, Shape), expected: (Dtype, Shape)) -> Result<()> {
        if got == expected {
            return Ok(());
        }
        let (from, to) = self.pairs[pair];
        let (output, input) = (&self.outputs[from], &self.inputs[to]);
        Err(refused(format!(
            "the output `{output}` is {} {} and cannot become the input `{input}`, which is {} {}",
            got.0, got.1, expected.0, expected.1
        ))
        .into())
    }
}

fn refused(problem: String) -> ModelError {
    ModelError::Feedback { problem }
}

/// Steps that a model with a state takes one after the other, from a state to begin with.
#[derive(Clone, Debug)]
pub struct Sequence {
    feedback: Arc<Feedback>,
    /// For each input of the model: if it is a state what it begins with, or else what all steps are given, one
    /// below the other; a scalar is given to every step.
    inputs: Vec<Tensor>,
    steps: usize,
    rows: usize,
}

impl Sequence {
    /// So many steps. An input that is a state holds what it begins with, any other the steps one below the other
    /// along its first axis, the same number of rows for each, or a scalar for all of them.
    ///
    /// # Errors
    /// [`ModelError::Feedback`] for rows that do not divide into the steps.
    pub fn new(
        feedback: Arc<Feedback>,
        inputs: Vec<Tensor>,
        rows_of_step: usize,
    ) -> Result<Sequence> {
        let rows = rows_of_step.max(1);
        let given = (0..inputs.len()).filter(|i| !feedback.feeds(*i));
        let lengths: Vec<(usize, usize)> =
            given.filter_map(|i| Some((i, *inputs[i].shape().first()?))).collect();
        let Some(&(_, first)) = lengths.first() else {
            return Err(refused("no input has an axis of steps".to_string()).into());
        };
        for (i, length) in &lengths {
            if length % rows != 0 || *length != first || first == 0 {
                let name = feedback.inputs.get(*i).cloned().unwrap_or_default();
                let problem = format!(
                    "`{name}` holds {length} rows, which are not the same number of steps as for the first input, {rows} rows each"
                );
                return Err(refused(problem).into());
            }
        }
        Ok(Sequence { feedback, inputs, steps: first / rows, rows })
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.steps
    }

    /// Whether there are none, which cannot be.
    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Which outputs are fed back.
    pub fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    /// What is given to the steps: the inputs that are no states, and have an axis of steps.
    pub fn given(&self) -> Vec<Tensor> {
        let given = self.inputs.iter().enumerate();
        let given = given.filter(|(i, input)| !self.feedback.feeds(*i) && input.rank() > 0);
        given.map(|(_, input)| input.clone()).collect()
    }

    /// The states to begin with, in the order of the pairs.
    fn start(&self) -> Vec<Tensor> {
        self.feedback.pairs.iter().map(|(_, input)| self.inputs[*input].clone()).collect()
    }

    /// The inputs of the first step.
    ///
    /// # Errors
    /// None that is known.
    pub fn first(&self) -> Result<Vec<Tensor>> {
        self.step(0, &self.start())
    }

    /// So many steps at most, from the beginning.
    ///
    /// # Errors
    /// None that is known.
    pub fn first_steps(&self, most: usize) -> Result<Sequence> {
        let start: Vec<Tensor> = self.inputs.clone();
        self.part(0..most.clamp(1, self.steps), &start)
    }

    /// The inputs of a step that finds these states.
    fn step(&self, step: usize, states: &[Tensor]) -> Result<Vec<Tensor>> {
        let rows = step * self.rows..(step + 1) * self.rows;
        let each = self.inputs.iter().enumerate().map(|(i, input)| {
            match self.feedback.pairs.iter().position(|(_, state)| *state == i) {
                Some(pair) => Ok(states[pair].clone()),
                None if input.rank() == 0 => Ok(input.clone()),
                None => input.slice(0, rows.clone()),
            }
        });
        each.collect()
    }

    /// Runs all steps, each with the states that the one before gave; `pass` is told the inputs of a step and
    /// gives its outputs.
    fn walk(
        &self,
        mut pass: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
        mut seen: impl FnMut(Vec<Tensor>, Vec<Tensor>),
    ) -> Result<()> {
        let start = self.start();
        let mut states = start.clone();
        for step in 0..self.steps {
            let inputs = self.step(step, &states)?;
            let outputs = pass(&inputs)?;
            for (pair, (from, _)) in self.feedback.pairs.iter().enumerate() {
                let given = &outputs[*from];
                let expected = (start[pair].dtype(), *start[pair].shape());
                self.feedback.check(pair, (given.dtype(), *given.shape()), expected)?;
                states[pair] = given.clone();
            }
            seen(inputs, outputs);
        }
        Ok(())
    }

    /// What all steps give, one below the other: every output of the model.
    ///
    /// # Errors
    /// What `pass` reports, or [`ModelError::Feedback`] for an output that cannot become its input.
    pub fn outputs(
        &self,
        pass: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>,
    ) -> Result<Vec<Tensor>> {
        let mut steps = Vec::with_capacity(self.steps);
        self.walk(pass, |_, outputs| steps.push(outputs))?;
        below_each_other(&steps)
    }

    /// What all steps take, one below the other, the states that they find included; a scalar stays one.
    ///
    /// # Errors
    /// As [`Sequence::outputs`].
    pub fn met(&self, pass: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>) -> Result<Vec<Tensor>> {
        let mut steps = Vec::with_capacity(self.steps);
        self.walk(pass, |inputs, _| steps.push(inputs))?;
        below_each_other(&steps)
    }

    /// The steps of a range, with the states that the first of them finds among all that were [met](Sequence::met).
    ///
    /// # Errors
    /// For a range beyond the steps.
    pub fn part(&self, steps: std::ops::Range<usize>, met: &[Tensor]) -> Result<Sequence> {
        let (count, rows) = (steps.len(), steps.start * self.rows..steps.end * self.rows);
        let inputs = self.inputs.iter().zip(met).enumerate().map(|(i, (input, met))| {
            match self.feedback.feeds(i) {
                true => {
                    let size = input.shape()[0];
                    met.slice(0, steps.start * size..(steps.start + 1) * size)
                }
                false if input.rank() == 0 => Ok(input.clone()),
                false => input.slice(0, rows.clone()),
            }
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        Ok(Sequence { feedback: self.feedback.clone(), inputs, steps: count, rows: self.rows })
    }
}

/// The entries of each list below those of the list before; scalars, which are the same in all, stay as they are.
fn below_each_other(steps: &[Vec<Tensor>]) -> Result<Vec<Tensor>> {
    let count = steps.first().map_or(0, Vec::len);
    let of = |i: usize| {
        let parts: Vec<Tensor> = steps.iter().map(|step| step[i].clone()).collect();
        match parts.first() {
            Some(first) if first.rank() == 0 => Ok(first.clone()),
            Some(first) => match first.dtype() {
                Dtype::F32 => Tensor::cat::<f32>(&parts, 0),
                Dtype::I64 => Tensor::cat::<i64>(&parts, 0),
                Dtype::I32 => Tensor::cat::<i32>(&parts, 0),
                Dtype::U8 => Tensor::cat::<u8>(&parts, 0),
                Dtype::I8 => Tensor::cat::<i8>(&parts, 0),
                Dtype::Bool => Tensor::cat::<bool>(&parts, 0),
            },
            None => Tensor::cat::<f32>(&parts, 0),
        }
    };
    (0..count).map(of).collect()
}

/// A model that takes whole sequences, its state fed back: how it is calibrated and judged while it is quantized.
/// Its outputs are those that are no states, or all if all are, the steps one below the other.
pub struct Stepped<'m>(pub &'m mut dyn ListModel);

impl Module for Stepped<'_> {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        self.0.visit(path, visitor);
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        self.0.visit_mut(path, visitor);
    }
}

impl Forward<Sequence> for Stepped<'_> {
    type Output = Vec<Var>;

    fn forward(&self, sequence: &Sequence, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        let mut states: Vec<Var> = sequence.start().into_iter().map(Var::from).collect();
        let feedback = &*sequence.feedback;
        let mut steps: Vec<Vec<Var>> = Vec::with_capacity(sequence.steps);
        for step in 0..sequence.steps {
            let held: Vec<Tensor> = states.iter().map(|state| state.value().clone()).collect();
            let inputs =
                sequence.step(step, &held)?.into_iter().enumerate().map(
                    |(i, input)| match feedback.pairs.iter().position(|(_, state)| *state == i) {
                        Some(pair) => states[pair].clone(),
                        None => Var::from(input),
                    },
                );
            let outputs = self.0.forward_list(&inputs.collect::<Vec<_>>(), ctx)?;
            for (pair, (from, _)) in feedback.pairs.iter().enumerate() {
                let (given, found) = (outputs[*from].value(), states[pair].value());
                let expected = (found.dtype(), *found.shape());
                feedback.check(pair, (given.dtype(), *given.shape()), expected)?;
                states[pair] = outputs[*from].clone();
            }
            steps.push(outputs);
        }
        let count = steps.first().map_or(0, Vec::len);
        let told: Vec<usize> = (0..count).filter(|i| !feedback.is_fed_back(*i)).collect();
        let told = if told.is_empty() { (0..count).collect() } else { told };
        let joined = told.into_iter().map(|i| {
            let parts: Vec<&Var> = steps.iter().map(|step| &step[i]).collect();
            match &parts[..] {
                [one] => Ok((*one).clone()),
                parts => Var::cat(parts, 0, ctx),
            }
        });
        joined.collect()
    }
}
