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
}
