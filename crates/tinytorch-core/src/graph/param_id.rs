//! The identity of a parameter.

use std::sync::atomic::{AtomicU64, Ordering};

/// The identity of a parameter: gradients, observers, profiles and graph nodes refer to it by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(u64);

impl ParamId {
    /// An identity that nothing else in this process has.
    pub(crate) fn mint() -> ParamId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ParamId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
