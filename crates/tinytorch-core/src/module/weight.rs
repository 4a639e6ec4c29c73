//! A [`Weight`] as a module: its parameter under the field's own name, say `fc.weight`, then what stands
//! beside it.
//!
//! | parameter | what it is |
//! |---|---|
//! | `fc.weight_down` | the factor of a low-rank weight that inputs meet first, with its own company |
//! | `fc.lora_A`, `fc.lora_B` | the adapter |
//! | `fc.weight_log_step`, `fc.weight_input_log_step` | the learned steps of fake quantization |
//! | `conv.weight_shift` | what a folded batch norm adds, if the convolution has no bias |

use super::{Module, Path, Visitor, VisitorMut};
use crate::ops::{Part, PartMut, Place, Weight};

impl Module for Weight {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        visitor.weight(path, self);
        visitor.param(path, &self.param);
        for (place, part) in self.attachments.iter().flat_map(|one| one.parts()) {
            path.at(place, |path| match part {
                Part::Param(param) => visitor.param(path, param),
                Part::Weight(weight) => weight.visit(path, visitor),
            });
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        visitor.weight(path, self);
        visitor.param(path, &mut self.param);
        for (place, part) in self.attachments.iter_mut().flat_map(|one| one.parts_mut()) {
            path.at(place, |path| match part {
                PartMut::Param(param) => visitor.param(path, param),
                PartMut::Weight(weight) => weight.visit_mut(path, visitor),
            });
        }
    }
}

impl Path {
    fn at(&mut self, place: Place, visit: impl FnOnce(&mut Path)) {
        match place {
            Place::Suffix(suffix) => self.extended(suffix, visit),
            Place::Sibling(name) => self.beside(name, visit),
        }
    }
}
