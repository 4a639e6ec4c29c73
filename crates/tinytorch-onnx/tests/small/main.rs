//! Small models, written by the tests themselves.

mod bad_input;
mod models;
mod support;
