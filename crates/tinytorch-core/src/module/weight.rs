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
use crate::ops::Weight;

const DOWN: &str = "_down";
const LORA: [&str; 2] = ["lora_A", "lora_B"];
const STEPS: [&str; 2] = ["_log_step", "_input_log_step"];
const SHIFT: &str = "_shift";

impl Module for Weight {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        visitor.weight(path, self);
        visitor.param(path, &self.param);
        let Some(beside) = &self.beside else { return };
        if let Some(down) = &beside.down {
            path.extended(DOWN, |path| down.visit(path, visitor));
        }
        if let Some(adapter) = &beside.adapter {
            path.beside(LORA[0], |path| visitor.param(path, &adapter.lora_a));
            path.beside(LORA[1], |path| visitor.param(path, &adapter.lora_b));
        }
        if let Some(fake) = &beside.fake_quant {
            path.extended(STEPS[0], |path| visitor.param(path, &fake.weight_log_step));
            if let Some(step) = &fake.input_log_step {
                path.extended(STEPS[1], |path| visitor.param(path, step));
            }
            if let Some(shift) = &fake.shift {
                path.extended(SHIFT, |path| visitor.param(path, shift));
            }
        }
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        visitor.weight(path, self);
        visitor.param(path, &mut self.param);
        let Some(beside) = &mut self.beside else { return };
        if let Some(down) = &mut beside.down {
            path.extended(DOWN, |path| down.visit_mut(path, visitor));
        }
        if let Some(adapter) = &mut beside.adapter {
            path.beside(LORA[0], |path| visitor.param(path, &mut adapter.lora_a));
            path.beside(LORA[1], |path| visitor.param(path, &mut adapter.lora_b));
        }
        if let Some(fake) = &mut beside.fake_quant {
            path.extended(STEPS[0], |path| visitor.param(path, &mut fake.weight_log_step));
            if let Some(step) = &mut fake.input_log_step {
                path.extended(STEPS[1], |path| visitor.param(path, step));
            }
            if let Some(shift) = &mut fake.shift {
                path.extended(SHIFT, |path| visitor.param(path, shift));
            }
        }
    }
}
