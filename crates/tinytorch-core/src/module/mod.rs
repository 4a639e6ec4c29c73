//! What a model is made of, and what it computes.
//!
//! A [`Module`] shows its parameters to visitors; counting, saving, freezing, quantizing and profiling are
//! visitors. A [`Forward`] computes. A module is usually derived, with `#[derive(Module)]` of `tinytorch`.
//!
//! ```
//! use tinytorch_core::autograd::{Ctx, Param, Role, Var};
//! use tinytorch_core::module::{Forward, Module, Path, Visitor, VisitorMut};
//! use tinytorch_core::{Result, Tensor};
//!
//! struct Scale(Param);
//!
//! impl Module for Scale {
//!     fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
//!         path.within("factor", |path| visitor.param(path, &self.0));
//!     }
//!     fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
//!         path.within("factor", |path| visitor.param(path, &mut self.0));
//!     }
//! }
//!
//! impl Forward for Scale {
//!     type Output = Var;
//!     fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
//!         let factor = ctx.param(&self.0)?;
//!         x.mul(&factor, ctx)
//!     }
//! }
//!
//! let scale = Scale(Param::new(Tensor::scalar(2.0), Role::Vector));
//! assert_eq!(scale.named_params()[0].0, "factor");
//! let y = scale.forward(&Tensor::scalar(3.0).into(), &mut Ctx::eval())?;
//! assert_eq!(y.value().item()?, 6.0);
//! # Ok::<(), tinytorch_core::Error>(())
//! ```

mod forward;
mod weight;

pub use crate::autograd::Outputs;
pub use forward::Forward;

use crate::Error;
use crate::autograd::{Ctx, Param};
use crate::ops::Weight;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// The dotted name of the place a visit has reached, such as `blocks.0.norm`.
#[derive(Debug, Default)]
pub struct Path(String);

impl Path {
    /// The name, empty for the model itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Runs `visit` one level deeper, under `field`.
    pub fn within(&mut self, field: &str, visit: impl FnOnce(&mut Path)) {
        let len = self.0.len();
        if len > 0 {
            self.0.push('.');
        }
        self.0.push_str(field);
        visit(self);
        self.0.truncate(len);
    }

    /// Runs `visit` under this name with `suffix` behind it: `fc.weight_scale`.
    pub(crate) fn extended(&mut self, suffix: &str, visit: impl FnOnce(&mut Path)) {
        let len = self.0.len();
        self.0.push_str(suffix);
        visit(self);
        self.0.truncate(len);
    }

    /// Runs `visit` under another name in the same place: `fc.lora_A` beside `fc.weight`.
    pub(crate) fn beside(&mut self, sibling: &str, visit: impl FnOnce(&mut Path)) {
        let parent = self.0.rfind('.').map_or(0, |dot| dot + 1);
        let own = self.0.split_off(parent);
        self.0.push_str(sibling);
        visit(self);
        self.0.truncate(parent);
        self.0.push_str(&own);
    }
}

/// What a layer is, apart from its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Its type, such as `Linear`.
    pub kind: &'static str,
    /// Its hyper-parameters in declaration order, such as `("in_features", "64")`.
    pub config: Vec<(&'static str, String)>,
}

impl LayerInfo {
    /// Adds a hyper-parameter; `#[derive(Module)]` calls it for fields marked `#[module(config)]`
    /// or `#[module(flag)]`.
    pub fn with(mut self, name: &'static str, value: &dyn Debug) -> LayerInfo {
        self.config.push((name, format!("{value:?}")));
        self
    }
}

/// Is shown every layer and parameter of a model, in declaration order.
pub trait Visitor<'a> {
    /// A layer begins at `path`; its fields follow.
    fn layer(&mut self, path: &Path, layer: LayerInfo) {
        let _ = (path, layer);
    }
    /// A flag of a layer, such as `bn1.folded`; it is shown before the layer's parameters.
    fn flag(&mut self, path: &Path, flag: bool) {
        let _ = (path, flag);
    }
    /// A layer's weight; its parameter and what stands beside it follow.
    fn weight(&mut self, path: &Path, weight: &'a Weight) {
        let _ = (path, weight);
    }
    /// A parameter.
    fn param(&mut self, path: &Path, param: &'a Param);
}

/// Is shown every parameter and flag of a model for changing it, in declaration order.
pub trait VisitorMut<'a> {
    /// A flag of a layer, such as `bn1.folded`; it is shown before the layer's parameters.
    fn flag(&mut self, path: &Path, flag: &'a mut bool) {
        let _ = (path, flag);
    }
    /// A layer's weight, for changing how it is stored and what stands beside it; the parameters that
    /// it then has follow.
    fn weight(&mut self, path: &Path, weight: &mut Weight) {
        let _ = (path, weight);
    }
    /// A parameter.
    fn param(&mut self, path: &Path, param: &'a mut Param);
}

/// Anything made of parameters: a parameter, a layer, a model, a list of them.
///
/// `#[derive(Module)]` writes both visits from the fields. Every field must be a module, or be marked
/// `#[module(config)]` (a hyper-parameter, reported to visitors), `#[module(flag)]` (a `bool` of the
/// layer's state, reported likewise and open to change) or `#[module(skip)]`.
pub trait Module {
    /// Shows every layer and parameter to `visitor`.
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>);

    /// Shows every parameter to `visitor` for changing it, in the same order.
    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>);

    /// Every parameter under its dotted name.
    fn named_params(&self) -> Vec<(String, &Param)> {
        struct Collect<'a>(Vec<(String, &'a Param)>);
        impl<'a> Visitor<'a> for Collect<'a> {
            fn param(&mut self, path: &Path, param: &'a Param) {
                self.0.push((path.as_str().to_string(), param));
            }
        }
        let mut all = Collect(Vec::new());
        self.visit(&mut Path::default(), &mut all);
        all.0
    }

    /// Every parameter under its dotted name, for changing it.
    fn named_params_mut(&mut self) -> Vec<(String, &mut Param)> {
        struct Collect<'a>(Vec<(String, &'a mut Param)>);
        impl<'a> VisitorMut<'a> for Collect<'a> {
            fn param(&mut self, path: &Path, param: &'a mut Param) {
                self.0.push((path.as_str().to_string(), param));
            }
        }
        let mut all = Collect(Vec::new());
        self.visit_mut(&mut Path::default(), &mut all);
        all.0
    }

    /// Every layer under its dotted name, the model itself first under the empty name.
    fn named_layers(&self) -> Vec<(String, LayerInfo)> {
        struct Collect(Vec<(String, LayerInfo)>);
        impl Visitor<'_> for Collect {
            fn layer(&mut self, path: &Path, layer: LayerInfo) {
                self.0.push((path.as_str().to_string(), layer));
            }
            fn param(&mut self, _: &Path, _: &Param) {}
        }
        let mut all = Collect(Vec::new());
        self.visit(&mut Path::default(), &mut all);
        all.0
    }

    /// Every flag under its dotted name.
    fn named_flags(&self) -> Vec<(String, bool)> {
        struct Collect(Vec<(String, bool)>);
        impl Visitor<'_> for Collect {
            fn flag(&mut self, path: &Path, flag: bool) {
                self.0.push((path.as_str().to_string(), flag));
            }
            fn param(&mut self, _: &Path, _: &Param) {}
        }
        let mut all = Collect(Vec::new());
        self.visit(&mut Path::default(), &mut all);
        all.0
    }

    /// Every flag under its dotted name, for changing it.
    fn named_flags_mut(&mut self) -> Vec<(String, &mut bool)> {
        struct Collect<'a>(Vec<(String, &'a mut bool)>);
        impl<'a> VisitorMut<'a> for Collect<'a> {
            fn flag(&mut self, path: &Path, flag: &'a mut bool) {
                self.0.push((path.as_str().to_string(), flag));
            }
            fn param(&mut self, _: &Path, _: &'a mut Param) {}
        }
        let mut all = Collect(Vec::new());
        self.visit_mut(&mut Path::default(), &mut all);
        all.0
    }

    /// Sets the flags with these names and clears the others. A layer with a flag set does without its
    /// parameters, so training leaves them alone from then on.
    fn set_flags(&mut self, set: &BTreeSet<String>) {
        for (name, flag) in self.named_flags_mut() {
            *flag = set.contains(&name);
        }
        let layers: Vec<&str> =
            set.iter().map(|name| name.rsplit_once('.').map_or("", |(layer, _)| layer)).collect();
        for (name, param) in self.named_params_mut() {
            let layer = name.rsplit_once('.').map_or("", |(layer, _)| layer);
            if layers.contains(&layer) {
                param.set_frozen(true);
            }
        }
    }

    /// Every [`Weight`] under the dotted name of its parameter.
    fn named_weights(&self) -> Vec<(String, &Weight)> {
        struct Collect<'a>(Vec<(String, &'a Weight)>);
        impl<'a> Visitor<'a> for Collect<'a> {
            fn weight(&mut self, path: &Path, weight: &'a Weight) {
                self.0.push((path.as_str().to_string(), weight));
            }
            fn param(&mut self, _: &Path, _: &'a Param) {}
        }
        let mut all = Collect(Vec::new());
        self.visit(&mut Path::default(), &mut all);
        all.0
    }

    /// Calls `change` for every [`Weight`] with the dotted name of its parameter. A weight that
    /// `change` puts beside another is shown too.
    fn change_weights(&mut self, change: &mut dyn FnMut(&str, &mut Weight)) {
        struct Change<'f>(&'f mut dyn FnMut(&str, &mut Weight));
        impl<'a> VisitorMut<'a> for Change<'_> {
            fn weight(&mut self, path: &Path, weight: &mut Weight) {
                (self.0)(path.as_str(), weight);
            }
            fn param(&mut self, _: &Path, _: &'a mut Param) {}
        }
        self.visit_mut(&mut Path::default(), &mut Change(change));
    }

    /// `error`, which a pass of this module has met in `ctx`, with the name of the layer that the pass was
    /// in: the one whose parameter it had used last. A module without layers in it leaves the error as it is.
    fn locate(&self, error: Error, ctx: &Ctx<'_>) -> Error {
        let Some(reached) = ctx.reached() else { return error };
        let params = self.named_params();
        let used = params.iter().find(|(_, param)| param.id() == reached.param);
        match used.and_then(|(name, _)| name.rsplit_once('.')) {
            Some((layer, _)) => error.in_layer(layer, reached.done),
            None => error,
        }
    }

    /// Number of scalar parameters, buffers included.
    fn param_count(&self) -> usize {
        self.named_params().iter().map(|(_, p)| p.shape().len()).sum()
    }

    /// Tells training to leave alone every parameter whose name starts with `prefix`, or not to;
    /// returns how many there are.
    fn set_frozen(&mut self, prefix: &str, frozen: bool) -> usize {
        let mut params = self.named_params_mut();
        params.retain(|(name, _)| name.starts_with(prefix));
        params.iter_mut().for_each(|(_, param)| param.set_frozen(frozen));
        params.len()
    }
}

impl Module for Param {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        visitor.param(path, self);
    }
    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        visitor.param(path, self);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        if let Some(module) = self {
            module.visit(path, visitor);
        }
    }
    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        if let Some(module) = self {
            module.visit_mut(path, visitor);
        }
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        (**self).visit(path, visitor);
    }
    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        (**self).visit_mut(path, visitor);
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        for (i, module) in self.iter().enumerate() {
            path.within(&i.to_string(), |path| module.visit(path, visitor));
        }
    }
    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        for (i, module) in self.iter_mut().enumerate() {
            path.within(&i.to_string(), |path| module.visit_mut(path, visitor));
        }
    }
}
