//! The rungs of the ladder, and what they are worth.

use crate::quant::Scheme;

/// The rungs of the ladder, from fast to precise.
pub const RUNGS: [Scheme; 5] = [
    Scheme::STATIC,
    Scheme::DYNAMIC,
    Scheme::DYNAMIC_BLOCKS,
    Scheme::DYNAMIC16_BLOCKS,
    Scheme::Float,
];

/// What a layer takes on the rungs that are open to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Priced {
    /// Its weight.
    pub weight: String,
    /// The rungs from fast to precise, with the time on each.
    pub times: Vec<(Scheme, f64)>,
}
