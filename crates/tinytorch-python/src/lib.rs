//! The Python package of tinytorch: what `tinytorch._tinytorch` gives to the Python files beside it.

#![deny(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod arrays;
mod audit;
mod errors;
mod feed;
mod info;
mod judging;
mod model;
mod options;
mod outside;
mod plan;
mod prepared;
mod process;
mod quantize;
mod results;
mod settings;
mod text;
mod watch;

use pyo3::prelude::*;
use tinytorch::CountingAllocator;

/// Memory claims have a witness, as in the command.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

#[pymodule]
fn _tinytorch(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    process::set_up(py)?;
    arrays::set_up(py)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<model::PyModel>()?;
    module.add_class::<plan::PyPlan>()?;
    module.add_class::<prepared::PyPrepared>()?;
    module.add_function(wrap_pyfunction!(info::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(info::profile, module)?)?;
    module.add_function(wrap_pyfunction!(info::main, module)?)?;
    module.add_function(wrap_pyfunction!(prepared::calibrate, module)?)?;
    module.add_function(wrap_pyfunction!(quantize::quantize, module)?)?;
    module.add_function(wrap_pyfunction!(quantize::apply, module)?)?;
    module.add_function(wrap_pyfunction!(audit::audit, module)?)?;
    module.add_function(wrap_pyfunction!(outside::audit_outside, module)?)?;
    module.add_class::<text::PyEncoder>()?;
    module.add_function(wrap_pyfunction!(text::generate, module)?)?;
    Ok(())
}
