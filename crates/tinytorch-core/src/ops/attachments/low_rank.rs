//! A weight as the product of two thin ones.

use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::ops::{Attachment, AttachmentKind, Part, PartMut, Place, Weight};
use crate::tensor::Shape;

/// The factor `[rank, in]` that inputs meet first, of a weight `[out, in]` whose own parameter is the other
/// one, `[out, rank]`: `y = (x V^T) U^T + b`. Both train, save and quantize as weights do.
#[derive(Clone, Debug)]
pub struct LowRank {
    down: Weight,
}

impl Weight {
    /// The factor `[rank, in]` that inputs meet first, if the weight is stored as two.
    pub fn down(&self) -> Option<&Weight> {
        self.attachment::<LowRank>().map(|factors| &factors.down)
    }

    /// Stores the weight as the product of `up`, `[out, rank]`, and `down`, `[rank, in]`.
    pub fn set_factors(&mut self, up: Param, down: Weight) {
        self.param = up;
        self.attach(LowRank { down });
    }
}

impl Attachment for LowRank {
    fn parts(&self) -> Vec<(Place, Part<'_>)> {
        vec![(Place::Suffix("_down"), Part::Weight(&self.down))]
    }

    fn parts_mut(&mut self) -> Vec<(Place, PartMut<'_>)> {
        vec![(Place::Suffix("_down"), PartMut::Weight(&mut self.down))]
    }

    fn boxed_clone(&self) -> Box<dyn Attachment> {
        Box::new(self.clone())
    }

    fn order(&self) -> u8 {
        0
    }

    fn layer_shape(&self, own: Shape) -> Shape {
        own.with(1, self.down.layer_shape()[1])
    }

    fn before(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        x.linear(&self.down, None, ctx).map(Some)
    }
}

impl AttachmentKind for LowRank {
    /// The rank.
    type Config = usize;

    fn config(&self) -> usize {
        self.down.shape()[0]
    }

    fn absent(rank: usize, layer: &Shape, role: Role) -> Result<LowRank> {
        Ok(LowRank { down: Param::absent(layer.with(0, rank), role).into() })
    }

    fn own_shape(rank: usize, layer: &Shape) -> Shape {
        layer.with(1, rank)
    }
}
