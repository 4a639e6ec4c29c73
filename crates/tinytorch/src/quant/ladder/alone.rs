//! A layer that stands alone, to be timed.

use super::work::Kind;
use crate::Result;
use crate::autograd::{Ctx, Param, Role, Stored, Var};
use crate::nn::{Forward, Module, Path, Visitor, VisitorMut};

/// One weight, and what is done with it.
pub(super) struct Alone {
    weight: Param,
    kind: Kind,
}

impl Alone {
    pub(super) fn new(stored: Stored, kind: Kind) -> Alone {
        let role = match kind {
            Kind::Linear => Role::LinearWeight,
            Kind::Conv(geometry) => Role::ConvWeight { groups: geometry.groups },
            Kind::LookUp => Role::Embedding,
        };
        let mut weight = Param::absent(stored.shape(), role);
        weight.store(stored);
        Alone { weight, kind }
    }
}

impl Module for Alone {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        path.within("weight", |path| visitor.param(path, &self.weight));
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        path.within("weight", |path| visitor.param(path, &mut self.weight));
    }
}

impl Forward for Alone {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        match self.kind {
            Kind::Linear => x.linear(&self.weight, None, ctx),
            Kind::Conv(geometry) => x.conv2d(&self.weight, None, geometry, ctx),
            Kind::LookUp => x.embedding(&self.weight, ctx),
        }
    }
}
