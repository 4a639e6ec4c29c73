/// How files of another origin name what a model holds.
#[derive(Clone, Copy, Debug)]
pub struct ForeignNames {
    /// The file's name of the parameter that the model calls so.
    pub rename: fn(&str) -> String,
    /// Whether a tensor of the file is none of the model's and can be passed over.
    pub ignore: fn(&str) -> bool,
}

impl ForeignNames {
    /// The model's own names. PyTorch's count of the batches that a norm has seen is passed over.
    pub const SAME: ForeignNames = ForeignNames {
        rename: str::to_string,
        ignore: |name| name.ends_with(".num_batches_tracked"),
    };
}
