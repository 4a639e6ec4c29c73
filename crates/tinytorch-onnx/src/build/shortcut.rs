//! The shortcut without parameters of a residual network (He et al., 2015, section 4.2, option A), as exporters write it: every
//! second row, every second column of those, and channels of zeros on both sides.

use super::idioms::{Found, Spelled, Steps, What};
use crate::apply::Operator;
use crate::program::Slot;
use tinytorch_core::Tensor;

/// Ends of slices from which on they mean the end of the axis, as exporters write it.
const END: i64 = i32::MAX as i64;

/// Every so many entries of an axis, and of what.
struct Strided {
    axis: i64,
    stride: i64,
    of: Slot,
}

impl<'s, C: Fn(Slot) -> Option<&'s Tensor>> Steps<'s, C> {
    pub(super) fn shortcut(&self, at: usize) -> Option<Spelled> {
        let pad = self.step(at)?;
        let mode = pad.node.attribute.iter().find(|attribute| attribute.name == "mode");
        let is_constant = mode.is_none_or(|mode| mode.s == "constant");
        let is_zero = match pad.inputs[..] {
            [_, _] => true,
            [_, _, value] => self.number(value) == Some(0.0),
            _ => false,
        };
        let pads = self.integers(pad.input(1)?)?;
        let [0, before, 0, 0, 0, after, 0, 0] = pads[..] else { return None };
        let second = self.giver(pad.input(0)?, "Slice")?;
        let across = self.strided(&second)?;
        let first = self.giver(across.of, "Slice")?;
        let down = self.strided(&first)?;
        let is_image = matches!([down.axis, across.axis], [2, 3] | [3, 2]);
        // One more channel after than before if their number is odd.
        let is_middle = before >= 0 && before == (before + after) / 2 && after >= before;
        if !(is_constant && is_zero && is_image && is_middle && down.stride == across.stride) {
            return None;
        }
        let stride = usize::try_from(down.stride).ok().filter(|stride| *stride > 0)?;
        let added = usize::try_from(before + after).ok()?;
        let operator = Operator::one(move |args, ctx| {
            let x = args.need(0)?;
            let channels = x.shape().get(1).copied().unwrap_or_default();
            x.pad_shortcut(stride, channels + added, ctx)
        });
        Some(Spelled {
            what: What::Operator("PadShortcut", operator),
            inputs: vec![down.of],
            parts: vec![first.at, second.at],
        })
    }

    /// A slice of one axis from its first entry to its last.
    fn strided(&self, slice: &Found<'s>) -> Option<Strided> {
        let &[of, starts, ends, axes, steps] = &slice.inputs[..] else { return None };
        let one = |slot: Slot| match self.integers(slot)?[..] {
            [value] => Some(value),
            _ => None,
        };
        let is_whole = one(starts)? == 0 && one(ends)? >= END;
        is_whole.then_some(Strided { axis: one(axes)?, stride: one(steps)?, of })
    }
}
