//! The `tinytorch` command as a library: what its `main` and the Python package call.
//!
//! [`run`] is the whole command line. [`api`] is what commands do, given values instead of arguments. Both are
//! for programs of this workspace: whoever writes Rust uses the library `tinytorch`.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]
#![forbid(unsafe_code)]

pub mod api;
mod arrays;
mod black_box;
mod commands;
mod data;
mod diagnosis;
mod engine;
mod examples;
mod feedback;
mod language;
mod metrics;
mod open;
mod output;
mod overwrite;
mod own_form;
mod pictures;
mod problem;
mod scale;
mod sentences;
mod shapes;
mod share;
mod standard;
mod table;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use output::Screen;
use overwrite::Paths;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use tinytorch::Isa;
use tinytorch::audit::Probe;
use tracing_subscriber::filter::LevelFilter;

/// A small deep-learning framework whose int8 is proven.
#[derive(Parser)]
#[command(name = "tinytorch", version = version(), about)]
struct Cli {
    /// Leave out warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell more of what is done
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Audit(commands::audit::Audit),
    Train(commands::train::Train),
    Import(commands::import::Import),
    Export(commands::export::Export),
    Quantize(commands::quantize::Quantize),
    Eval(commands::eval::Eval),
    Run(commands::run::Run),
    Generate(commands::generate::Generate),
    Embed(commands::embed::Embed),
    Inspect(commands::inspect::Inspect),
    Verify(commands::verify::Verify),
    Profile(commands::profile::Profile),
    Bench(commands::bench::Bench),
    Completions(commands::shell::Completions),
    Man(commands::shell::Man),
}

impl Command {
    /// What it reads and where it writes, if it writes a file that it is told.
    fn paths(&self) -> Option<Paths<'_>> {
        match self {
            Command::Train(train) => Some(train.paths()),
            Command::Import(import) => Some(import.paths()),
            Command::Export(export) => Some(export.paths()),
            Command::Quantize(quantize) => Some(quantize.paths()),
            Command::Run(run) => Some(run.paths()),
            Command::Embed(embed) => Some(embed.paths()),
            Command::Audit(audit) => Some(audit.paths()),
            Command::Eval(_)
            | Command::Generate(_)
            | Command::Inspect(_)
            | Command::Verify(_)
            | Command::Profile(_)
            | Command::Bench(_)
            | Command::Completions(_)
            | Command::Man(_) => None,
        }
    }
}

/// The definition of the command line.
fn command_line() -> clap::Command {
    examples::added(Cli::command())
}

/// The version, the commit that it was built of where that is known, and the instruction set that it runs on.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    let commit = option_env!("TINYTORCH_COMMIT").map(|commit| format!("commit {commit}, "));
    // A bad setting is told when a command runs.
    let isa = Isa::from_env().map_or_else(|_| "unknown".to_string(), |isa| isa.name().to_string());
    let commit = commit.unwrap_or_default();
    VERSION.get_or_init(|| format!("{} ({commit}{isa})", env!("CARGO_PKG_VERSION")))
}

/// What a command that ran to its end found.
enum Verdict {
    Good,
    GateFailed,
}

const GATE_FAILED: u8 = 1;
const BAD_USAGE_OR_INPUT: u8 = 2;

/// Runs a command line, whose first word is the program's name, and returns its exit code: 0 if all is good, 1
/// if a gate failed, 2 for bad usage or input. `again` is what starts this command again, a program and its
/// arguments, where that is not the program of this process: an interpreter, say.
pub fn run(args: impl IntoIterator<Item = OsString>, again: Option<(PathBuf, Vec<String>)>) -> u8 {
    let probe = match Probe::serve(&open::kinds()) {
        Ok(Some(probe)) => again.map_or(probe, |(program, args)| Probe::new(program, args)),
        Ok(None) => return 0,
        Err(error) => return refuse(&error),
    };
    let matches = command_line().try_get_matches_from(args);
    let Cli { quiet, verbose, command } = match matches.and_then(|m| Cli::from_arg_matches(&m)) {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    // A program that has its own way of telling warnings keeps it.
    let _ = tracing_subscriber::fmt()
        .with_max_level(match (quiet, verbose) {
            (true, _) => LevelFilter::ERROR,
            (_, true) => LevelFilter::DEBUG,
            _ => LevelFilter::WARN,
        })
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .try_init();
    match execute(command, probe) {
        Ok(Verdict::Good) => 0,
        Ok(Verdict::GateFailed) => GATE_FAILED,
        Err(error) => refuse(&sentence(&error)),
    }
}

fn execute(command: Command, probe: Probe) -> anyhow::Result<Verdict> {
    Isa::from_env()?;
    if let Some(paths) = command.paths() {
        paths.check()?;
    }
    let mut screen = Screen::new();
    let verdict = match command {
        Command::Audit(audit) => audit.run(probe, &mut screen),
        Command::Train(train) => train.run(&mut screen),
        Command::Import(import) => import.run(&mut screen),
        Command::Export(export) => export.run(&mut screen),
        Command::Quantize(quantize) => quantize.run(&mut screen),
        Command::Eval(eval) => eval.run(&mut screen),
        Command::Run(run) => run.run(&mut screen),
        Command::Generate(generate) => generate.run(&mut screen),
        Command::Embed(embed) => embed.run(&mut screen),
        Command::Inspect(inspect) => inspect.run(&mut screen),
        Command::Verify(verify) => verify.run(&mut screen),
        Command::Profile(profile) => profile.run(&mut screen),
        Command::Bench(bench) => bench.run(&mut screen),
        Command::Completions(completions) => completions.run(command_line(), &mut screen),
        Command::Man(man) => man.run(command_line(), &mut screen),
    }?;
    screen.flush()?;
    Ok(verdict)
}

/// Answers what clap could not parse: help as it is, anything else in one line.
fn explain(error: &clap::Error) -> u8 {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return match Screen::new().write_all(text.as_bytes()) {
            Ok(()) => 0,
            Err(error) => refuse(&error),
        };
    }
    let Some(text) = text.strip_prefix("error: ") else {
        // Nobody is left to tell if stderr cannot be written.
        let _ = io::stderr().write_all(text.as_bytes());
        return BAD_USAGE_OR_INPUT;
    };
    let mut parts = text.split("\n\n");
    let words = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let problem = words(parts.next().unwrap_or(text));
    let tip = parts.find_map(|part| part.trim_start().strip_prefix("tip: ")).map(words);
    match tip {
        Some(tip) => refuse(&format_args!("{problem}; {tip}; add --help to see what is possible")),
        None => refuse(&format_args!("{problem}; add --help to see what is possible")),
    }
}

/// An error and its causes, but for those that it tells itself.
pub fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told {
        told if told.is_empty() => cause,
        told if told.contains(&cause) => told,
        told => format!("{told}: {cause}"),
    })
}

fn refuse(problem: &dyn Display) -> u8 {
    // Nobody is left to tell if stderr cannot be written.
    let _ = writeln!(io::stderr(), "error: {problem}");
    BAD_USAGE_OR_INPUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        command_line().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = io::Error::other("the disk is full");
        let telling = anyhow::anyhow!("cannot write x: the disk is full");
        assert_eq!(
            sentence(&telling.context("saving failed")),
            "saving failed: cannot write x: the disk is full"
        );
        let wrapped = anyhow::Error::new(cause).context("cannot write x: the disk is full");
        assert_eq!(sentence(&wrapped), "cannot write x: the disk is full");
    }
}
