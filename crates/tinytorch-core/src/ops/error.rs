/// What can be wrong with an argument of an op.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// A probability outside 0 to 1.
    #[error("{op}: the probability is {value}; it must lie between 0 and 1")]
    Probability {
        /// The op.
        op: &'static str,
        /// The value given.
        value: f32,
    },
    /// A sequence longer than the table of positions.
    #[error(
        "the sequence reaches position {end}, but there are {positions} positions; shorten it or use a model with a longer context"
    )]
    Context {
        /// One past the last position of the sequence.
        end: usize,
        /// Number of positions there are.
        positions: usize,
    },
}
