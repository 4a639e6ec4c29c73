//! How well what a recognizer reads agrees with what another reads.

use super::likeness::picked;
use super::{Alike, AuditError, Likeness};
use crate::Result;
use crate::tensor::Tensor;

/// The share of the characters that the int8 model reads as the float model does: 1 less the edit distance of the
/// two texts over the length of the float model's.
///
/// The output is `[samples, steps, classes]`. A text is the best class of each step, without repetitions and without
/// the blank (connectionist temporal classification; Graves et al., 2006, best path). Samples in which neither reads
/// anything do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Characters {
    /// The place of the output.
    pub output: usize,
    /// The class that stands for no character.
    pub blank: usize,
}

impl Likeness for Characters {
    fn name(&self) -> &str {
        "character accuracy"
    }

    fn compare(&self, int8: &[Tensor], float: &[Tensor]) -> Result<Alike> {
        let (int8, float) = (self.texts(int8)?, self.texts(float)?);
        let alike = |(got, want): (&Vec<i64>, &Vec<i64>)| match (got.len(), want.len()) {
            (0, 0) => None,
            (_, 0) => Some(0.0),
            (_, length) => Some((1.0 - distance(got, want) as f64 / length as f64).max(0.0)),
        };
        Ok(Alike::Each(int8.iter().zip(&float).map(alike).collect()))
    }
}

impl Characters {
    fn texts(&self, outputs: &[Tensor]) -> Result<Vec<Vec<i64>>> {
        let output = picked(outputs, &[self.output])?[0];
        let &[_, steps, classes] = output.shape().dims() else {
            return Err(AuditError::NoText { output: *output.shape() }.into());
        };
        if steps == 0 || classes == 0 {
            return Err(AuditError::NoText { output: *output.shape() }.into());
        }
        let best = output.argmax_last()?.to_vec::<i64>()?;
        let text = |best: &[i64]| {
            let mut text = best.to_vec();
            text.dedup();
            text.retain(|class| usize::try_from(*class) != Ok(self.blank));
            text
        };
        Ok(best.chunks(steps).map(text).collect())
    }
}

/// Insertions, deletions and replacements that make one of the other (Levenshtein, 1966).
fn distance(a: &[i64], b: &[i64]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distances that are in every textbook.
    #[test]
    fn distances_count_edits() {
        let of = |a: &str, b: &str| {
            let letters = |text: &str| text.bytes().map(i64::from).collect::<Vec<_>>();
            distance(&letters(a), &letters(b))
        };
        assert_eq!((of("kitten", "sitting"), of("flaw", "lawn"), of("", "abc")), (3, 2, 3));
        assert_eq!((of("abc", "abc"), of("intention", "execution")), (0, 5));
    }

    /// Best classes 0 1 1 0 1 2 2 read as 1 1 2.
    #[test]
    fn repetitions_and_blanks_are_no_characters() {
        let of = |best: &[usize]| {
            let row = |&class: &usize| (0..3).map(move |i| if i == class { 1.0 } else { 0.0 });
            let values: Vec<f32> = best.iter().flat_map(row).collect();
            vec![Tensor::from_vec(values, [1, best.len(), 3]).unwrap()]
        };
        let reader = Characters { output: 0, blank: 0 };
        assert_eq!(reader.texts(&of(&[0, 1, 1, 0, 1, 2, 2])).unwrap(), [vec![1, 1, 2]]);
        let alike = |got: &[usize], want: &[usize]| reader.compare(&of(got), &of(want)).unwrap();
        assert_eq!(alike(&[1, 2, 0, 1], &[1, 2, 0, 2]), Alike::Each(vec![Some(1.0 - 1.0 / 3.0)]));
        assert_eq!(alike(&[0, 0], &[0, 0]), Alike::Each(vec![None]));
        assert_eq!(alike(&[0, 1], &[0, 0]), Alike::Each(vec![Some(0.0)]));
        assert!(reader.compare(&[Tensor::ones([2, 3]).unwrap()], &of(&[0])).is_err());
    }
}
