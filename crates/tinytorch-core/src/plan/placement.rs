use super::program::{Origin, Program, ValueId};
use crate::Result;
use crate::graph::Cost;
use crate::tensor::Shape;
use std::ops::Range;
use tinytorch_kernels::aligned::ALIGNMENT;

/// What a program needs to know to run on inputs of certain shapes: the shape of every value, and
/// where in the arena it lies.
#[derive(Debug)]
pub(super) struct Placement {
    pub(super) inputs: Vec<Shape>,
    pub(super) shapes: Vec<Shape>,
    /// The bytes of each value that lies in the arena; empty for the others.
    pub(super) places: Vec<Range<usize>>,
    /// Bytes of the arena.
    pub(super) bytes: usize,
    /// What each instruction costs.
    pub(super) costs: Vec<Cost>,
    /// Whether some instruction is worth several threads.
    pub(super) shares_work: bool,
}

impl Placement {
    /// Infers every shape and lays out the arena.
    ///
    /// # Errors
    /// If the shapes do not fit the program's ops.
    pub(super) fn new(program: &Program, inputs: &[Shape]) -> Result<Placement> {
        let mut shapes = vec![Shape::SCALAR; program.values.len()];
        let mut costs = Vec::with_capacity(program.instructions.len());
        let mut shares_work = false;
        let mut instructions = program.instructions.iter().peekable();
        for (id, value) in program.values.iter().enumerate() {
            shapes[id] = match &value.origin {
                Origin::Input(i) => inputs[*i],
                Origin::Constant(tensor) => *tensor.shape(),
                Origin::Reshaped(of, op) => op.shape(&[shapes[*of]])?,
                Origin::Computed => {
                    let Some(instruction) = instructions.next_if(|next| next.output == id) else {
                        unreachable!("values are created in the order of their instructions")
                    };
                    let read: Vec<Shape> = instruction.inputs.iter().map(|&i| shapes[i]).collect();
                    let shape = instruction.action.shape(&read)?;
                    let cost = instruction.action.cost(&read, &shape);
                    shares_work |= instruction.action.shares_work(&cost);
                    costs.push(cost);
                    shape
                }
            };
        }
        let sizes = program.values.iter().zip(&shapes);
        let sizes: Vec<usize> =
            sizes.map(|(value, shape)| shape.len() * value.kind.element_bytes()).collect();
        let places = place(&sizes, &program.lifetimes());
        let bytes = places.iter().map(|place| place.end).max().unwrap_or(0);
        Ok(Placement { inputs: inputs.to_vec(), shapes, places, bytes, costs, shares_work })
    }
}

/// Gives each value with a lifetime a place that no value which lives at the same time shares: the
/// largest first, each at the lowest address that is free.
fn place(sizes: &[usize], lifetimes: &[Option<(usize, usize)>]) -> Vec<Range<usize>> {
    let mut order: Vec<(ValueId, (usize, usize))> =
        lifetimes.iter().enumerate().filter_map(|(id, life)| Some((id, (*life)?))).collect();
    order.sort_by_key(|&(id, _)| std::cmp::Reverse(sizes[id]));
    let mut places = vec![0..0; sizes.len()];
    let mut placed: Vec<(Range<usize>, (usize, usize))> = Vec::with_capacity(order.len());
    for (id, life) in order {
        let mut start = 0;
        // Sorted by address, so the first gap that is large enough is the lowest.
        for (taken, other) in &placed {
            let meet = life.0 <= other.1 && other.0 <= life.1;
            if meet && start + sizes[id] > taken.start {
                start = start.max(taken.end.next_multiple_of(ALIGNMENT));
            }
        }
        places[id] = start..start + sizes[id];
        let at = placed.partition_point(|(other, _)| other.start < start);
        placed.insert(at, (places[id].clone(), life));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let lifetimes: Vec<_> = (0..6).map(|i| Some((i, i + 1))).collect();
        let places = place(&[64; 6], &lifetimes);
        assert_eq!(places.iter().map(|p| p.end).max(), Some(128));
    }

    proptest! {
        #[test]
        fn values_that_live_together_never_share_bytes(
            values in proptest::collection::vec((0usize..500, 0usize..20, 0usize..5), 0..40),
        ) {
            let sizes: Vec<usize> = values.iter().map(|v| v.0).collect();
            let lifetimes: Vec<_> = values.iter().map(|v| Some((v.1, v.1 + v.2))).collect();
            let places = place(&sizes, &lifetimes);
            for (i, a) in values.iter().enumerate() {
                prop_assert_eq!(places[i].start % ALIGNMENT, 0);
                prop_assert_eq!(places[i].len(), a.0);
                for (j, b) in values.iter().enumerate().filter(|(j, b)| *j != i && b.0 > 0) {
                    let meet = a.1 <= b.1 + b.2 && b.1 <= a.1 + a.2;
                    let apart = places[i].end <= places[j].start || places[j].end <= places[i].start;
                    prop_assert!(!meet || apart || a.0 == 0);
                }
            }
        }
    }
}
