//! Angles of rotary positions, computed once.

use super::angles::Angles;

/// Cosines and sines of the [`Angles`] by which rotary positions turn the pairs of a vector, kept from op to
/// op: queries and keys of every layer are turned by the same.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    angles: Angles,
    dim: usize,
    offset: usize,
    /// `dim / 2` for each position from `offset` on.
    turns: Vec<(f32, f32)>,
}

impl Turns {
    /// Cosine and sine for each of the `dim / 2` pairs at `length` positions from `offset` on, one
    /// position after the other.
    pub(crate) fn at(
        &mut self,
        angles: Angles,
        dim: usize,
        offset: usize,
        length: usize,
    ) -> &[(f32, f32)] {
        let len = length * (dim / 2);
        if (angles, dim, offset) != (self.angles, self.dim, self.offset) {
            self.turns.clear();
            (self.angles, self.dim, self.offset) = (angles, dim, offset);
        }
        let held = self.turns.len() / (dim / 2).max(1);
        let long = angles.length();
        let turn = |p: usize| {
            (0..dim / 2).map(move |i| {
                let speed = angles.speed(i, dim);
                let (sin, cos) = ((offset + p) as f64 * speed).sin_cos();
                // A length of 1 changes no bit.
                ((cos * long) as f32, (sin * long) as f32)
            })
        };
        self.turns.extend((held..length).flat_map(turn));
        &self.turns[..len]
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.turns.capacity() * size_of::<(f32, f32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_serves_shorter_and_longer_lengths_of_the_same_vectors_only() {
        let of = |base| Angles { base, scaling: None };
        let alone =
            |base, dim, offset, length| Turns::default().at(of(base), dim, offset, length).to_vec();
        let mut turns = Turns::default();
        let cases =
            [(1e4, 6, 0, 4), (1e4, 6, 0, 2), (1e4, 6, 0, 7), (1e4, 6, 3, 2), (1e4, 4, 3, 2)];
        for (base, dim, offset, length) in cases.into_iter().chain([(5e5, 4, 3, 2), (1e4, 0, 0, 3)])
        {
            let got = turns.at(of(base), dim, offset, length);
            assert_eq!(got, alone(base, dim, offset, length));
            assert_eq!(got.len(), dim / 2 * length);
        }
        assert_eq!(alone(1e4, 6, 3, 2), alone(1e4, 6, 0, 5)[9..]);
    }
}
