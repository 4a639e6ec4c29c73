//! Small models, written by the tests themselves.

mod bad_input;
mod counterparts;
mod counterparts_alike;
mod diagnosis;
mod export;
mod frames;
mod models;
mod quantized;
mod recurrent;
mod seldom;
mod steps;
mod support;
mod translate;
mod types;
