//! The even and the odd values of a row, apart.

use crate::isa::Simd;

/// Copies the values at even places to `even` and those at odd places to `odd`, as far as there is room.
#[inline(always)]
pub(crate) fn separate<S: Simd>(s: S, row: &[f32], even: &mut [f32], odd: &mut [f32]) {
    let pairs = (row.len() / 2).min(even.len()).min(odd.len());
    let mut at = 0;
    while at + S::LANES <= pairs {
        let values = &row[2 * at..];
        let [evens, odds] = s.split_pairs(s.load(values), s.load(&values[S::LANES..]));
        s.store(evens, &mut even[at..]);
        s.store(odds, &mut odd[at..]);
        at += S::LANES;
    }
    let rest = row[2 * at..].iter().step_by(2);
    even[at..].iter_mut().zip(rest).for_each(|(even, value)| *even = *value);
    let rest = row[2 * at..].iter().skip(1).step_by(2);
    odd[at..].iter_mut().zip(rest).for_each(|(odd, value)| *odd = *value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::isa::Kernel;

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
