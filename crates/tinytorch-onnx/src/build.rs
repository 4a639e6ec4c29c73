//! From the messages of a file to a graph that runs.

mod builder;
mod pairs;
mod read;

pub(crate) use builder::{Builder, Built, Value};
pub(crate) use read::{Values, build};
