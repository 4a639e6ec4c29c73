//! What a model is fed: an array, several in order, or several by name.

use crate::arrays::Borrowed;
use crate::errors::{invalid_type, invalid_value, raise, raise_any};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};
use std::sync::Arc;
use tinytorch::Tensor;
use tinytorch::audit::Rows;
use tinytorch::models::{Model, Sample};
use tinytorch::tensor::Dtype;
use tinytorch_cli::api;

/// What a model's inputs are called, and what they hold where that is known.
#[derive(Clone)]
pub(crate) struct Inputs {
    pub(crate) names: Vec<String>,
    pub(crate) dtypes: Vec<Option<Dtype>>,
}

impl Inputs {
    /// Those of a model; inputs without a name are called `input`, or `input_0` and so on.
    pub(crate) fn of(model: &dyn Model) -> Inputs {
        let samples = model.samples().unwrap_or_default();
        let named = model.input_names();
        let count = named.len().max(samples.len()).max(1);
        let name = |i: usize| match (named.get(i), count) {
            (Some(name), _) => name.clone(),
            (None, 1) => "input".to_string(),
            (None, _) => format!("input_{i}"),
        };
        let dtype = |i: usize| {
            samples.get(i).map(|sample| match sample {
                Sample::Ids { .. } => Dtype::I64,
                _ => Dtype::F32,
            })
        };
        Inputs { names: (0..count).map(name).collect(), dtypes: (0..count).map(dtype).collect() }
    }

    /// The arrays in the order of the inputs. Of a tuple or list that is longer than the inputs the rest, such as
    /// labels, is left out if `may_have_more`.
    fn in_order<'py>(
        &self,
        given: &Bound<'py, PyAny>,
        may_have_more: bool,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let expected = self.names.len();
        if let Ok(named) = given.cast::<PyDict>() {
            return self.by_name(named);
        }
        let several: Option<Vec<Bound<'py, PyAny>>> = match given.cast::<PyTuple>() {
            Ok(tuple) => Some(tuple.iter().collect()),
            Err(_) => given.cast::<PyList>().ok().map(|list| list.iter().collect()),
        };
        match several {
            Some(several) if are_inputs(&several, expected) => match several.len() {
                got if got == expected => Ok(several),
                got if got > expected && may_have_more => {
                    Ok(several.into_iter().take(expected).collect())
                }
                got => Err(invalid_value(format!(
                    "the model takes {expected} inputs ({}), got {got}",
                    self.names.join(", ")
                ))),
            },
            _ if expected == 1 => Ok(vec![given.clone()]),
            _ => Err(invalid_value(format!(
                "the model takes {expected} inputs ({}); give a dictionary with an array for each",
                self.names.join(", ")
            ))),
        }
    }

    fn by_name<'py>(&self, named: &Bound<'py, PyDict>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let takes = self.names.join(", ");
        for name in named.keys() {
            let name: String = name.extract().map_err(|_| {
                invalid_type(format!("inputs are named by strings; the model takes {takes}"))
            })?;
            if !self.names.contains(&name) {
                return Err(invalid_value(format!(
                    "the model has no input `{name}`; it takes {takes}"
                )));
            }
        }
        let missing = |name: &str| {
            invalid_value(format!("input `{name}` is missing; the model takes {takes}"))
        };
        let of = |name: &String| named.get_item(name)?.ok_or_else(|| missing(name));
        self.names.iter().map(of).collect()
    }

    /// The arrays for a run, borrowed.
    pub(crate) fn borrow<'py>(&self, given: &Bound<'py, PyAny>) -> PyResult<Vec<Borrowed<'py>>> {
        self.borrowed(self.in_order(given, false)?)
    }

    fn borrowed<'py>(&self, arrays: Vec<Bound<'py, PyAny>>) -> PyResult<Vec<Borrowed<'py>>> {
        let each = arrays.iter().zip(&self.names).zip(&self.dtypes);
        each.map(|((array, name), dtype)| Borrowed::of(array, name, *dtype)).collect()
    }

    /// Copies of the arrays of one batch, of which the first axis counts the samples, one at least.
    fn copied(&self, given: &Bound<'_, PyAny>) -> PyResult<Vec<Tensor>> {
        let arrays = self.borrowed(self.in_order(given, true)?)?;
        self.check_samples(&arrays)?;
        arrays.iter().map(Borrowed::tensor).collect()
    }

    /// Refuses arrays of other numbers of samples than the first, and none.
    fn check_samples(&self, arrays: &[Borrowed<'_>]) -> PyResult<()> {
        let samples =
            |array: &Borrowed<'_>| PyResult::Ok(array.view()?.shape.first().copied().unwrap_or(0));
        let first = arrays.first().map_or(Ok(0), samples)?;
        for (array, name) in arrays.iter().zip(&self.names) {
            let got = samples(array)?;
            if got != first || first == 0 {
                return Err(invalid_value(format!(
                    "`{name}` holds {got} samples and `{}` {first}; the first axis counts the samples, of which there must be one at least",
                    self.names[0]
                )));
            }
        }
        Ok(())
    }

    /// All samples in passes of at most so many: copied from where they lie if arrays are given whole, and from copies
    /// of each batch of whatever else gives batches when it is iterated over.
    pub(crate) fn each_pass<'py>(
        &'py self,
        given: &Bound<'py, PyAny>,
        pass: usize,
    ) -> PyResult<Box<dyn Iterator<Item = PyResult<Vec<Tensor>>> + 'py>> {
        if is_whole(given) {
            return Ok(Box::new(passes(self.kept(given)?, pass)));
        }
        let of_batch = move |batch: PyResult<Bound<'py, PyAny>>| {
            let batch = batch.and_then(|batch| self.copied(&batch));
            let (rows, error) = match batch {
                Ok(batch) => (batch.into_iter().map(shared).collect(), None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            passes(rows, pass).chain(error)
        };
        Ok(Box::new(iterated(given)?.flat_map(of_batch)))
    }

    /// The arrays of all samples, of which rows are read when they are asked for.
    pub(crate) fn kept(&self, given: &Bound<'_, PyAny>) -> PyResult<Vec<Arc<dyn Rows>>> {
        let arrays = self.borrowed(self.in_order(given, true)?)?;
        self.check_samples(&arrays)?;
        arrays.iter().zip(&self.names).map(|(array, name)| array.kept(name)).collect()
    }

    /// The samples of all batches, at least so many if they are there: arrays that are given whole are read where they
    /// lie, others are copies.
    pub(crate) fn samples(
        &self,
        given: &Bound<'_, PyAny>,
        at_least: usize,
    ) -> PyResult<Vec<Arc<dyn Rows>>> {
        if is_whole(given) {
            return self.kept(given);
        }
        let (mut batches, mut got) = (Vec::new(), 0);
        for batch in iterated(given)? {
            let batch = self.copied(&batch?)?;
            got += batch[0].shape()[0];
            self.check_like(&batches, &batch)?;
            batches.push(batch);
            if got >= at_least {
                break;
            }
        }
        match batches.is_empty() {
            true => Err(invalid_value("there is not one batch to calibrate with")),
            false => api::one_after_the_other(&batches).map_err(|error| raise_any(&error)),
        }
    }

    /// Refuses a batch whose samples have another shape or type than those before.
    fn check_like(&self, before: &[Vec<Tensor>], batch: &[Tensor]) -> PyResult<()> {
        let Some(first) = before.first() else { return Ok(()) };
        for ((tensor, first), name) in batch.iter().zip(first).zip(&self.names) {
            if tensor.dtype() != first.dtype() || tensor.shape()[1..] != first.shape()[1..] {
                return Err(invalid_value(format!(
                    "batch {} of `{name}` holds {} {} where the first holds {} {}; samples must be alike",
                    before.len(),
                    tensor.dtype(),
                    tensor.shape(),
                    first.dtype(),
                    first.shape()
                )));
            }
        }
        Ok(())
    }
}

fn shared(tensor: Tensor) -> Arc<dyn Rows> {
    Arc::new(tensor)
}

/// Copies of the rows of these, of at most so many at a time.
fn passes(
    all: Vec<Arc<dyn Rows>>,
    pass: usize,
) -> impl Iterator<Item = PyResult<Vec<Tensor>>> + use<> {
    let count = all.first().map_or(0, |rows| rows.shape()[0]);
    (0..count).step_by(pass).map(move |start| {
        let of = |rows: &Arc<dyn Rows>| rows.rows(start..count.min(start + pass));
        all.iter().map(of).collect::<tinytorch::Result<Vec<Tensor>>>().map_err(raise)
    })
}

/// Batches of what gives them when it is iterated over.
fn iterated<'py>(given: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    if !given.hasattr("__iter__")? && !given.hasattr("__getitem__")? {
        return Err(invalid_type(format!(
            "samples are arrays, or what gives batches of them when it is iterated over, and {} is neither",
            given.get_type().name()?
        )));
    }
    given.try_iter()
}

/// Whether this is an array, or a dictionary or a tuple of arrays, rather than what gives batches.
fn is_whole(given: &Bound<'_, PyAny>) -> bool {
    is_array(given) || given.cast::<PyDict>().is_ok() || given.cast::<PyTuple>().is_ok()
}

/// Whether as many of these as a model has inputs are arrays, of which there is one at least.
fn are_inputs(several: &[Bound<'_, PyAny>], expected: usize) -> bool {
    !several.is_empty() && several.iter().take(expected).all(is_array)
}

/// Whether something is an array, of NumPy or of a library that speaks DLPack.
pub(crate) fn is_array(given: &Bound<'_, PyAny>) -> bool {
    given.cast::<PyUntypedArray>().is_ok() || given.hasattr("__dlpack__").unwrap_or(false)
}
