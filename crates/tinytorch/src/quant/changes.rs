//! New values for a model, put in place at once and taken back if asked.

use super::Scheme;
use super::fold::{Fold, Folded, flag_of};
use crate::Result;
use crate::autograd::{ParamId, Stored};
use crate::nn::Module;
use crate::ops::FakeQuant;
use std::collections::BTreeMap;

/// What a model's parameters are to hold, and the batch norms that are then folded.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) stored: BTreeMap<ParamId, Stored>,
    pub(crate) rounding: BTreeMap<ParamId, FakeQuant>,
    norms: Vec<String>,
}

/// What folding makes of a model, and the beginning of its changes.
pub(crate) struct Parts {
    pub(crate) folded: Folded,
    pub(crate) changes: Changes,
}

impl Parts {
    pub(crate) fn new<M: Module + ?Sized>(
        model: &M,
        folds: &[Fold],
        scheme_of: &dyn Fn(&str) -> Scheme,
    ) -> Result<Parts> {
        let folded = Folded::new(model, folds, scheme_of)?;
        let changes = Changes { norms: folded.norms.clone(), ..Changes::default() };
        Ok(Parts { folded, changes })
    }
}

/// What a model held before it was changed.
pub(super) struct Undo {
    stored: BTreeMap<ParamId, Stored>,
    frozen: BTreeMap<ParamId, bool>,
    flags: BTreeMap<String, bool>,
}

impl Changes {
    /// Puts the new values in place, which cannot fail, and marks the batch norms that are folded.
    pub(crate) fn commit<M: Module + ?Sized>(mut self, model: &mut M) {
        model.change_weights(&mut |_, weight| {
            if let Some(fake) = self.rounding.remove(&weight.id()) {
                weight.set_fake_quant(fake);
            }
        });
        for (_, param) in model.named_params_mut() {
            if let Some(stored) = self.stored.remove(&param.id()) {
                param.store(stored);
            }
        }
        if !self.norms.is_empty() {
            let set = model.named_flags().into_iter().filter(|(_, set)| *set);
            let flags = set.map(|(name, _)| name).chain(self.norms.iter().map(|n| flag_of(n)));
            model.set_flags(&flags.collect());
        }
    }

    /// [`Changes::commit`], to be [undone](Undo::put_back). Nothing is copied: values are shared until
    /// somebody writes to them.
    pub(super) fn try_out<M: Module + ?Sized>(self, model: &mut M) -> Undo {
        let params = model.named_params();
        let frozen = params.iter().map(|(_, p)| (p.id(), p.is_frozen())).collect();
        let touched = params.iter().filter(|(_, p)| self.stored.contains_key(&p.id()));
        let stored = touched.map(|(_, p)| (p.id(), p.stored().clone())).collect();
        let flags = model.named_flags().into_iter().collect();
        self.commit(model);
        Undo { stored, frozen, flags }
    }
}

impl Undo {
    /// Makes the model what it was.
    pub(super) fn put_back<M: Module + ?Sized>(mut self, model: &mut M) {
        for (_, param) in model.named_params_mut() {
            if let Some(stored) = self.stored.remove(&param.id()) {
                param.store(stored);
            }
            if let Some(frozen) = self.frozen.get(&param.id()) {
                param.set_frozen(*frozen);
            }
        }
        for (name, flag) in model.named_flags_mut() {
            *flag = self.flags.get(&name).copied().unwrap_or(*flag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{BatchNorm2d, Init, Path, Visitor, VisitorMut};

    struct Pair(BatchNorm2d, BatchNorm2d);

    impl Module for Pair {
        fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
            path.within("a", |path| self.0.visit(path, visitor));
            path.within("b", |path| self.1.visit(path, visitor));
        }

        fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
            path.within("a", |path| self.0.visit_mut(path, visitor));
            path.within("b", |path| self.1.visit_mut(path, visitor));
        }
    }

    #[test]
    fn flags_that_were_set_before_stay_set() {
        let norm = || BatchNorm2d::new(2, &mut Init::seed(0)).unwrap();
        let mut pair = Pair(norm(), norm());
        pair.set_flags(&[flag_of("a")].into());
        Changes { norms: vec!["b".to_string()], ..Changes::default() }.commit(&mut pair);
        assert!(pair.0.folded && pair.1.folded);
        Changes::default().commit(&mut pair);
        assert!(pair.0.folded && pair.1.folded);
    }
}
