//! What can go wrong when a model is made smaller.

use crate::tensor::Shape;

/// What can go wrong when a model is compressed. The model is then as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// A share of weights that makes no sense.
    #[error("a sparsity of {sparsity} was asked for; it must be at least 0 and below 1")]
    Sparsity {
        /// The share.
        sparsity: f64,
    },
    /// A model without a weight to prune.
    #[error("the model has nothing to prune: no weight of a linear layer or a convolution")]
    NothingToPrune,
    /// A weight that is not float, or has something beside it.
    #[error(
        "`{weight}` is {form}, and only plain float weights can be {change}; do that first, and quantize or adapt afterwards"
    )]
    NotPlain {
        /// The weight.
        weight: String,
        /// How it is stored.
        form: &'static str,
        /// What was to be done.
        change: &'static str,
    },
    /// A weight that is NaN or infinite.
    #[error("`{weight}` has the value {value} at {index}; check the training that it comes from")]
    NotFinite {
        /// The weight.
        weight: String,
        /// The value.
        value: f32,
        /// Its position.
        index: usize,
    },
    /// Masks of another model.
    #[error("the masks do not fit the model: {problem}; take them from this model")]
    Masks {
        /// What differs.
        problem: String,
    },
    /// A model whose layers do not follow one another.
    #[error(
        "channels cannot be removed past a {kind}; only chains of linear layers, convolutions without groups, batch norms, activations and pools are known"
    )]
    NotAChain {
        /// The kind of layer.
        kind: &'static str,
    },
    /// Layers whose widths do not meet.
    #[error(
        "`{from}` gives {outputs} channels, which do not divide the {inputs} inputs of `{to}`; only flattened channels can lie between them"
    )]
    Widths {
        /// The first weight.
        from: String,
        /// Its outputs.
        outputs: usize,
        /// The second weight.
        to: String,
        /// Its inputs.
        inputs: usize,
    },
    /// Something other than a matrix.
    #[error("a tensor of shape {shape} has no low-rank form; a matrix [out, in] has")]
    NotAMatrix {
        /// The shape.
        shape: Shape,
    },
    /// A rank that a matrix does not have.
    #[error("rank {rank} does not fit a matrix of shape {shape}; choose 1 to {max}")]
    Rank {
        /// The rank.
        rank: usize,
        /// The shape.
        shape: Shape,
        /// The smaller side.
        max: usize,
    },
    /// A pattern that names no linear layer.
    #[error("there is no linear layer `{pattern}` to factor; the linear layers are {known}")]
    NoLayer {
        /// The pattern.
        pattern: String,
        /// The layers there are.
        known: String,
    },
    /// A rank at which two factors are as large as the weight.
    #[error(
        "rank {rank} makes none of the layers smaller: {layers}; rank * (out + in) must be below out * in"
    )]
    NothingSaved {
        /// The rank.
        rank: usize,
        /// The layers.
        layers: String,
    },
    /// A weight of the labels' loss that makes no sense.
    #[error("the alpha of a distillation is {alpha}; it must be from 0 to 1")]
    Alpha {
        /// The weight.
        alpha: f32,
    },
}

impl crate::CustomError for CompressError {}
