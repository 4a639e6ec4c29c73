//! Where AVX2's fast dot product cannot saturate.

/// Whether `vpmaddubsw` is exact for a row of weights against every row of `u8` activations.
///
/// The instruction adds the products of two adjacent pairs in a saturating `i16`, -32768 to
/// 32767. With activations from 0 to 255 the sum of a pair stays inside exactly when the positive
/// weights of the pair sum to at most 128 (255 * 128 = 32640) and its negative ones to at least
/// -128 (255 * -128 = -32640). Pairs start at even places; an odd last weight stands alone.
///
/// ```
/// use tinytorch_kernels::int8::pair_rule_holds;
///
/// assert!(pair_rule_holds(&[64, 64, 127, -128, 100]));
/// assert!(!pair_rule_holds(&[65, 64]));
/// assert!(pair_rule_holds(&[0, 65, 64, 0]));
/// ```
pub fn pair_rule_holds(row: &[i8]) -> bool {
    row.chunks(2).all(|pair| {
        let sum_of = |keep: fn(i32) -> bool| -> i32 {
            pair.iter().map(|w| i32::from(*w)).filter(|w| keep(*w)).sum()
        };
        sum_of(|w| w > 0) <= 128 && sum_of(|w| w < 0) >= -128
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `vpmaddubsw` computes for a pair.
    fn saturating_pair(a: [u8; 2], w: [i8; 2]) -> i32 {
        let exact: i32 = (0..2).map(|i| i32::from(a[i]) * i32::from(w[i])).sum();
        exact.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
    }

    /// The largest and the smallest sum of a pair are reached with activations of 0 and 255.
    fn worst_activations_are_exact(w: [i8; 2]) -> bool {
        [[0, 0], [0, 255], [255, 0], [255, 255]].into_iter().all(|a: [u8; 2]| {
            let exact: i32 = (0..2).map(|i| i32::from(a[i]) * i32::from(w[i])).sum();
            saturating_pair(a, w) == exact
        })
    }

    #[test]
    fn the_rule_is_exactly_where_no_activation_saturates() {
        for x in i8::MIN..=i8::MAX {
            for y in i8::MIN..=i8::MAX {
                assert_eq!(
                    pair_rule_holds(&[x, y]),
                    worst_activations_are_exact([x, y]),
                    "{x} {y}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn a_row_holds_when_each_of_its_pairs_does(row in prop::collection::vec(any::<i8>(), 0..40)) {
            let each = row.chunks(2).all(|pair| {
                worst_activations_are_exact([pair[0], pair.get(1).copied().unwrap_or(0)])
            });
            prop_assert_eq!(pair_rule_holds(&row), each);
        }
    }
}
