//! Small models, written by the tests themselves.

mod bad_input;
mod frames;
mod models;
mod support;
