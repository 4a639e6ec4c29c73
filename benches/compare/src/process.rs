//! The program's side of an engine: a process that is asked and answers.

use crate::protocol::{Prepared, Refused, Reply, Request};
use anyhow::{Context, Result, anyhow, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// After so long without an answer an engine counts as hung. Making an int8 encoder takes a peer minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// An engine that waits for requests.
pub(crate) struct Process {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<String>,
    /// What it writes beside its answers.
    log: PathBuf,
    /// The engine with its version.
    pub(crate) version: String,
}

/// How starting an engine went.
pub(crate) enum Start {
    Ready(Process),
    /// Why there is no such engine here, and what would help.
    Skipped(String),
}

impl Process {
    /// Starts an engine that writes what it has to say besides answers to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Start> {
        let errors = File::create(log)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let Ok(mut child) = command.spawn() else {
            let program = command.get_program().to_string_lossy();
            return Ok(Start::Skipped(format!("{program} cannot be started (set PYTHON)")));
        };
        let (requests, output) = (child.stdin.take(), child.stdout.take());
        let (sender, replies) = channel();
        if let Some(output) = output {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            std::thread::spawn(move || lines.into_iter().try_for_each(|line| sender.send(line)));
        }
        let requests = requests.context("an engine without an input")?;
        let log = log.to_path_buf();
        let mut process = Process { child, requests, replies, log, version: String::new() };
        Ok(match process.reply() {
            Ok(Reply::Ready { version }) => {
                process.version = version;
                Start::Ready(process)
            }
            Ok(Reply::Missing { package, install }) => {
                Start::Skipped(format!("{package} is not installed ({install})"))
            }
            Ok(_) => Start::Skipped("it begins with an answer".into()),
            Err(why) => Start::Skipped(format!("{why:#}")),
        })
    }

    /// The ways in which the engine can run a case.
    pub(crate) fn prepare(&mut self, case: &Path) -> Result<(Vec<Prepared>, Vec<Refused>)> {
        match self.ask(&Request::Prepare(case.to_path_buf()))? {
            Reply::Prepared { variants, refused } => Ok((variants, refused)),
            other => Err(unexpected(other)),
        }
    }

    /// Seconds for a call, the median over about `seconds`.
    pub(crate) fn run(&mut self, variant: &str, seconds: f64) -> Result<f64> {
        match self.ask(&Request::Run { variant: variant.into(), seconds })? {
            Reply::Ran { seconds } if seconds > 0.0 => Ok(seconds),
            other => Err(unexpected(other)),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply> {
        let line = serde_json::to_string(request)?;
        if writeln!(self.requests, "{line}").and_then(|()| self.requests.flush()).is_err() {
            bail!(self.last_words());
        }
        self.reply()
    }

    fn reply(&mut self) -> Result<Reply> {
        let line = self.replies.recv_timeout(PATIENCE).map_err(|_| anyhow!(self.last_words()))?;
        serde_json::from_str(&line).with_context(|| format!("no answer of an engine: {line}"))
    }

    /// Why it says no more.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        match text.trim_end().lines().next_back() {
            Some(line) => format!("stopped answering: {line}"),
            None => "stopped answering".into(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unexpected(reply: Reply) -> anyhow::Error {
    match reply {
        Reply::Failed { why } => anyhow!(why),
        _ => anyhow!("the answer to another question"),
    }
}

/// Engines of a few lines of shell.
#[cfg(test)]
pub(crate) mod fake {
    use super::*;

    /// The command of an engine that starts with `first` and gives `prepared` and `ran` as its answers.
    pub(crate) fn command(first: &str, prepared: &str, ran: &str) -> Command {
        let script = format!(
            "echo '{first}'; while read line; do case $line in *prepare*) {prepared};; *) {ran};; esac; done"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    }

    pub(crate) const READY: &str = r#"{"ready":{"version":"fake 1"}}"#;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(command: Command) -> Result<Start> {
        let folder = tempfile::tempdir().unwrap();
        Process::start(command, &folder.path().join("log"))
    }

    #[test]
    fn what_is_not_installed_is_skipped_with_what_to_do() {
        let missing = r#"{"missing":{"package":"torch","install":"pip install torch"}}"#;
        let Start::Skipped(why) = start(fake::command(missing, "", "")).unwrap() else { panic!() };
        assert_eq!(why, "torch is not installed (pip install torch)");
        let Start::Skipped(why) = start(Command::new("/nowhere/python")).unwrap() else { panic!() };
        assert!(why.contains("/nowhere/python cannot be started"), "{why}");
    }

    #[test]
    fn an_engine_that_ends_leaves_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let command =
            fake::command(fake::READY, "echo first >&2; echo out of memory >&2; exit 1", "");
        let started = Process::start(command, &folder.path().join("log")).unwrap();
        let Start::Ready(mut process) = started else { panic!() };
        assert_eq!(process.version, "fake 1");
        for _ in 0..2 {
            let error = process.prepare(Path::new("case.json")).err().unwrap().to_string();
            assert_eq!(error, "stopped answering: out of memory");
        }
    }

    #[test]
    fn answers_that_make_no_sense_are_errors() {
        let nonsense =
            fake::command(fake::READY, "echo hello", r#"echo '{"ran":{"seconds":0.0}}'"#);
        let Start::Ready(mut process) = start(nonsense).unwrap() else { panic!() };
        let error = process.prepare(Path::new("case.json")).err().unwrap().to_string();
        assert!(error.contains("hello"), "{error}");
        assert!(process.run("f32", 0.1).is_err());
    }

    #[test]
    fn an_engine_that_does_not_start_leaves_the_others() {
        let mut crashes = Command::new("sh");
        crashes.args(["-c", "echo no symbol in libengine >&2; exit 1"]);
        let Start::Skipped(why) = start(crashes).unwrap() else { panic!() };
        assert_eq!(why, "stopped answering: no symbol in libengine");
        let ran = r#"{"ran":{"seconds":1}}"#;
        let Start::Skipped(why) = start(fake::command(ran, "", "")).unwrap() else { panic!() };
        assert_eq!(why, "it begins with an answer");
    }
}
