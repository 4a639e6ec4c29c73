//! Rows of an image: copies of them, and their even and odd values apart.

use crate::isa::Simd;

/// Copies a row in vectors, without the call that copying memory is: rows of images are often only a few vectors long.
#[inline(always)]
pub(crate) fn copy<S: Simd>(s: S, from: &[f32], to: &mut [f32]) {
    let len = from.len().min(to.len());
    if len < S::LANES {
        from.iter().zip(to).for_each(|(value, to)| *to = *value);
        return;
    }
    let mut at = 0;
    while at < len {
        let first = at.min(len - S::LANES);
        s.store(s.load(&from[first..]), &mut to[first..]);
        at = first + S::LANES;
    }
}

/// Copies the values at even places to `even` and those at odd places to `odd`, as far as there is room.
#[inline(always)]
pub(crate) fn separate<S: Simd>(s: S, row: &[f32], even: &mut [f32], odd: &mut [f32]) {
    let pairs = (row.len() / 2).min(even.len()).min(odd.len());
    let mut at = 0;
    while at < pairs && S::LANES <= pairs {
        // The last vector begins so early that it is full.
        let first = at.min(pairs - S::LANES);
        let values = &row[2 * first..];
        let [evens, odds] = s.split_pairs(s.load(values), s.load(&values[S::LANES..]));
        s.store(evens, &mut even[first..]);
        s.store(odds, &mut odd[first..]);
        at = first + S::LANES;
    }
    // A value more than pairs, or a row of less than a vector of them.
    let (evens, odds) = (even.len().min(row.len().div_ceil(2)), odd.len().min(row.len() / 2));
    let values = |at: usize| s.load_partial(&row[at.min(row.len())..]);
    while at < evens.max(odds) {
        let halves = s.split_pairs(values(2 * at), values(2 * at + S::LANES));
        s.store_partial(halves[0], &mut even[at.min(evens)..evens]);
        s.store_partial(halves[1], &mut odd[at.min(odds)..odds]);
        at += S::LANES;
    }
}

/// The same of a row with `left` values in front of it that stay as they are; `even` and `odd` are as long as each other.
#[inline(always)]
pub(crate) fn separate_behind<S: Simd>(
    s: S,
    left: usize,
    row: &[f32],
    even: &mut [f32],
    odd: &mut [f32],
) {
    let left = left.min(even.len() + odd.len());
    // Behind an odd number of values those at even places come to odd ones.
    let [first, second] = if left.is_multiple_of(2) { [even, odd] } else { [odd, even] };
    separate(s, row, &mut first[left / 2..], &mut second[left.div_ceil(2)..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::isa::Kernel;

    struct Behind<'a>(usize, &'a [f32], [&'a mut [f32]; 2]);

    impl Kernel for Behind<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let [even, odd] = self.2;
            separate_behind(s, self.0, self.1, even, odd);
        }
    }

    #[test]
    fn padding_moves_a_row_along() {
        let row: Vec<f32> = (0..60).map(|i| i as f32).collect();
        for isa in Isa::available() {
            for left in [0, 1, 2, 3, 8, 33, 80, 81, 99] {
                let (mut even, mut odd) = ([-1.0; 40], [-1.0; 40]);
                isa.run(Behind(left, &row, [&mut even, &mut odd]));
                for place in 0..80usize {
                    let at = place.checked_sub(left).and_then(|at| row.get(at));
                    let got = if place % 2 == 0 { even[place / 2] } else { odd[place / 2] };
                    assert_eq!(got, at.copied().unwrap_or(-1.0), "{left} in front, place {place}");
                }
            }
        }
    }

    struct Copy<'a>(&'a [f32], &'a mut [f32]);

    impl Kernel for Copy<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            copy(s, self.0, self.1);
        }
    }

    #[test]
    fn rows_of_any_length_are_copied_and_nothing_behind_them() {
        let row: Vec<f32> = (0..70).map(|i| i as f32).collect();
        for isa in Isa::available() {
            for len in 0..row.len() {
                let mut to = [-1.0; 71];
                isa.run(Copy(&row[..len], &mut to));
                assert_eq!(to[..len], row[..len]);
                assert!(to[len..].iter().all(|value| *value == -1.0));
            }
        }
    }

    struct Separate<'a>(&'a [f32], &'a mut [f32], &'a mut [f32]);

    impl Kernel for Separate<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            separate(s, self.0, self.1, self.2);
        }
    }

    #[test]
    fn rows_of_any_length_go_as_far_as_there_is_room() {
        let row: Vec<f32> = (0..70).map(|i| i as f32).collect();
        for isa in Isa::available() {
            for len in 0..row.len() {
                for [evens, odds] in [[35, 35], [len / 2, 35], [40, len / 3], [0, 35], [9, 0]] {
                    let (mut even, mut odd) = (vec![-1.0; evens], vec![-1.0; odds]);
                    isa.run(Separate(&row[..len], &mut even, &mut odd));
                    let want = |place: usize| if place < len { row[place] } else { -1.0 };
                    assert!(even.iter().enumerate().all(|(i, got)| *got == want(2 * i)));
                    assert!(odd.iter().enumerate().all(|(i, got)| *got == want(2 * i + 1)));
                }
            }
        }
    }
}
