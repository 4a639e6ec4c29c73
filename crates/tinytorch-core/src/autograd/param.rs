//! The tensors that layers own.

use super::AutogradError;
use crate::Result;
use crate::graph::ParamId;
use crate::int8::Int8Weight;
use crate::tensor::{Shape, Tensor};

/// How a layer uses a parameter, which decides how it trains and whether it can be int8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[out, in]`: multiplied by [`Var::linear`](crate::autograd::Var::linear).
    LinearWeight,
    /// `[out, in / groups, height, width]`: a convolution's kernel.
    ConvWeight {
        /// Number of groups the channels are divided into.
        groups: usize,
    },
    /// `[entries, dim]`: looked up by row.
    Embedding,
    /// Trained, and always float: a bias, a norm's scale.
    Vector,
    /// State that is saved but not trained: running statistics.
    Buffer,
}

/// How a parameter's values are held.
#[derive(Clone, Debug)]
pub enum Stored {
    /// Not at all yet: a model that is about to be loaded from a file.
    Absent(Shape),
    /// As floats.
    F32(Tensor),
    /// As packed int8 with scales; the floats are gone.
    Int8(Int8Weight),
}

impl Stored {
    /// The shape in the layer's terms.
    pub fn shape(&self) -> Shape {
        match self {
            Stored::Absent(shape) => *shape,
            Stored::F32(tensor) => *tensor.shape(),
            Stored::Int8(weight) => weight.shape(),
        }
    }
}

/// A tensor that a layer owns. Cloning copies the value (cheaply, copy-on-write) under a new
/// identity, so a clone trains and quantizes independently.
#[derive(Debug)]
pub struct Param {
    id: ParamId,
    role: Role,
    stored: Stored,
    frozen: bool,
}

impl Param {
    /// A parameter with these float values.
    pub fn new(value: Tensor, role: Role) -> Param {
        Param { id: ParamId::mint(), role, stored: Stored::F32(value), frozen: false }
    }

    /// A parameter without values, to be loaded.
    pub fn absent(shape: Shape, role: Role) -> Param {
        Param { id: ParamId::mint(), role, stored: Stored::Absent(shape), frozen: false }
    }

    /// The identity.
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// How the layer uses it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The shape in the layer's terms, whatever the storage.
    pub fn shape(&self) -> Shape {
        self.stored.shape()
    }

    /// How the values are held.
    pub fn stored(&self) -> &Stored {
        &self.stored
    }

    /// Replaces the values. Whoever stores values of another shape, as pruning does, keeps the layer's
    /// other parameters in step.
    pub fn store(&mut self, stored: Stored) {
        self.stored = stored;
    }

    /// The float values.
    ///
    /// # Errors
    /// [`AutogradError::Int8Weight`] or [`AutogradError::NotLoaded`] if there are none.
    pub fn value(&self) -> Result<&Tensor> {
        let shape = self.shape();
        match &self.stored {
            Stored::F32(tensor) => Ok(tensor),
            Stored::Int8(_) => Err(AutogradError::Int8Weight { shape }.into()),
            Stored::Absent(_) => Err(AutogradError::NotLoaded { shape }.into()),
        }
    }

    /// The float values, for an optimizer to change.
    ///
    /// # Errors
    /// As [`Param::value`].
    pub fn value_mut(&mut self) -> Result<&mut Tensor> {
        let shape = self.shape();
        match &mut self.stored {
            Stored::F32(tensor) => Ok(tensor),
            Stored::Int8(_) => Err(AutogradError::Int8Weight { shape }.into()),
            Stored::Absent(_) => Err(AutogradError::NotLoaded { shape }.into()),
        }
    }

    /// The packed weight, if it is int8.
    pub fn int8(&self) -> Option<&Int8Weight> {
        if let Stored::Int8(weight) = &self.stored { Some(weight) } else { None }
    }

    /// Whether training changes it: neither frozen nor int8 nor a buffer.
    pub fn is_trainable(&self) -> bool {
        !self.frozen && self.role != Role::Buffer && !matches!(self.stored, Stored::Int8(_))
    }

    /// Whether training was told to leave it alone.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Tells training to leave it alone, or not to.
    pub fn set_frozen(&mut self, frozen: bool) {
        self.frozen = frozen;
    }
}

impl Clone for Param {
    fn clone(&self) -> Self {
        Param {
            id: ParamId::mint(),
            role: self.role,
            stored: self.stored.clone(),
            frozen: self.frozen,
        }
    }
}
