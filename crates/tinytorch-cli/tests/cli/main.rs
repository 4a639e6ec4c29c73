//! The `tinytorch` command as its users meet it: what it prints, writes and exits with.

mod bad_input;
mod generate;
mod mismatch;
mod output;
mod pipeline;
mod support;
