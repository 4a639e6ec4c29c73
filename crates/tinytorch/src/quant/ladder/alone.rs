//! A layer that stands alone, to be timed.

use super::work::Kind;
use crate::Result;
use crate::autograd::{Ctx, Param, Role, Stored, Var};
use crate::graph::ConvGeometry;
use crate::int8::{Encoding, Granularity, Int8Weight, QParams, QWeight};
use crate::nn::{Forward, Module, Path, Visitor, VisitorMut};
use crate::plan::StepInfo;
use crate::tensor::Tensor;

/// The name of the layer's weight, and so of the steps that are made for it.
const LAYER: &str = "weight";

/// The name of the weight of what reads the layer.
const READER: &str = "reader";

/// One weight, and what is done with it.
pub(super) struct Alone {
    weight: Param,
    kind: Kind,
    /// The weight of one output behind the layer, which reads levels over a fixed range.
    reader: Option<Param>,
}

impl Alone {
    pub(super) fn new(stored: Stored, kind: Kind) -> Alone {
        let mut weight = Param::absent(stored.shape(), role(kind));
        weight.store(stored);
        Alone { weight, kind, reader: None }
    }

    /// The same layer before another that reads levels over a fixed range, as most layers of a model on
    /// the first rung do.
    pub(super) fn before_levels(self) -> Result<Alone> {
        let kind = match self.kind {
            Kind::Conv(_) => Kind::Conv(ConvGeometry::default()),
            other => other,
        };
        let outputs = self.weight.shape()[0];
        let weight = match kind {
            Kind::Linear => Tensor::ones([1, outputs])?,
            Kind::Conv(_) => Tensor::ones([1, outputs, 1, 1])?,
            // What is looked up is floats.
            Kind::LookUp => return Ok(self),
        };
        let weight = QWeight::quantize(&weight, Granularity::PerChannel)?;
        let levels = Encoding::Static(QParams::from_range(-1.0, 1.0)?);
        let mut reader = Param::absent(weight.shape(), role(kind));
        reader.store(Stored::Int8(Int8Weight::new(weight, levels)));
        Ok(Alone { reader: Some(reader), ..self })
    }

    /// Whether a step of the compiled layer is one that a model has for it, where the layers around it read
    /// and write levels: its own, but not the one that quantizes what it reads if the layer before it does so
    /// as it writes, and the one that quantizes what it writes.
    pub(super) fn counts(&self, step: &StepInfo) -> bool {
        if self.reader.is_none() {
            return true;
        }
        let reads_levels =
            self.weight.int8().is_some_and(|int8| matches!(int8.input(), Encoding::Static(_)));
        match step.name.as_str() {
            LAYER => !(step.converts && reads_levels),
            READER => step.converts,
            _ => true,
        }
    }
}

fn role(kind: Kind) -> Role {
    match kind {
        Kind::Linear => Role::LinearWeight,
        Kind::Conv(geometry) => Role::ConvWeight { groups: geometry.groups },
        Kind::LookUp => Role::Embedding,
    }
}

impl Module for Alone {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        path.within(LAYER, |path| visitor.param(path, &self.weight));
        if let Some(reader) = &self.reader {
            path.within(READER, |path| visitor.param(path, reader));
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        path.within(LAYER, |path| visitor.param(path, &mut self.weight));
        if let Some(reader) = &mut self.reader {
            path.within(READER, |path| visitor.param(path, reader));
        }
    }
}

impl Forward for Alone {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let y = match self.kind {
            Kind::Linear => x.linear(&self.weight, None, ctx)?,
            Kind::Conv(geometry) => x.conv2d(&self.weight, None, geometry, ctx)?,
            Kind::LookUp => x.embedding(&self.weight, ctx)?,
        };
        match (&self.reader, self.kind) {
            (Some(reader), Kind::Conv(_)) => y.conv2d(reader, None, ConvGeometry::default(), ctx),
            (Some(reader), _) => y.linear(reader, None, ctx),
            (None, _) => Ok(y),
        }
    }
}
