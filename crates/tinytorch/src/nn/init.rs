//! First values of parameters.

use crate::autograd::{Param, Role};
use crate::tensor::{IntoShape, Tensor};
use crate::{Result, Rng};

/// How the parameters of a new layer get their values: at random from a seed, or not at all because
/// a file follows, in which case nothing is allocated for them.
#[derive(Clone, Debug)]
pub struct Init {
    rng: Option<Rng>,
}

impl Init {
    /// Random values from this seed.
    pub fn seed(seed: u64) -> Init {
        Init { rng: Some(Rng::seed(seed)) }
    }

    /// No values: the model is about to be loaded.
    pub fn absent() -> Init {
        Init { rng: None }
    }

    /// A parameter drawn uniformly from `-bound..bound`.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible shape.
    pub fn uniform(&mut self, shape: impl IntoShape, bound: f32, role: Role) -> Result<Param> {
        self.make(shape, role, |shape, rng| Tensor::rand(shape, -bound, bound, rng))
    }

    /// A parameter drawn from the normal distribution with mean 0.
    ///
    /// # Errors
    /// As [`Init::uniform`].
    pub fn normal(&mut self, shape: impl IntoShape, std: f32, role: Role) -> Result<Param> {
        self.make(shape, role, |shape, rng| Tensor::randn(shape, std, rng))
    }

    /// A parameter of equal values.
    ///
    /// # Errors
    /// As [`Init::uniform`].
    pub fn full(&mut self, shape: impl IntoShape, value: f32, role: Role) -> Result<Param> {
        self.make(shape, role, |shape, _| Tensor::full(value, shape))
    }

    fn make(
        &mut self,
        shape: impl IntoShape,
        role: Role,
        values: impl FnOnce(crate::tensor::Shape, &mut Rng) -> Result<Tensor>,
    ) -> Result<Param> {
        let shape = shape.into_shape()?;
        Ok(match &mut self.rng {
            Some(rng) => Param::new(values(shape, rng)?, role),
            None => Param::absent(shape, role),
        })
    }
}
