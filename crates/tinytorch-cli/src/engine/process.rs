//! The process in which an engine runs.

use super::error::EngineError;
use super::wire;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tinytorch::{Result, Tensor};

/// What the process runs.
const PROGRAM: &str = include_str!("engine.py");

/// The variable that names the interpreter.
const PYTHON: &str = "TINYTORCH_PYTHON";

/// Characters of an answer that an error shows.
const SHOWN: usize = 200;

/// What an engine says of a model that it has read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    pub(super) outputs: Vec<String>,
    /// How many samples it takes, if no other number.
    pub(super) batch: Option<usize>,
}

/// A process that holds a model, until it is dropped.
pub(super) struct Process {
    engine: &'static str,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    told: Told,
}

/// An answer, or what is wrong.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Wrong { error: String },
    Right(T),
}

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// To answer.
    Answer,
    /// To answer without rewriting the graph.
    AnswerPlainly,
    /// To hold so many more copies of the model.
    Hold(usize),
}

impl Process {
    /// Starts an engine on a model, to answer.
    pub(super) fn start(
        engine: &'static str,
        file: &Path,
        task: Task,
    ) -> Result<Process, EngineError> {
        let (mut child, mut from) = spawn(engine, file, task)?;
        let to = child.stdin.take();
        let told = line(engine, &mut from)?;
        Ok(Process { engine, child, to, from, told })
    }

    pub(super) fn told(&self) -> &Told {
        &self.told
    }

    /// What the model gives for these inputs.
    pub(super) fn answer(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let engine = self.engine;
        let gone = |error: std::io::Error| EngineError::Gone { engine, problem: error.to_string() };
        let message = wire::message(inputs)?;
        if let Some(to) = &mut self.to {
            wire::send(to, &message).map_err(gone)?;
        }
        let headers: Vec<wire::Header> = line(engine, &mut self.from)?;
        let mut outputs = Vec::with_capacity(headers.len());
        for wire::Header { dtype, shape } in headers {
            let known = wire::DTYPES.iter().find(|(name, _)| *name == dtype);
            let (_, dtype) = known.ok_or(EngineError::Dtype { engine, dtype })?;
            outputs.push(wire::array(*dtype, &shape, &mut self.from)?.map_err(gone)?);
        }
        Ok(outputs)
    }

    /// Bytes that a fresh process takes to hold so many more copies of a model, and what the engine calls itself.
    pub(super) fn footprint(
        engine: &'static str,
        file: &Path,
        copies: usize,
    ) -> Result<(u64, String), EngineError> {
        #[derive(Deserialize)]
        struct Held {
            bytes: u64,
            name: String,
        }
        let (mut child, mut from) = spawn(engine, file, Task::Hold(copies))?;
        let held = line(engine, &mut from);
        // It has said all that it has to say.
        let _ = child.wait();
        let Held { bytes, name } = held?;
        Ok((bytes, name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process ends when nobody writes to it any more.
        self.to = None;
        let _ = self.child.wait();
    }
}

fn spawn(
    engine: &'static str,
    file: &Path,
    task: Task,
) -> Result<(Child, BufReader<ChildStdout>), EngineError> {
    let python = std::env::var_os(PYTHON).unwrap_or_else(|| OsString::from("python3"));
    let start = |source| EngineError::Start { python: PathBuf::from(&python), source };
    let mut command = Command::new(&python);
    command.args(["-c", PROGRAM, engine]).arg(file).arg(match task {
        Task::Answer => "run".to_string(),
        Task::AnswerPlainly => "plain".to_string(),
        Task::Hold(copies) => copies.to_string(),
    });
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(start)?;
    let gone = || EngineError::Gone { engine, problem: "it has no output".to_string() };
    let from = child.stdout.take().ok_or_else(gone)?;
    Ok((child, BufReader::new(from)))
}

/// The next line that a process says.
fn line<T: DeserializeOwned>(
    engine: &'static str,
    from: &mut impl BufRead,
) -> Result<T, EngineError> {
    let gone = |problem: String| EngineError::Gone { engine, problem };
    let mut line = String::new();
    from.read_line(&mut line).map_err(|error| gone(error.to_string()))?;
    match serde_json::from_str(&line) {
        Ok(Answer::Right(told)) => Ok(told),
        Ok(Answer::Wrong { error }) => Err(EngineError::Engine { engine, problem: error }),
        Err(_) => Err(gone(format!("it said {:?}", line.chars().take(SHOWN).collect::<String>()))),
    }
}
