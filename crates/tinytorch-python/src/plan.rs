//! A model compiled for deployment.

use crate::arrays::{Borrowed, dtype_name};
use crate::errors::{invalid_value, raise, raise_any};
use crate::feed::Inputs;
use crate::model::PyModel;
use crate::process;
use crate::results::Written;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tinytorch::graph::{View, ViewMut};
use tinytorch::models::compile;
use tinytorch::plan::Plan;
use tinytorch::tensor::Shape;
use tinytorch::{Result, Tensor};
use tinytorch_cli::api;

/// Runs that take longer give the interpreter's lock to other threads meanwhile, which itself costs a microsecond
/// or two, and milliseconds where another thread wants it.
const LONG: Duration = Duration::from_micros(50);

/// A model compiled for deployment: ``Plan(model, example=None)``.
///
/// ``model`` is a path or a :class:`Model`. Batches of any size run, and any other sizes that the model allows; a model whose inputs
/// cannot be made up is traced on ``example``. Several threads may run one plan, one after the other.
///
/// Raises ``FileNotFoundError`` if nothing is there, ``ValueError`` for a model that does not run.
#[pyclass(name = "Plan", module = "tinytorch", frozen)]
pub(crate) struct PyPlan {
    state: Mutex<State>,
    inputs: Inputs,
    outputs: Vec<String>,
}

struct State {
    plan: Plan,
    /// How long the last run took, and on how many elements.
    last: (Duration, usize),
}

#[pymethods]
impl PyPlan {
    #[new]
    #[pyo3(signature = (model, example = None))]
    fn new(
        py: Python<'_>,
        model: &Bound<'_, PyAny>,
        example: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyPlan> {
        let model = PyModel::given(model)?;
        let model = &*model.get().model;
        let mut inputs = Inputs::of(model);
        let example: Option<Vec<Tensor>> = match example {
            None => None,
            Some(given) => {
                Some(inputs.borrow(given)?.iter().map(Borrowed::tensor).collect::<PyResult<_>>()?)
            }
        };
        let example = match example {
            Some(example) => example,
            None => py.detach(|| api::example(model)).map_err(|error| raise_any(&error))?,
        };
        inputs.dtypes = example.iter().map(|tensor| Some(tensor.dtype())).collect();
        let compiled = py.detach(|| {
            process::in_pool(|| {
                let mut plan = compile(model, &example)?;
                let shapes: Vec<Shape> = example.iter().map(|tensor| *tensor.shape()).collect();
                let results = plan.output_shapes(&shapes)?.len();
                Ok::<_, tinytorch::Error>((plan, results))
            })
        });
        let (plan, results) = compiled.map_err(raise)?;
        let mut named = model.output_names().into_iter();
        let name = |i: usize| named.next().unwrap_or_else(|| format!("output_{i}"));
        let outputs = (0..results).map(name).collect();
        let state = Mutex::new(State { plan, last: (Duration::MAX, 0) });
        Ok(PyPlan { state, inputs, outputs })
    }

    /// The output for these inputs, a new array whose first axis counts the samples.
    ///
    /// Inputs are an array, several in the order of ``inputs``, or a dictionary by their names. What lies in row-major order and has the
    /// model's type is read where it is; ``float64`` and ``float16`` are converted.
    ///
    /// Raises ``TypeError`` for arrays of other types than the model takes, ``ValueError`` for other names and shapes, for values that are not
    /// finite where an int8 layer reads them, and for a model of several outputs.
    fn run<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if self.outputs.len() != 1 {
            return Err(invalid_value(format!(
                "the model has {} outputs ({}); use `run_all`, which gives them by name",
                self.outputs.len(),
                self.outputs.join(", ")
            )));
        }
        Ok(self.results(py, inputs)?.remove(0))
    }

    /// All outputs by name for these inputs, which are given and refused as for ``run``.
    fn run_all<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let named = PyDict::new(py);
        for (name, result) in self.outputs.iter().zip(self.results(py, inputs)?) {
            named.set_item(name, result)?;
        }
        Ok(named)
    }

    /// Seconds that a run on these inputs takes without what Python and NumPy cost around it: the mean of ``runs`` runs.
    ///
    /// Raises what ``run`` raises, and ``ValueError`` for no runs.
    #[pyo3(signature = (inputs, runs = 1000))]
    fn seconds(&self, py: Python<'_>, inputs: &Bound<'_, PyAny>, runs: u32) -> PyResult<f64> {
        if runs == 0 {
            return Err(invalid_value("runs is 0; the mean is that of one run at least"));
        }
        let mut took = Duration::ZERO;
        self.with_outputs(py, inputs, |State { plan, .. }, views, outputs| {
            let mut all = || {
                let started = Instant::now();
                for _ in 0..runs {
                    plan.run_many_into(views, outputs)?;
                }
                took = started.elapsed();
                Ok(())
            };
            py.detach(|| process::in_pool(&mut all))
        })?;
        Ok(took.as_secs_f64() / f64::from(runs))
    }

    /// What the inputs are called, and the types that they hold.
    #[getter]
    fn inputs(&self) -> Vec<(String, &'static str)> {
        let dtype = |i: usize| self.inputs.dtypes[i].map_or("float32", dtype_name);
        self.inputs.names.iter().enumerate().map(|(i, name)| (name.clone(), dtype(i))).collect()
    }

    /// What the outputs are called.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.outputs.clone()
    }

    /// Bytes of the weights, of the float layers' packed weights, and of the working memory for the largest input
    /// so far.
    #[getter]
    fn bytes(&self, py: Python<'_>) -> (usize, usize, usize) {
        let state = self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let plan = &state.plan;
        (plan.weight_bytes(), plan.packed_bytes(), plan.arena_bytes() + plan.scratch_bytes())
    }

    fn __repr__(&self) -> String {
        format!(
            "<tinytorch.Plan of {}, gives {}>",
            self.inputs.names.join(", "),
            self.outputs.join(", ")
        )
    }
}

impl PyPlan {
    fn results<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.with_outputs(py, inputs, |State { plan, last }, views, outputs| {
            let elements: usize = views.iter().map(|view| view.shape.len()).sum();
            let is_long = last.0 > LONG || elements > last.1;
            let started = Instant::now();
            let mut run = || process::in_pool(|| plan.run_many_into(views, outputs));
            let done = if is_long { py.detach(run) } else { run() };
            *last = (started.elapsed(), elements);
            done
        })
    }

    /// Does work with the plan, these inputs where they lie, and new outputs, which are returned.
    fn with_outputs<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
        work: impl FnOnce(&mut State, &[View<'_>], &mut [ViewMut<'_>]) -> Result<()>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let borrowed = self.inputs.borrow(inputs)?;
        let views = borrowed.iter().map(Borrowed::view).collect::<PyResult<Vec<View<'_>>>>()?;
        let shapes: Vec<Shape> = views.iter().map(|view| view.shape).collect();
        // Other threads run other plans meanwhile; this one has one arena.
        let mut state = self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        let known = state.plan.output_shapes(&shapes).map_err(raise)?;
        let mut written: Vec<Written<'_>> =
            known.iter().map(|(shape, dtype)| Written::new(py, shape, *dtype)).collect();
        let mut outputs = written
            .iter_mut()
            .zip(&known)
            .map(|(written, (shape, _))| written.view(*shape))
            .collect::<PyResult<Vec<ViewMut<'_>>>>()?;
        work(&mut state, &views, &mut outputs).map_err(raise)?;
        drop(outputs);
        Ok(written.iter().map(Written::array).collect())
    }
}
