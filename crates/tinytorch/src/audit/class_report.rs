//! What an audit says about one class.

use super::Interval;
use serde::Serialize;

/// How well a class, or a group of samples, is recognized before and after.
#[derive(Clone, Debug, Serialize)]
pub struct ClassReport {
    /// The class, or the group.
    pub name: String,
    /// Its samples, or tokens.
    pub samples: usize,
    /// Share of them that the float model has right, in percent.
    pub float_recall: f64,
    /// Share of them that the int8 model has right, in percent.
    pub int8_recall: f64,
    /// Share of the float recall that is kept, in percent; `null` if there was none.
    pub kept: Option<f64>,
    /// Where that lies with 95 % confidence.
    pub interval: Option<Interval>,
    /// The first samples, by their places in the data, that only the float model has right.
    pub lost: Vec<usize>,
}
