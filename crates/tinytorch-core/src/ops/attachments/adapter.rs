//! Low-rank adapters beside weights.

use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::ops::{Attachment, AttachmentKind, Linear, Part, PartMut, Place, Weight};
use crate::tensor::{Shape, Tensor, TensorError};
use serde::{Deserialize, Serialize};

/// The size of an [`Adapter`], and how much it weighs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// Rows of `A` and columns of `B`.
    pub rank: usize,
    /// The product is added `alpha / rank` times.
    pub alpha: f32,
}

/// A correction of low rank beside the weight of a linear layer (LoRA: Hu et al., 2021):
/// `y = x W^T + alpha / rank * (x A^T) B^T`, where `A` is `[rank, in]` and `B` is `[out, rank]`.
///
/// Only `A` and `B` are trained, so `W` may be int8. `A` starts as the weight of a linear layer does and
/// `B` as 0, so that an adapter changes nothing at first.
#[derive(Clone, Debug)]
pub struct Adapter {
    config: AdapterConfig,
    lora_a: Param,
    lora_b: Param,
}

/// The names of the two factors.
const PLACES: [Place; 2] = [Place::Sibling("lora_A"), Place::Sibling("lora_B")];

impl Adapter {
    /// An adapter for a weight `[out, in]` with the given `A`.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`] if `A` is not `[rank, in]`.
    pub fn new(config: AdapterConfig, weight: &Shape, lora_a: Tensor) -> Result<Adapter> {
        let [a, b] = Adapter::shapes(config, weight)?;
        if *lora_a.shape() != a {
            return Err(TensorError::Mismatch {
                op: "adapter",
                left: *lora_a.shape(),
                right: a,
                expected: "the first factor must be [rank, in]",
            }
            .into());
        }
        let (lora_a, lora_b) = (Param::new(lora_a, Role::Vector), Tensor::zeros(b)?);
        Ok(Adapter { config, lora_a, lora_b: Param::new(lora_b, Role::Vector) })
    }

    fn shapes(config: AdapterConfig, weight: &Shape) -> Result<[Shape; 2]> {
        let &[out, inputs] = weight.dims() else {
            let (shape, expected) = (*weight, "the weight is [out, in]".into());
            return Err(TensorError::Shape { op: "adapter", shape, expected }.into());
        };
        Ok([Shape::new(&[config.rank, inputs])?, Shape::new(&[out, config.rank])?])
    }

    /// `A`, `[rank, in]`.
    pub fn lora_a(&self) -> &Param {
        &self.lora_a
    }

    /// `B`, `[out, rank]`.
    pub fn lora_b(&self) -> &Param {
        &self.lora_b
    }

    fn scale(&self) -> f32 {
        self.config.alpha / self.config.rank as f32
    }

    /// What the adapter adds to the layer's output for the input `x`.
    fn correction(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let (a, b) = (ctx.param(&self.lora_a)?, ctx.param(&self.lora_b)?);
        let narrow = ctx.apply(Linear, &[x, &a])?;
        ctx.apply(Linear, &[&narrow, &b])?.mul_scalar(self.scale(), ctx)
    }

    /// What the adapter adds to the weight: `alpha / rank * B A`.
    ///
    /// # Errors
    /// [`AutogradError::NotLoaded`](crate::autograd::AutogradError::NotLoaded) without values.
    pub fn product(&self) -> Result<Tensor> {
        self.lora_b.value()?.matmul(self.lora_a.value()?)?.scale(self.scale())
    }
}

impl Weight {
    /// The adapter, if there is one.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.attachment()
    }

    /// Puts an adapter beside the weight, which is frozen from here on.
    pub fn set_adapter(&mut self, adapter: Adapter) {
        self.attach(adapter);
    }

    /// Takes the adapter away; the weight is then trained again.
    pub fn take_adapter(&mut self) -> Option<Adapter> {
        self.detach()
    }
}

impl Attachment for Adapter {
    fn parts(&self) -> Vec<(Place, Part<'_>)> {
        let [a, b] = PLACES;
        vec![(a, Part::Param(&self.lora_a)), (b, Part::Param(&self.lora_b))]
    }

    fn parts_mut(&mut self) -> Vec<(Place, PartMut<'_>)> {
        let [a, b] = PLACES;
        vec![(a, PartMut::Param(&mut self.lora_a)), (b, PartMut::Param(&mut self.lora_b))]
    }

    fn boxed_clone(&self) -> Box<dyn Attachment> {
        Box::new(self.clone())
    }

    fn order(&self) -> u8 {
        1
    }

    fn freezes(&self) -> bool {
        true
    }

    fn after(&self, y: Var, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        y.add(&self.correction(x, ctx)?, ctx)
    }
}

impl AttachmentKind for Adapter {
    type Config = AdapterConfig;

    fn config(&self) -> AdapterConfig {
        self.config
    }

    fn absent(config: AdapterConfig, layer: &Shape, _: Role) -> Result<Adapter> {
        let [lora_a, lora_b] = Adapter::shapes(config, layer)?;
        let absent = |shape| Param::absent(shape, Role::Vector);
        Ok(Adapter { config, lora_a: absent(lora_a), lora_b: absent(lora_b) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::ops::Weight;

    #[test]
    fn it_corrects_by_its_product_and_trains_alone() {
        let mut rng = Rng::seed(1);
        let mut randn = |shape: [usize; 2]| Tensor::randn(shape, 1.0, &mut rng).unwrap();
        let float = randn([5, 7]);
        let mut weight = Weight::from(Param::new(float.clone(), Role::LinearWeight));
        let config = AdapterConfig { rank: 2, alpha: 3.0 };
        let mut adapter = Adapter::new(config, &weight.shape(), randn([2, 7])).unwrap();
        adapter.lora_b.value_mut().unwrap().clone_from(&randn([5, 2]));
        let merged = float.add(&adapter.product().unwrap()).unwrap();
        weight.set_adapter(adapter);

        let mut ctx = Ctx::eval().recording();
        let x = ctx.input(&randn([3, 7]));
        let y = x.linear(&weight, None, &mut ctx).unwrap();
        let want = x.value().matmul(&merged.transpose(0, 1).unwrap()).unwrap();
        assert!(y.value().allclose(&want, 1e-5, 1e-5).unwrap());

        let loss = y.sum(&mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        let adapter = weight.adapter().unwrap();
        assert!(grads.of(adapter.lora_a()).is_some() && grads.of(adapter.lora_b()).is_some());
        assert!(grads.of(&weight).is_none(), "the weight beside an adapter is frozen");
        let through = Tensor::ones([3, 5]).unwrap().matmul(&merged).unwrap();
        assert!(grads.of_input(&x).unwrap().allclose(&through, 1e-5, 1e-5).unwrap());
    }

    #[test]
    fn a_factor_of_another_shape_is_refused() {
        let config = AdapterConfig { rank: 2, alpha: 1.0 };
        let shape = Shape::new(&[5, 7]).unwrap();
        assert!(Adapter::new(config, &shape, Tensor::zeros([7, 2]).unwrap()).is_err());
    }
}
