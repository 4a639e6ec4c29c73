//! Work that Python can look into while it goes on: it stops for Ctrl-C and tells how far it is.

use crate::errors::{Raised, raise};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tinytorch::Result;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::models::{Decoder, ListModel, Model, Sample};
use tinytorch::nn::{Chain, Init, Module, Path, Visitor, VisitorMut};

/// How often signals are looked for. Taking the interpreter's lock costs microseconds, but waiting for a thread
/// that has it up to 5 ms.
const OFTEN: Duration = Duration::from_millis(50);

/// What looks after a piece of work.
pub(crate) struct Watch {
    state: Mutex<State>,
    /// Called with what is done, and how many steps of how many.
    progress: Option<Py<PyAny>>,
}

struct State {
    looked: Instant,
    /// What is to be raised where the work can stop.
    raised: Option<PyErr>,
}

impl Watch {
    pub(crate) fn new(progress: Option<Py<PyAny>>) -> Arc<Watch> {
        let state = State { looked: Instant::now(), raised: None };
        Arc::new(Watch { state: Mutex::new(state), progress })
    }

    /// Tells how far the work is.
    pub(crate) fn tell(&self, what: &'static str, done: usize, of: usize) {
        let Some(progress) = &self.progress else { return };
        if let Err(error) = Python::attach(|py| progress.call1(py, (what, done, of))) {
            self.state().raised.get_or_insert(error);
        }
    }

    /// Stops the work if somebody wants it stopped.
    pub(crate) fn check(&self) -> Result<()> {
        let is_due = {
            let mut state = self.state();
            let is_due = state.raised.is_some() || state.looked.elapsed() >= OFTEN;
            if is_due {
                state.looked = Instant::now();
            }
            is_due
        };
        if is_due { self.check_now() } else { Ok(()) }
    }

    /// [`Watch::check`], however short the time since the last.
    pub(crate) fn check_now(&self) -> Result<()> {
        if let Some(error) = self.state().raised.take() {
            return Err(Raised(error).into());
        }
        Ok(Python::attach(|py| py.check_signals()).map_err(Raised)?)
    }

    /// [`Watch::check_now`] where Python is the caller.
    pub(crate) fn check_here(&self) -> PyResult<()> {
        self.check_now().map_err(raise)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic is done while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model whose passes stop for a [`Watch`].
pub(crate) struct Watched {
    pub(crate) model: Box<dyn Model>,
    pub(crate) watch: Arc<Watch>,
}

impl Module for Watched {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        self.model.visit(path, visitor);
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        self.model.visit_mut(path, visitor);
    }
}

impl ListModel for Watched {
    fn forward_list(&self, inputs: &[Var], ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        self.watch.check()?;
        self.model.forward_list(inputs, ctx)
    }
}

impl Model for Watched {
    fn kind(&self) -> &str {
        self.model.kind()
    }

    fn description(&self) -> Result<String> {
        self.model.description()
    }

    fn rebuild(&self, description: &str, init: &mut Init) -> Result<Box<dyn Model>> {
        self.model.rebuild(description, init)
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        self.model.samples()
    }

    fn clone_box(&self) -> Box<dyn Model> {
        Box::new(Watched { model: self.model.clone_box(), watch: self.watch.clone() })
    }

    fn input_names(&self) -> Vec<String> {
        self.model.input_names()
    }

    fn fixed_batch(&self) -> Option<usize> {
        self.model.fixed_batch()
    }

    fn node_of(&self, weight: &str) -> Option<String> {
        self.model.node_of(weight)
    }

    fn unrolls(&self) -> bool {
        self.model.unrolls()
    }

    fn first_sizes(&self) -> Vec<Option<usize>> {
        self.model.first_sizes()
    }

    fn output_names(&self) -> Vec<String> {
        self.model.output_names()
    }

    fn as_decoder(&self) -> Option<&dyn Decoder> {
        self.model.as_decoder()
    }

    fn as_chain(&mut self) -> Option<&mut dyn Chain> {
        self.model.as_chain()
    }
}
