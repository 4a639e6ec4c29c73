//! `completions` and `man`: what shells and readers of manuals know of the command line, from its own definition.

use crate::Verdict;
use crate::output::Screen;
use crate::problem::Problem;
use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man as Page;
use std::io::Write;

/// Print what makes a shell complete the commands and their options.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command: Command, screen: &mut Screen) -> Result<Verdict> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "tinytorch", &mut script);
        screen.write_all(&script)?;
        Ok(Verdict::Good)
    }
}

/// Print a page of the manual, for `man -l`.
#[derive(Args)]
pub(crate) struct Man {
    /// The command that it is about, instead of all of them
    command: Option<String>,
}

impl Man {
    pub(crate) fn run(self, mut command: Command, screen: &mut Screen) -> Result<Verdict> {
        // Names of commands below others are known only then.
        command.build();
        let page = match &self.command {
            None => command,
            Some(name) => match command.find_subcommand(name) {
                Some(found) => found.clone(),
                None => return Err(Problem::UnknownCommand { name: name.clone() }.into()),
            },
        };
        let mut text = Vec::new();
        Page::new(page).render(&mut text)?;
        screen.write_all(&text)?;
        Ok(Verdict::Good)
    }
}
