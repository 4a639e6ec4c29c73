use super::adapter::{Adapter, AdapterConfig};
use super::fake_quant::{FakeQuant, FakeQuantConfig};
use crate::Result;
use crate::autograd::{Param, Stored};
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};
use std::ops::{Deref, DerefMut};

/// A layer's weight: a [`Param`], which it can be used as, and what may stand beside it while the model
/// is fitted to a smaller form. The layer need not know of any of it.
///
/// - [Fake quantization](FakeQuant): the weight is a float, and is rounded to int8 steps as it is used.
/// - An [adapter](Adapter): a trained correction of low rank beside a weight that is not trained.
/// - A second factor: the weight `[out, in]` is the product of `[out, rank]`, which is then this
///   parameter, and `[rank, in]`, a weight of its own.
///
/// ```
/// use tinytorch_core::{Tensor, autograd::{Param, Role}, ops::Weight};
/// let factor = |shape| Ok::<_, tinytorch_core::Error>(Param::new(Tensor::ones(shape)?, Role::LinearWeight));
/// let mut weight = Weight::from(factor([8, 16])?);
/// weight.set_factors(factor([8, 2])?, factor([2, 16])?.into());
/// assert_eq!(weight.shape().dims(), [8, 2]);
/// assert_eq!(weight.down().unwrap().shape().dims(), [2, 16]);
/// assert_eq!(weight.layer_shape().dims(), [8, 16]);
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Weight {
    pub(crate) param: Param,
    /// Boxed, since nearly no weight has any of it.
    pub(crate) beside: Option<Box<Beside>>,
}

/// What stands beside a weight.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beside {
    pub(crate) down: Option<Weight>,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) fake_quant: Option<FakeQuant>,
}

/// What stands beside a weight, without its values: with this a file's model is built before it is
/// loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attached {
    /// The rank of a weight that is stored as two factors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_rank: Option<usize>,
    /// The adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterConfig>,
    /// The fake quantization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fake_quant: Option<FakeQuantConfig>,
}

impl From<Param> for Weight {
    fn from(param: Param) -> Weight {
        Weight { param, beside: None }
    }
}

impl Deref for Weight {
    type Target = Param;

    fn deref(&self) -> &Param {
        &self.param
    }
}

impl DerefMut for Weight {
    fn deref_mut(&mut self) -> &mut Param {
        &mut self.param
    }
}

impl Weight {
    /// The fake quantization, if the weight is prepared for it.
    pub fn fake_quant(&self) -> Option<&FakeQuant> {
        self.beside.as_ref()?.fake_quant.as_ref()
    }

    /// The adapter, if there is one.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.beside.as_ref()?.adapter.as_ref()
    }

    /// The factor `[rank, in]` that inputs meet first, if the weight is stored as two.
    pub fn down(&self) -> Option<&Weight> {
        self.beside.as_ref()?.down.as_ref()
    }

    /// What stands beside it.
    pub fn attached(&self) -> Attached {
        Attached {
            low_rank: self.down().map(|down| down.shape()[0]),
            adapter: self.adapter().map(Adapter::config),
            fake_quant: self.fake_quant().map(FakeQuant::config),
        }
    }

    /// The shape `[out, in, ..]` of what the layer multiplies by, however it is stored.
    pub fn layer_shape(&self) -> Shape {
        match self.down() {
            Some(down) => self.shape().with(1, down.layer_shape()[1]),
            None => self.shape(),
        }
    }

    fn beside(&mut self) -> &mut Beside {
        self.beside.get_or_insert_default()
    }

    /// Forgets the box once nothing is in it.
    fn tidy(&mut self) {
        if self.attached() == Attached::default() {
            self.beside = None;
        }
    }

    /// Rounds the weight, and what it multiplies, from here on.
    pub fn set_fake_quant(&mut self, fake_quant: FakeQuant) {
        self.beside().fake_quant = Some(fake_quant);
    }

    /// Ends the rounding, whose steps stay in the returned value.
    pub fn take_fake_quant(&mut self) -> Option<FakeQuant> {
        let taken = self.beside.as_mut()?.fake_quant.take();
        self.tidy();
        taken
    }

    /// Puts an adapter beside the weight, which is frozen from here on.
    pub fn set_adapter(&mut self, adapter: Adapter) {
        self.param.set_frozen(true);
        self.beside().adapter = Some(adapter);
    }

    /// Takes the adapter away; the weight is then trained again.
    pub fn take_adapter(&mut self) -> Option<Adapter> {
        let taken = self.beside.as_mut()?.adapter.take()?;
        self.param.set_frozen(false);
        self.tidy();
        Some(taken)
    }

    /// Stores the weight as the product of `up`, `[out, rank]`, and `down`, `[rank, in]`.
    pub fn set_factors(&mut self, up: Param, down: Weight) {
        self.param = up;
        self.beside().down = Some(down);
    }

    /// A weight of this one's shape and role without values, with these things beside it: what a file
    /// is loaded into.
    pub fn absent_with(&self, attached: &Attached) -> Result<Weight> {
        let (shape, role) = (self.shape(), self.role());
        let mut weight = Weight::from(Param::absent(shape, role));
        weight.set_frozen(self.is_frozen());
        if let Some(rank) = attached.low_rank {
            let (up, down) = (shape.with(1, rank), shape.with(0, rank));
            weight.set_factors(Param::absent(up, role), Param::absent(down, role).into());
        }
        if let Some(config) = attached.fake_quant {
            let steps = FakeQuant::absent(config, &weight.shape())?;
            weight.set_fake_quant(steps);
        }
        if let Some(config) = attached.adapter {
            weight.set_adapter(Adapter::absent(config, &shape)?);
        }
        Ok(weight)
    }

    /// Whether the values are floats, with nothing beside them.
    pub fn is_plain_float(&self) -> bool {
        self.beside.is_none() && matches!(self.stored(), Stored::F32(_))
    }
}

/// What an input is multiplied by: a parameter alone, or a [`Weight`] with all that stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    pub(super) param: &'a Param,
    beside: Option<&'a Beside>,
}

impl<'a> Weighted<'a> {
    pub(super) fn fake_quant(self) -> Option<&'a FakeQuant> {
        self.beside?.fake_quant.as_ref()
    }

    pub(super) fn adapter(self) -> Option<&'a Adapter> {
        self.beside?.adapter.as_ref()
    }

    pub(super) fn down(self) -> Option<&'a Weight> {
        self.beside?.down.as_ref()
    }
}

impl<'a> From<&'a Param> for Weighted<'a> {
    fn from(param: &'a Param) -> Weighted<'a> {
        Weighted { param, beside: None }
    }
}

impl<'a> From<&'a Weight> for Weighted<'a> {
    fn from(weight: &'a Weight) -> Weighted<'a> {
        Weighted { param: &weight.param, beside: weight.beside.as_deref() }
    }
}
