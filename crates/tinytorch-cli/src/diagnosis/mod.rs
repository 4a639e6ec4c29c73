//! What is wrong with an int8 file, or with an engine that runs it.

mod engine;
mod parameters;

pub(crate) use engine::Suspect;
pub(crate) use parameters::held_against;
