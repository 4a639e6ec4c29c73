//! The process that the interpreter is: its threads, and what a fork leaves of them.

use crate::errors::invalid_value;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many threads share the work of a pass; as many as the machine has processors unless this is set.
const THREADS: &str = "TINYTORCH_NUM_THREADS";

/// Whether this process is a fork of one that had the library: the threads of its pool are then not there.
static FORKED: AtomicBool = AtomicBool::new(false);

/// The pool of a forked process.
static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Does work where its threads are.
pub(crate) fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if !FORKED.load(Ordering::Relaxed) {
        return work();
    }
    match pool() {
        Some(pool) => pool.install(work),
        // Without threads of its own the work would wait for those that the fork has not.
        None => work(),
    }
}

fn pool() -> Option<Arc<ThreadPool>> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if pool.is_none() {
        let count = wanted_threads().ok().flatten().unwrap_or(0);
        *pool = ThreadPoolBuilder::new().num_threads(count).build().ok().map(Arc::new);
    }
    pool.clone()
}

/// The number of threads that the environment asks for.
fn wanted_threads() -> PyResult<Option<usize>> {
    let Some(text) = std::env::var_os(THREADS) else { return Ok(None) };
    let text = text.to_string_lossy();
    match text.parse::<usize>() {
        Ok(count) if (1..=1024).contains(&count) => Ok(Some(count)),
        _ => Err(invalid_value(format!(
            "{THREADS} is {text:?}; set it to a number of threads from 1 to 1024, or unset it"
        ))),
    }
}

/// Starts the threads that the environment asks for.
pub(crate) fn set_up(py: Python<'_>) -> PyResult<()> {
    if let Some(count) = wanted_threads()? {
        ThreadPoolBuilder::new().num_threads(count).build_global().map_err(|error| {
            invalid_value(format!("{THREADS} asks for {count} threads: {error}"))
        })?;
    }
    let os = py.import("os")?;
    if os.hasattr("register_at_fork")? {
        let options = pyo3::types::PyDict::new(py);
        options.set_item("after_in_child", pyo3::wrap_pyfunction!(after_fork, py)?)?;
        os.call_method("register_at_fork", (), Some(&options))?;
    }
    Ok(())
}

/// Notes that this process is a fork.
#[pyfunction]
fn after_fork() {
    FORKED.store(true, Ordering::Relaxed);
    // A pool of the process that this is a fork of: its threads are not here, so that nobody can end them.
    let mut pool = POOL.try_lock().map(|mut pool| pool.take()).unwrap_or_default();
    if let Some(pool) = pool.take() {
        std::mem::forget(pool);
    }
}
