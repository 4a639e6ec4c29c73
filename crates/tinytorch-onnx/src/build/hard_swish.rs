//! `x min(max(x + 3, 0), 6) / 6` (Howard et al., 2019), as exporters write it for versions of ONNX without the operator.

use super::idioms::{Found, Spelled, Steps, What, operator};
use crate::program::Slot;
use tinytorch_core::Tensor;

impl<'s, C: Fn(Slot) -> Option<&'s Tensor>> Steps<'s, C> {
    /// The product is divided by six, or what is clipped is before it is multiplied.
    pub(super) fn hard_swish(&self, at: usize) -> Option<Spelled> {
        let last = self.step(at)?;
        let (x, parts) = match self.sixth(&last) {
            Some(product) => {
                let product = self.giver(product, "Mul")?;
                let (x, mut parts) = self.times(&product, |slot| self.clipped(slot))?;
                parts.push(product.at);
                (x, parts)
            }
            None => self.times(&last, |slot| {
                let sixth = self.giver(slot, "Div").or_else(|| self.giver(slot, "Mul"))?;
                let (x, mut parts) = self.clipped(self.sixth(&sixth)?)?;
                parts.push(sixth.at);
                Some((x, parts))
            })?,
        };
        Some(Spelled {
            what: What::Node(operator("HardSwish", Vec::new(), 1)),
            inputs: vec![x],
            parts,
        })
    }

    /// What `share` finds in one factor to be made of the other.
    fn times(
        &self,
        product: &Found<'s>,
        share: impl Fn(Slot) -> Option<(Slot, Vec<usize>)>,
    ) -> Option<(Slot, Vec<usize>)> {
        let [a, b] = product.inputs[..] else { return None };
        let of = |one: Slot, other: Slot| share(one).filter(|(x, _)| *x == other);
        of(a, b).or_else(|| of(b, a))
    }

    /// What a step divides by six.
    fn sixth(&self, step: &Found<'s>) -> Option<Slot> {
        let [a, b] = step.inputs[..] else { return None };
        match step.node.op_type.as_str() {
            "Div" => self.is(b, 6.0).then_some(a),
            "Mul" => match [self.is(a, 1.0 / 6.0), self.is(b, 1.0 / 6.0)] {
                [true, _] => Some(b),
                [_, true] => Some(a),
                _ => None,
            },
            _ => None,
        }
    }

    /// `min(max(x + 3, 0), 6)`.
    fn clipped(&self, slot: Slot) -> Option<(Slot, Vec<usize>)> {
        let clip = self.giver(slot, "Clip")?;
        let sum = self.giver(clip.input(0)?, "Add")?;
        let (three, x) = self.pair(&sum, Self::number)?;
        let bounds = (self.setting(&clip, "min", 1)?, self.setting(&clip, "max", 2)?);
        (three == 3.0 && bounds == (0.0, 6.0)).then(|| (x, vec![sum.at, clip.at]))
    }
}
