//! Layers one after the other.

use super::{
    AvgPool1d, AvgPool2d, Chain, Conv2d, Dropout, Flatten, Forward, Gelu, GeluSigmoid, GeluTanh,
    GlobalAvgPool2d, LayerInfo, Linear, Link, MaxPool1d, MaxPool2d, Module, Path, Relu, Sigmoid,
    Silu, Tanh, Visitor, VisitorMut,
};
use crate::Result;
use crate::autograd::{Ctx, Var};
use std::any::Any;
use std::fmt::Debug;

/// A layer whose type is known at run time only. Every layer that maps a value to a value and can be
/// cloned is one.
pub trait Layer: Forward<Output = Var> + Debug + Send + Sync {
    /// A copy with parameters of its own.
    fn boxed_clone(&self) -> Box<dyn Layer>;

    /// The layer, for asking of which type it is.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<L: Forward<Output = Var> + Clone + Debug + Send + Sync + 'static> Layer for L {
    fn boxed_clone(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Clone for Box<dyn Layer> {
    fn clone(&self) -> Self {
        // Without the explicit dereference, the box itself would be the layer to clone.
        (**self).boxed_clone()
    }
}

/// Layers one after the other: `y = f_n(.. f_1(f_0(x)))`. Their names are `0`, `1`, ...
///
/// ```
/// use tinytorch::nn::{Forward, Init, Linear, Module, Relu, Sequential};
/// use tinytorch::{Tensor, autograd::Ctx};
/// let mut init = Init::seed(0);
/// let net = Sequential::new()
///     .push(Linear::new(4, 8, &mut init)?)
///     .push(Relu)
///     .push(Linear::new(8, 2, &mut init)?);
/// let y = net.forward(&Tensor::ones([3, 4])?.into(), &mut Ctx::eval())?;
/// assert_eq!(y.shape().dims(), [3, 2]);
/// assert_eq!(net.named_params()[2].0, "2.weight");
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
}

impl Sequential {
    /// No layers: the identity.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// The same with one more layer at the end.
    #[must_use]
    pub fn push(mut self, layer: impl Layer + 'static) -> Sequential {
        self.layers.push(Box::new(layer));
        self
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.layers
    }
}

// Written by hand because the layers' names are bare numbers, not those of a field.
impl Module for Sequential {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        visitor.layer(path, LayerInfo { kind: "Sequential", config: Vec::new() });
        self.layers.visit(path, visitor);
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        self.layers.visit_mut(path, visitor);
    }
}

impl Chain for Sequential {
    fn links(&mut self) -> Result<Vec<Link<'_>>, &'static str> {
        let mut links = Vec::with_capacity(self.layers.len());
        for layer in &mut self.layers {
            let kind = layer.named_layers().first().map_or("layer", |(_, info)| info.kind);
            let layer = (**layer).as_any_mut();
            if layer.is::<Sequential>() {
                links.extend(layer.downcast_mut::<Sequential>().map_or(Err(kind), Chain::links)?);
            } else {
                links.push(link(layer).ok_or(kind)?);
            }
        }
        Ok(links)
    }
}

/// A layer as a link, if its channels are known to stay apart.
fn link(layer: &mut dyn Any) -> Option<Link<'_>> {
    let channelwise = layer.is::<Relu>()
        || layer.is::<Gelu>()
        || layer.is::<GeluTanh>()
        || layer.is::<GeluSigmoid>()
        || layer.is::<Sigmoid>()
        || layer.is::<Silu>()
        || layer.is::<Tanh>()
        || layer.is::<Dropout>()
        || layer.is::<MaxPool1d>()
        || layer.is::<AvgPool1d>()
        || layer.is::<MaxPool2d>()
        || layer.is::<AvgPool2d>()
        || layer.is::<GlobalAvgPool2d>()
        || layer.is::<Flatten>();
    if channelwise {
        return Some(Link::Channelwise);
    }
    if layer.is::<Linear>() {
        return layer.downcast_mut().map(Link::Linear);
    }
    if layer.is::<Conv2d>() {
        return layer.downcast_mut().map(Link::Conv2d);
    }
    layer.downcast_mut().map(Link::BatchNorm2d)
}

impl Forward for Sequential {
    type Output = Var;

    fn forward(&self, input: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let mut value = input.clone();
        for layer in &self.layers {
            value = layer.forward(&value, ctx).map_err(|error| self.locate(error, ctx))?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Init, Linear, Relu};

    #[test]
    fn a_clone_owns_its_layers() {
        let layer = Linear::new(2, 2, &mut Init::seed(0)).unwrap();
        let inner = Sequential::new().push(layer).push(Relu);
        let net = Sequential::new().push(inner);
        let copy = net.clone();
        let names: Vec<String> = net.named_params().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["0.0.weight", "0.0.bias"]);
        assert_ne!(net.named_params()[0].1.id(), copy.named_params()[0].1.id());
        let kinds: Vec<_> = net.named_layers().into_iter().map(|(_, info)| info.kind).collect();
        assert_eq!(kinds, ["Sequential", "Sequential", "Linear", "Relu"]);
    }
}
