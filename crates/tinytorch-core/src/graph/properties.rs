//! What rewrites, plans and reports ask of an op: facts about it, so that nothing compares names.

/// Facts about what an op computes. All are false or `None` unless the op says otherwise; a fact that is left out
/// costs speed, one that is wrong costs results.
///
/// ```
/// use tinytorch_core::graph::Properties;
/// let doubling = Properties { pointwise: true, ..Properties::default() };
/// assert!(!doubling.sums);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Properties {
    /// Each output depends on the inputs at its own place alone, up to broadcasting, so that the order of
    /// the axes in memory does not matter as long as it is the same everywhere.
    pub pointwise: bool,
    /// The output is the first input's elements in the same order, in a shape of its own: a plan copies
    /// nothing.
    pub reshapes: bool,
    /// Each output is one of the first input's elements, chosen by its place or as the largest, so that
    /// a function that never decreases may as well be applied before it. Such an op of one input takes
    /// 8-bit levels too.
    pub selects: bool,
    /// The inputs, one after the other along an axis. Such an op takes 8-bit levels too, of one range.
    pub joins: bool,
    /// No output lies outside of the range of the inputs and 0.
    pub keeps_range: bool,
    /// The sum of two inputs, one of which may be stretched to the other.
    pub sums: bool,
    /// `max(x, 0)`.
    pub positive_part: bool,
    /// `min(max(x, low), high)` with these two bounds, the lower one first.
    pub clips: Option<[f32; 2]>,
    /// Inputs as a model is fed them become values of mean 0 and variance 1.
    pub standardizes: bool,
    /// Each channel is scaled and shifted by statistics, as in a batch norm.
    pub normalizes_channels: bool,
    /// Rows of a table, which nothing multiplies: those that the input names, or the same for all.
    pub looks_up: bool,
    /// What lies at a place of the output's first axis depends on what lies there in the inputs and on nothing else of
    /// those that have as long an axis, so that samples of a batch do not meet. Pointwise ops need not say so.
    pub keeps_samples_apart: bool,
    /// In which orders the op takes images.
    pub orders: Orders,
    /// Where the sizes of the output come from.
    pub sizes: Sizes,
}

impl Properties {
    /// Whether samples of a batch do not meet, as they do not in a pointwise op.
    pub(crate) fn sets_samples_apart(&self) -> bool {
        self.keeps_samples_apart || self.pointwise
    }
}

/// Where the sizes of an op's output come from: what follows the inputs, and what is a number that was known
/// when the op was made, so that a traced model may have it from its example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizes {
    /// All follow the inputs.
    #[default]
    Follow,
    /// Some are numbers, or positions within an axis are.
    Some,
    /// All are numbers.
    All,
}

/// In which orders in memory an op reads and writes images `[batch, channels, height, width]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orders {
    /// Channel by channel, as all other tensors.
    #[default]
    ByChannel,
    /// Channel by channel, and what it gives is so little that turning what it reads pays if the layer
    /// before can then write pixel by pixel.
    ByChannelReduced,
    /// Either, the output in the order of the input: [`Compute::run_images`](super::Compute::run_images).
    Alike,
    /// Either, and channel by channel from pixel by pixel too.
    AlikeOrTurned,
}

impl Orders {
    /// Whether the op reads and writes images pixel by pixel.
    pub(crate) fn takes_pixels(self) -> bool {
        matches!(self, Orders::Alike | Orders::AlikeOrTurned)
    }
}
