//! Text: how it goes on, and its vectors.

use crate::arrays::to_array;
use crate::errors::{invalid_value, raise_any};
use crate::options::option;
use crate::process::in_pool;
use crate::watch::watched;
use pyo3::Borrowed;
use pyo3::prelude::*;
use std::path::PathBuf;
use tinytorch::files::Embedder;
use tinytorch_cli::api::{self, Continuation};

/// How a text goes on, as Python says it.
pub(crate) struct Choices {
    tokenizer: Option<PathBuf>,
    prompt: Option<String>,
    steps: usize,
    greedy: bool,
    temperature: f32,
    top_k: Option<usize>,
    top_p: Option<f32>,
    seed: u64,
    cache: String,
    int8: bool,
}

impl<'py> FromPyObject<'_, 'py> for Choices {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Choices> {
        Ok(Choices {
            tokenizer: option(&given, "tokenizer")?,
            prompt: option(&given, "prompt")?,
            steps: option(&given, "steps")?,
            greedy: option(&given, "greedy")?,
            temperature: option(&given, "temperature")?,
            top_k: option(&given, "top_k")?,
            top_p: option(&given, "top_p")?,
            seed: option(&given, "seed")?,
            cache: option(&given, "cache")?,
            int8: option(&given, "int8")?,
        })
    }
}

/// The text, its ids, how many of them are the prompt's, why it ended, and tokens per second.
type Text = (String, Vec<i64>, usize, String, f64);

/// A text and what follows it, of which `show` is told as it comes.
#[pyfunction]
pub(crate) fn generate(
    py: Python<'_>,
    file: PathBuf,
    choices: Choices,
    show: Option<Py<PyAny>>,
) -> PyResult<Text> {
    let Choices { tokenizer, prompt, steps, greedy, temperature, .. } = choices;
    let Choices { top_k, top_p, seed, cache, int8, .. } = choices;
    let continuation = Continuation {
        file,
        tokenizer,
        prompt,
        steps,
        greedy,
        temperature,
        top_k,
        top_p,
        seed,
        cache,
        int8,
    };
    let made = watched(py, show.as_ref(), |watch| {
        continuation.continued(|piece| {
            watch.show(piece);
            watch.check()
        })
    });
    let made = made?.map_err(|error| raise_any(&error))?;
    let finish = serde_json::to_value(made.finish).ok();
    let finish = finish.and_then(|word| word.as_str().map(String::from)).unwrap_or_default();
    let rate = made.tokens_per_second();
    Ok((made.text, made.ids, made.prompt, finish, rate))
}

/// A sentence encoder that is read once for many calls: ``Encoder(folder, int8=False)``.
///
/// Raises ``FileNotFoundError`` if nothing is there, ``ValueError`` for a folder that holds no sentence encoder.
#[pyclass(name = "Encoder", module = "tinytorch", frozen)]
pub(crate) struct PyEncoder {
    encoder: Embedder,
}

#[pymethods]
impl PyEncoder {
    #[new]
    #[pyo3(signature = (folder, int8 = false))]
    fn new(py: Python<'_>, folder: PathBuf, int8: bool) -> PyResult<PyEncoder> {
        let encoder = py.detach(|| in_pool(|| api::encoder(&folder, int8)));
        Ok(PyEncoder { encoder: encoder.map_err(|error| raise_any(&error))? })
    }

    /// A row for each sentence: ``float32`` of shape ``[sentences, dim]``.
    ///
    /// Raises ``ValueError`` for no sentence, and what ``progress`` raises, as itself.
    #[pyo3(signature = (sentences, progress = None))]
    fn embed<'py>(
        &self,
        py: Python<'py>,
        sentences: Vec<String>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if sentences.is_empty() {
            return Err(invalid_value("there is not one sentence to embed"));
        }
        let vectors = watched(py, progress.as_ref(), |watch| {
            let tell = &mut |what: &'static str, done, of| watch.tell(what, done, of);
            api::embed(&self.encoder, &sentences, tell)
        });
        to_array(py, &vectors?.map_err(|error| raise_any(&error))?)
    }
}
