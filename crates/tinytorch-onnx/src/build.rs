//! From the messages of a file to a graph that runs.

mod builder;
mod ends;
mod hard_swish;
mod held;
mod idioms;
mod padding;
mod pairs;
mod read;
mod shortcut;

pub(crate) use builder::{Builder, Built, Value};
pub(crate) use read::{Values, build};
