//! The `tinytorch` command.

fn main() {}
