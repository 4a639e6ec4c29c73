//! Merging neighbors, the lowest rank first, in one pass over a queue.

use std::{cmp::Reverse, collections::BinaryHeap};

/// No symbol on this side.
const END: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    symbol: u32,
    left: u32,
    right: u32,
}

/// A joint that was possible when it was found: the lowest rank first, then the leftmost.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Joint {
    rank: u32,
    at: u32,
    left: u32,
    right: u32,
    joined: u32,
}

/// Joins neighboring symbols until none can be joined.
///
/// `join` tells whether two symbols make one, and gives the rank of the joint and the new symbol.
/// The lowest rank goes first, among equal ones the leftmost. A heap over a linked list takes
/// O(n log n) steps; scanning for the best pair each time would be quadratic in a long word.
pub(super) fn merge(
    symbols: &[u32],
    mut join: impl FnMut(u32, u32) -> Option<(u32, u32)>,
) -> Vec<u32> {
    let len = symbols.len() as u32;
    let mut nodes: Vec<Node> = (0..len)
        .map(|at| Node {
            symbol: symbols[at as usize],
            left: at.checked_sub(1).unwrap_or(END),
            right: if at + 1 < len { at + 1 } else { END },
        })
        .collect();
    let mut heap = BinaryHeap::new();
    let mut look = |nodes: &[Node], at: u32, heap: &mut BinaryHeap<Reverse<Joint>>| {
        let (left, next) = (nodes[at as usize].symbol, nodes[at as usize].right);
        if next != END {
            let right = nodes[next as usize].symbol;
            if let Some((rank, joined)) = join(left, right) {
                heap.push(Reverse(Joint { rank, at, left, right, joined }));
            }
        }
    };
    (0..len).for_each(|at| look(&nodes, at, &mut heap));
    while let Some(Reverse(joint)) = heap.pop() {
        let Node { symbol, left, right } = nodes[joint.at as usize];
        let stands = symbol == joint.left && right != END;
        if !stands || nodes[right as usize].symbol != joint.right {
            continue;
        }
        let after = nodes[right as usize].right;
        nodes[joint.at as usize] = Node { symbol: joint.joined, left, right: after };
        nodes[right as usize].symbol = END;
        if after != END {
            nodes[after as usize].left = joint.at;
        }
        if left != END {
            look(&nodes, left, &mut heap);
        }
        look(&nodes, joint.at, &mut heap);
    }
    nodes.iter().map(|node| node.symbol).filter(|&symbol| symbol != END).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: find the best joint by looking at all, join it, repeat.
    fn merge_by_scanning(
        symbols: &[u32],
        join: impl Fn(u32, u32) -> Option<(u32, u32)>,
    ) -> Vec<u32> {
        let mut symbols = symbols.to_vec();
        loop {
            let joints = symbols.windows(2).enumerate();
            let best =
                joints.filter_map(|(at, pair)| join(pair[0], pair[1]).map(|(r, s)| (r, at, s)));
            let Some((_, at, joined)) = best.min() else { return symbols };
            symbols.splice(at..at + 2, [joined]);
        }
    }

    proptest! {
        #[test]
        fn heap_and_scan_agree(
            symbols in prop::collection::vec(0u32..4, 0..60),
            table in prop::collection::vec((0u32..12, 0u32..12, 0u32..6), 0..40),
        ) {
            let join = |left, right| {
                let at = table.iter().position(|&(l, r, _)| (l, r) == (left, right))?;
                Some((table[at].2, 4 + at as u32))
            };
            prop_assert_eq!(merge(&symbols, join), merge_by_scanning(&symbols, join));
        }
    }

    #[test]
    fn a_long_run_is_joined_in_pairs_from_the_left() {
        let merged = merge(&[0; 7], |l, r| ((l, r) == (0, 0)).then_some((0, 1)));
        assert_eq!(merged, [1, 1, 1, 0]);
    }
}
