#![forbid(unsafe_code)]
//! tinytorch.
