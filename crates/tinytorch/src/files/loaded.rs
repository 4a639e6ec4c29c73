//! What reading a model gives.

use super::Provenance;
use crate::models::Model;

/// A model from a file.
#[derive(Clone)]
pub struct Loaded<M = Box<dyn Model>> {
    /// The model.
    pub model: M,
    /// Where it comes from.
    pub provenance: Provenance,
}
