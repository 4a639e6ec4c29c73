//! Why a file of PyTorch cannot be read.

/// What is wrong with a file that `torch.save` has written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// The archive around the tensors is no sound one.
    #[error("it is a zip archive, as torch.save writes, and damaged: {problem}; copy it again")]
    Archive {
        /// What is wrong.
        problem: String,
    },
    /// The pickle ends early, or its parts do not fit together.
    #[error("it is a PyTorch file whose pickle is damaged at byte {at}: {problem}; copy it again")]
    Pickle {
        /// Where.
        at: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// An instruction that no state dict of plain tensors needs.
    #[error(
        "it is a PyTorch file whose pickle has the instruction {code:#04x} at byte {at}, which plain tensors do not need and which is not executed; save the state dict with safetensors.torch.save_file"
    )]
    Instruction {
        /// The instruction.
        code: u8,
        /// Where.
        at: usize,
    },
    /// An object that is no plain tensor.
    #[error(
        "it is a PyTorch file with an object of the kind {name:?}, which is not loaded, since it could run any program; save the state dict alone, with safetensors.torch.save_file or torch.save(model.state_dict(), FILE)"
    )]
    Object {
        /// Its module and name.
        name: String,
    },
    /// Something else than a dictionary of tensors.
    #[error(
        "it is a PyTorch file that holds no dictionary of tensors; save the state dict with torch.save(model.state_dict(), FILE)"
    )]
    NoStateDict,
    /// An entry of the state dict that is no tensor.
    #[error(
        "it is a PyTorch file whose entry {name:?} is no tensor; save the state dict alone with torch.save(model.state_dict(), FILE)"
    )]
    NoTensor {
        /// The entry.
        name: String,
    },
    /// Two entries of the same name.
    #[error("it is a PyTorch file with two tensors {tensor:?}")]
    Twice {
        /// The name.
        tensor: String,
    },
    /// A tensor whose values do not lie one after the other.
    #[error(
        "it is a PyTorch file whose tensor {tensor:?} is a view with gaps or in another order; save it with .contiguous()"
    )]
    Strided {
        /// The tensor.
        tensor: String,
    },
    /// A tensor that reaches outside of its bytes.
    #[error(
        "it is a PyTorch file whose tensor {tensor:?} needs more bytes than there are; copy it again"
    )]
    Outside {
        /// The tensor.
        tensor: String,
    },
    /// Bytes that the archive does not have.
    #[error(
        "it is a PyTorch file without the bytes {storage:?} of the tensor {tensor:?}; copy it again"
    )]
    NoStorage {
        /// The tensor.
        tensor: String,
        /// The name of its bytes.
        storage: String,
    },
    /// A file of another kind of machine.
    #[error(
        "it is a PyTorch file in big-endian order, which is not supported; save it with safetensors.torch.save_file"
    )]
    ByteOrder,
}
