//! Rotary positions.

use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Var};
use crate::graph::{Angles, Compute, Cost, Exec, RopeScaling, Turns, View};
use crate::tensor::{Shape, Tensor, TensorError, parallel};
use serde::{Deserialize, Serialize};

/// Which entries of a vector form the pairs that are rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RopePairs {
    /// `(0, 1), (2, 3), ...`: the original paper and llama2.c.
    Interleaved,
    /// `(0, dim / 2), (1, dim / 2 + 1), ...`: Hugging Face's Llama.
    Halves,
}

/// Rotary positions (Su et al., 2021): pair `i` of the vector at position `p` is turned by the angle
/// `p base^(-2 i / dim)`, scaled if so set, so that the product of two turned vectors depends on their distance
/// alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rope {
    /// Base of the angles, 10000 in the paper.
    pub base: f32,
    /// Which entries form pairs.
    pub pairs: RopePairs,
    /// How angles are scaled for texts longer than those of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<RopeScaling>,
}

impl Rope {
    /// Angles of this base, not scaled.
    pub const fn new(base: f32, pairs: RopePairs) -> Rope {
        Rope { base, pairs, scaling: None }
    }

    fn angles(self) -> Angles {
        Angles { base: self.base, scaling: self.scaling }
    }
}

/// The rotation; its derivative is the rotation back.
#[derive(Clone, Copy, Debug)]
pub struct Rotate {
    /// By which angles.
    pub rope: Rope,
    /// The position of the first vector.
    pub offset: usize,
}

impl Rotate {
    /// Rotates every vector of `[.., length, dim]`, forwards or back.
    fn rotate(self, shape: &Shape, x: &[f32], back: bool, turns: &mut Turns, out: &mut [f32]) {
        let (dim, length) = (shape.last_dim(), shape[shape.rank() - 2]);
        let turns = turns.at(self.rope.angles(), dim, self.offset, length);
        let sign = if back { -1.0 } else { 1.0 };
        let half = dim / 2;
        parallel::for_each_chunk(out, length * dim, 6 * x.len(), |matrix, out| {
            let x = x[matrix * length * dim..].chunks_exact(dim.max(1));
            let rows = out.chunks_exact_mut(dim.max(1)).zip(x);
            for ((out, x), turns) in rows.zip(turns.chunks_exact(half.max(1))) {
                for (i, (cos, sin)) in turns.iter().enumerate() {
                    let (a, b) = match self.rope.pairs {
                        RopePairs::Interleaved => (2 * i, 2 * i + 1),
                        RopePairs::Halves => (i, i + half),
                    };
                    let sin = sign * sin;
                    out[a] = x[a] * cos - x[b] * sin;
                    out[b] = x[a] * sin + x[b] * cos;
                }
            }
        });
    }
}

impl Compute for Rotate {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let x = inputs[0];
        if x.rank() < 2 || !x.last_dim().is_multiple_of(2) {
            let expected = "vectors of even length are needed, [.., length, dim]".into();
            return Err(TensorError::Shape { op: "rope", shape: x, expected }.into());
        }
        Ok(x)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        self.rotate(&inputs[0].shape, inputs[0].f32()?, false, &mut exec.turns, out);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 3)
    }
}

impl Op for Rotate {
    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (shape, dense) = (saved.shape(0), grad.contiguous()?);
        let mut out = vec![0f32; shape.len()];
        self.rotate(shape, dense.as_slice()?, true, &mut Turns::default(), &mut out);
        Ok(vec![Some(Tensor::from_vec(out, *shape)?)])
    }
}

impl Var {
    /// The vectors of `[.., length, dim]`, the first at position `offset`, turned by their positions.
    ///
    /// # Errors
    /// [`TensorError::Shape`] unless `dim` is even.
    pub fn rope(&self, rope: Rope, offset: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Rotate { rope, offset }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::gradcheck;

    const BOTH: [Rope; 2] =
        [Rope::new(10_000.0, RopePairs::Interleaved), Rope::new(10_000.0, RopePairs::Halves)];

    fn vectors(seed: u64) -> Tensor {
        Tensor::randn([2, 3, 4], 1.0, &mut Rng::seed(seed)).unwrap()
    }

    #[test]
    fn gradients() {
        let context = 8;
        let (fast, slow, length, whole) = (4.0, 0.5, 1.3, false);
        let yarn = RopeScaling::Yarn { factor: 4.0, fast, slow, context, length, whole };
        let scaled = Rope { scaling: Some(yarn), ..BOTH[1] };
        for rope in [BOTH[0], BOTH[1], scaled] {
            gradcheck(|v, ctx| v[0].rope(rope, 2, ctx), &[vectors(1)], 1e-3).unwrap();
        }
    }

    #[test]
    fn products_depend_on_the_distance_alone() {
        for rope in BOTH {
            let product = |at: usize, other: usize| {
                let mut ctx = Ctx::eval();
                let [q, k] = [(1, at), (2, other)].map(|(seed, offset)| {
                    let v = vectors(seed).slice(1, 0..1).unwrap();
                    Var::from(v).rope(rope, offset, &mut ctx).unwrap().into_value()
                });
                q.mul(&k).unwrap().sum().unwrap()
            };
            assert!((product(3, 5) - product(10, 12)).abs() < 1e-4);
            assert!((product(3, 5) - product(5, 3)).abs() > 1e-3);
        }
    }

    #[test]
    fn the_forms_differ_by_a_permutation_of_the_entries() {
        let x = vectors(1);
        let mut ctx = Ctx::eval();
        let interleaved = Var::from(&x).rope(BOTH[0], 1, &mut ctx).unwrap();
        let apart =
            x.unflatten(2, &[2, 2]).unwrap().transpose(2, 3).unwrap().flatten(2, 3).unwrap();
        let halves = Var::from(apart).rope(BOTH[1], 1, &mut ctx).unwrap().into_value();
        let together = halves.unflatten(2, &[2, 2]).unwrap().transpose(2, 3).unwrap();
        let together = together.flatten(2, 3).unwrap();
        assert!(together.allclose(interleaved.value(), 0.0, 1e-6).unwrap());
    }

    #[test]
    fn position_0_is_not_turned_and_odd_lengths_are_errors() {
        let x = Var::from(vectors(1).slice(1, 0..1).unwrap());
        let y = x.rope(BOTH[0], 0, &mut Ctx::eval()).unwrap();
        assert!(y.value().allclose(x.value(), 0.0, 0.0).unwrap());
        let odd = Var::from(Tensor::ones([2, 3]).unwrap());
        assert!(odd.rope(BOTH[0], 0, &mut Ctx::eval()).is_err());
    }
}
