//! A fresh process that answers one request.

use super::ProfileError;
use super::probe::{ProbeReport, ProbeRequest};
use crate::Result;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Set in the environment of a process that was started to answer one request.
pub(crate) const ANSWERS: &str = "TINYTORCH_PROBE";

/// How long [`spawn`] waits for an answer.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// A report has some 500 bytes; an endless answer must not fill the memory.
const LONGEST_ANSWER: u64 = 1 << 20;

/// How often a child that has closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// Starts `program` with `args`, writes the request to its standard input as one line of JSON and
/// reads the report from its standard output; the program calls [`run`](super::process::run).
///
/// # Errors
/// [`ProfileError`]: the program does not start, fails, does not answer within [`TIMEOUT`], or
/// answers something else.
pub fn spawn(program: &Path, args: &[&str], request: &ProbeRequest) -> Result<ProbeReport> {
    spawn_within(TIMEOUT, program, args, request)
}

/// [`spawn`], with a time limit of the caller's.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_within(
    limit: Duration,
    program: &Path,
    args: &[&str],
    request: &ProbeRequest,
) -> Result<ProbeReport> {
    let deadline = Instant::now() + limit;
    let start = |source| ProfileError::Start { program: program.to_path_buf(), source };
    let no_report =
        |detail: String| ProfileError::NoReport { program: program.to_path_buf(), detail };
    let line = serde_json::to_vec(request).map_err(|error| no_report(error.to_string()))?;
    let child = Command::new(program)
        .args(args)
        .env(ANSWERS, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let mut child = Ended(child);
    let answer = child.0.stdout.take().map(read_aside);
    let complaint = child.0.stderr.take().map(read_aside);
    if let Some(mut stdin) = child.0.stdin.take() {
        // A program that ends without reading shows why by its status, not by the broken pipe. The
        // request is far shorter than a pipe holds, so this does not wait.
        let _ = stdin.write_all(&line).and_then(|()| stdin.write_all(b"\n"));
    }
    let timed_out =
        || ProfileError::TimedOut { program: program.to_path_buf(), seconds: limit.as_secs() };
    let answer = text_before(deadline, answer).ok_or_else(timed_out)?;
    let complaint = text_before(deadline, complaint).ok_or_else(timed_out)?;
    let status = child.status_before(deadline).map_err(start)?.ok_or_else(timed_out)?;
    if !status.success() {
        let last = complaint.lines().rev().find(|line| !line.trim().is_empty());
        let message = last.unwrap_or("it said nothing").trim().to_string();
        let program = program.to_path_buf();
        return Err(ProfileError::Failed { program, status, message }.into());
    }
    // A test runner prints lines of its own around the report.
    let report = answer.lines().find(|line| line.starts_with('{'));
    let report = report.ok_or_else(|| no_report("it printed no JSON".to_string()))?;
    Ok(serde_json::from_str(report).map_err(|error| no_report(error.to_string()))?)
}

/// A child that does not outlive its parent's interest.
struct Ended(Child);

impl Ended {
    fn status_before(&mut self, deadline: Instant) -> std::io::Result<Option<ExitStatus>> {
        loop {
            let status = self.0.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only for a child that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a pipe on a thread of its own, so that neither of two pipes blocks the other and a
/// grandchild that keeps one open does not block the caller.
fn read_aside(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is still worth showing.
        let _ = pipe.take(LONGEST_ANSWER).read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// All that a pipe held, or `None` if it was still open at the deadline.
fn text_before(deadline: Instant, pipe: Option<Receiver<String>>) -> Option<String> {
    let left = deadline.saturating_duration_since(Instant::now());
    pipe.map_or(Some(String::new()), |pipe| pipe.recv_timeout(left).ok())
}
