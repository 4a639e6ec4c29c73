//! What can go wrong when times are compared.

/// What can go wrong when times are compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// Nothing to time.
    #[error("there is nothing to time; add a candidate")]
    NoCandidates,
    /// Work that takes no time by the clock, however often it is repeated.
    #[error(
        "`{name}` takes no time that the clock can tell, even {calls} times in a row; give it more work"
    )]
    TooShort {
        /// The candidate.
        name: String,
        /// Calls that were timed together.
        calls: u64,
    },
    /// A setting that measures nothing.
    #[error("the setting {name} is {value}; it must be {needed}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        needed: &'static str,
    },
}

impl crate::CustomError for StatsError {}
