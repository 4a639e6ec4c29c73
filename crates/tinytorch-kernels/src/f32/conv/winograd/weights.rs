//! What becomes of the weights: `G w G^T` for each pair of channels.

use super::{PLACES, SIDE};
use crate::f32::gemm::PackedA;
use crate::isa::{Kernel, Simd};
use crate::tuning::A_PANEL;

/// Pixels along the side of the kernel.
const KERNEL: usize = 3;

/// The weights of a panel's output channels for one input channel at one place.
type Lines = [f32; A_PANEL];

/// Writes, place by place, the panels of a matrix: output channels by input channels.
pub(super) struct TransformWeights<'t> {
    pub(super) from: &'t PackedA,
    pub(super) to: &'t mut [f32],
}

/// One dimension of the transform.
#[inline(always)]
fn transform([a, b, c]: [Lines; KERNEL]) -> [Lines; SIDE] {
    let (mut sum, mut difference) = ([0.0; A_PANEL], [0.0; A_PANEL]);
    for i in 0..A_PANEL {
        let outer = a[i] + c[i];
        sum[i] = 0.5 * (outer + b[i]);
        difference[i] = 0.5 * (outer - b[i]);
    }
    [a, sum, difference, c]
}

impl Kernel for TransformWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let from = self.from.values().as_chunks::<A_PANEL>().0;
        let to = self.to.as_chunks_mut::<A_PANEL>().0;
        // A panel holds, for each input channel, the nine weights of its output channels.
        let of_place = to.len() / PLACES;
        for (i, taps) in from.as_chunks::<{ KERNEL * KERNEL }>().0.iter().enumerate() {
            let rows =
                [0, 1, 2].map(|y| transform([taps[3 * y], taps[3 * y + 1], taps[3 * y + 2]]));
            for x in 0..SIDE {
                let column = transform([rows[0][x], rows[1][x], rows[2][x]]);
                for y in 0..SIDE {
                    to[(y * SIDE + x) * of_place + i] = column[y];
                }
            }
        }
    }
}
