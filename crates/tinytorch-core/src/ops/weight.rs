//! A layer's weight, and what may stand beside it.

use crate::Result;
use crate::autograd::{Ctx, Param, Role, Stored, Var};
use crate::tensor::Shape;
use std::any::Any;
use std::fmt::Debug;
use std::ops::{Deref, DerefMut};

/// A layer's weight: a [`Param`], which it can be used as, and what may stand beside it while the model
/// is fitted to a smaller form. The layer need not know of any of it.
///
/// - [Fake quantization](super::FakeQuant): the weight is a float, and is rounded to int8 steps as it is used.
/// - An [adapter](super::Adapter): a trained correction of low rank beside a weight that is not trained.
/// - A [second factor](super::LowRank): the weight `[out, in]` is the product of `[out, rank]`, which is then
///   this parameter, and `[rank, in]`, a weight of its own.
///
/// ```
/// use tinytorch_core::Tensor;
/// use tinytorch_core::autograd::{Param, Role};
/// use tinytorch_core::ops::Weight;
/// let factor = |shape: [usize; 2]| Ok::<_, tinytorch_core::Error>(
///     Param::new(Tensor::ones(shape)?, Role::LinearWeight),
/// );
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
    /// In their order; nearly no weight has any.
    pub(crate) attachments: Vec<Box<dyn Attachment>>,
}

/// What stands beside a weight: parameters of its own, and a part in how the layer multiplies.
pub trait Attachment: Any + Debug + Send + Sync {
    /// Its parameters, in the order in which a module shows them.
    fn parts(&self) -> Vec<(Place, Part<'_>)>;

    /// [`Attachment::parts`], for changing them.
    fn parts_mut(&mut self) -> Vec<(Place, PartMut<'_>)>;

    /// A copy with parameters of their own.
    fn boxed_clone(&self) -> Box<dyn Attachment>;

    /// Of several beside one weight, the one with the smallest number comes first.
    fn order(&self) -> u8;

    /// Whether the weight is left alone by training as long as this stands beside it.
    fn freezes(&self) -> bool {
        false
    }

    /// The shape `[out, in, ..]` of what the layer multiplies by, whose parameter is of the shape `own`.
    fn layer_shape(&self, own: Shape) -> Shape {
        own
    }

    /// What the weight of a linear layer multiplies instead of the layer's input `x`.
    ///
    /// # Errors
    /// What its ops report; so for the other parts in the product.
    fn before(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        let _ = (x, ctx);
        Ok(None)
    }

    /// What is multiplied instead of `x`, of which the first `row_axes` axes number the rows.
    ///
    /// # Errors
    /// As [`Attachment::before`].
    fn input(&self, x: &Var, row_axes: usize, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        let _ = (x, row_axes, ctx);
        Ok(None)
    }

    /// What is multiplied or looked up in instead of the weight's floats.
    ///
    /// # Errors
    /// As [`Attachment::before`].
    fn floats(&self, weight: &Param, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        let _ = (weight, ctx);
        Ok(None)
    }

    /// What is added to each output channel of a layer without a bias.
    fn shift(&self) -> Option<&Param> {
        None
    }

    /// What becomes of the output `y` of a linear layer, whose input is `x`.
    ///
    /// # Errors
    /// As [`Attachment::before`].
    fn after(&self, y: Var, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let _ = (x, ctx);
        Ok(y)
    }
}

/// A kind of [`Attachment`], which a file can ask for before its values are loaded.
pub trait AttachmentKind: Attachment + Sized {
    /// What a file tells of it beside the values.
    type Config: Copy;

    /// What a file tells of this one.
    fn config(&self) -> Self::Config;

    /// One without values, for a layer's weight of this shape `[out, in, ..]` and role.
    ///
    /// # Errors
    /// If the weight cannot have it.
    fn absent(config: Self::Config, layer: &Shape, role: Role) -> Result<Self>;

    /// The shape of the weight's own parameter beside it.
    fn own_shape(config: Self::Config, layer: &Shape) -> Shape {
        let _ = config;
        *layer
    }
}

/// Where a parameter of an attachment lies, as seen from `fc.weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under the weight's name with this behind it: `_down` for `fc.weight_down`.
    Suffix(&'static str),
    /// Beside the weight under this name: `lora_A` for `fc.lora_A`.
    Sibling(&'static str),
}

/// A part of an attachment.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A parameter.
    Param(&'a Param),
    /// A weight, with attachments of its own.
    Weight(&'a Weight),
}

/// A part of an attachment, for changing it.
#[derive(Debug)]
pub enum PartMut<'a> {
    /// A parameter.
    Param(&'a mut Param),
    /// A weight, with attachments of its own.
    Weight(&'a mut Weight),
}

impl Clone for Box<dyn Attachment> {
    fn clone(&self) -> Box<dyn Attachment> {
        (**self).boxed_clone()
    }
}

impl From<Param> for Weight {
    fn from(param: Param) -> Weight {
        Weight { param, attachments: Vec::new() }
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
    /// The attachment of a kind, if one stands beside the weight.
    pub fn attachment<A: Attachment>(&self) -> Option<&A> {
        self.attachments.iter().find_map(|one| (&**one as &dyn Any).downcast_ref())
    }

    /// Puts an attachment beside the weight, in the place of one of its kind.
    pub fn attach<A: Attachment>(&mut self, attachment: A) {
        self.detach::<A>();
        if attachment.freezes() {
            self.param.set_frozen(true);
        }
        let at = self.attachments.partition_point(|one| one.order() <= attachment.order());
        self.attachments.insert(at, Box::new(attachment));
    }

    /// Takes the attachment of a kind away. A weight that it has frozen is trained again.
    pub fn detach<A: Attachment>(&mut self) -> Option<A> {
        let at = self.attachments.iter().position(|one| (&**one as &dyn Any).is::<A>())?;
        let taken = self.attachments.remove(at);
        if taken.freezes() {
            self.param.set_frozen(false);
        }
        (taken as Box<dyn Any>).downcast().ok().map(|one| *one)
    }

    /// The shape `[out, in, ..]` of what the layer multiplies by, however it is stored.
    pub fn layer_shape(&self) -> Shape {
        self.attachments.iter().fold(self.shape(), |shape, one| one.layer_shape(shape))
    }

    /// Whether something stands beside the weight.
    pub fn has_attachments(&self) -> bool {
        !self.attachments.is_empty()
    }

    /// Whether the values are floats, with nothing beside them.
    pub fn is_plain_float(&self) -> bool {
        self.attachments.is_empty() && matches!(self.stored(), Stored::F32(_))
    }
}

/// What an input is multiplied by: a parameter alone, or a [`Weight`] with all that stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    pub(super) param: &'a Param,
    pub(super) attachments: &'a [Box<dyn Attachment>],
}

impl<'a> From<&'a Param> for Weighted<'a> {
    fn from(param: &'a Param) -> Weighted<'a> {
        Weighted { param, attachments: &[] }
    }
}

impl<'a> From<&'a Weight> for Weighted<'a> {
    fn from(weight: &'a Weight) -> Weighted<'a> {
        Weighted { param: &weight.param, attachments: &weight.attachments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::Module;
    use crate::tensor::Tensor;

    /// Multiplies a layer's output by a parameter.
    #[derive(Clone, Debug)]
    struct Gain(Param);

    impl Attachment for Gain {
        fn parts(&self) -> Vec<(Place, Part<'_>)> {
            vec![(Place::Sibling("gain"), Part::Param(&self.0))]
        }
        fn parts_mut(&mut self) -> Vec<(Place, PartMut<'_>)> {
            vec![(Place::Sibling("gain"), PartMut::Param(&mut self.0))]
        }
        fn boxed_clone(&self) -> Box<dyn Attachment> {
            Box::new(self.clone())
        }
        fn order(&self) -> u8 {
            9
        }
        fn freezes(&self) -> bool {
            true
        }
        fn after(&self, y: Var, _: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
            let gain = ctx.param(&self.0)?;
            y.mul(&gain, ctx)
        }
    }

    #[test]
    fn an_attachment_that_nobody_knows_takes_its_part() {
        let param = |values: Vec<f32>, shape: &[usize]| {
            let role = if shape.len() == 2 { Role::LinearWeight } else { Role::Vector };
            Param::new(Tensor::from_vec(values, shape).unwrap(), role)
        };
        let mut weight = Weight::from(param(vec![1.0, 2.0], &[1, 2]));
        weight.set_factors(param(vec![1.0], &[1, 1]), param(vec![1.0, 2.0], &[1, 2]).into());
        weight.attach(Gain(param(vec![3.0], &[1])));
        let names: Vec<String> = weight.named_params().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["", "_down", "gain"]);
        assert!(weight.is_frozen() && !weight.is_plain_float());

        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(&Tensor::from_vec(vec![1.0, 1.0], [1, 2]).unwrap());
        let y = x.linear(&weight, None, &mut ctx).unwrap();
        assert_eq!(y.value().item().unwrap(), 9.0);
        let loss = y.sum(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        let gain = &weight.attachment::<Gain>().unwrap().0;
        assert_eq!(grads.of(gain).unwrap().item().unwrap(), 3.0);

        let mut copy = weight.clone();
        for (name, param) in copy.named_params_mut() {
            if name == "gain" {
                *param.value_mut().unwrap() = Tensor::from_vec(vec![0.0], [1]).unwrap();
            }
        }
        let x = Var::from(Tensor::from_vec(vec![1.0, 1.0], [1, 2]).unwrap());
        let of = |weight: &Weight| {
            let y = x.linear(weight, None, &mut Ctx::eval()).unwrap();
            y.value().item().unwrap()
        };
        assert_eq!((of(&copy), of(&weight)), (0.0, 9.0), "a copy has parameters of its own");
        assert!(weight.detach::<Gain>().is_some() && weight.detach::<Gain>().is_none());
        assert_eq!(of(&weight), 3.0);
        assert!(!weight.is_frozen());
    }
}
