//! How well the boxes of a detector lie on those of another.

use super::likeness::picked;
use super::{Alike, AuditError, Likeness};
use crate::Result;
use crate::tensor::Tensor;

/// Scores from which a box counts.
const SCORE: f32 = 0.5;

/// Overlap from which two boxes of a class are one object, of which the better is kept.
const SAME_OBJECT: f64 = 0.5;

/// The mean overlap, intersection over union, of the int8 model's boxes with the float model's.
///
/// Boxes are corners `[samples, boxes, 4]` as x, y, x, y, scores `[samples, boxes, classes]`. Those with a score of 0.5
/// or more count, without those that overlap a better one of their class by half (non-maximum suppression). Boxes
/// of a class are paired, those of most overlap first; a box without a partner in either model counts as 0.
/// Pictures in which neither model finds anything do not count. Offsets and sizes, which many detectors give instead of
/// corners, are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boxes {
    /// The place of the boxes among the outputs.
    pub boxes: usize,
    /// The place of the scores.
    pub scores: usize,
    /// The class that stands for no object, if there is one.
    pub background: Option<usize>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    class: usize,
    score: f32,
    corners: [f32; 4],
}

impl Likeness for Boxes {
    fn name(&self) -> &str {
        "IoU of boxes"
    }

    fn usual_limit(&self) -> f64 {
        0.97
    }

    fn compare(&self, int8: &[Tensor], float: &[Tensor]) -> Result<Alike> {
        let (int8, float) = (self.found(int8)?, self.found(float)?);
        have_areas(&float)?;
        Ok(Alike::Each(int8.iter().zip(&float).map(|(got, want)| overlap_of(got, want)).collect()))
    }
}

impl Boxes {
    /// What is found in each sample, the best first.
    fn found(&self, outputs: &[Tensor]) -> Result<Vec<Vec<Found>>> {
        let outputs = picked(outputs, &[self.boxes, self.scores])?;
        let (boxes, scores) = (outputs[0], outputs[1]);
        let (&[samples, count, 4], &[also_samples, also_count, classes]) =
            (boxes.shape().dims(), scores.shape().dims())
        else {
            return Err(self.misshaped(boxes, scores));
        };
        if (samples, count) != (also_samples, also_count) || classes == 0 {
            return Err(self.misshaped(boxes, scores));
        }
        let (boxes, scores) = (boxes.to_vec::<f32>()?, scores.to_vec::<f32>()?);
        let of_sample = |sample: usize| {
            let mut found = Vec::new();
            for at in sample * count..(sample + 1) * count {
                let scores = &scores[at * classes..(at + 1) * classes];
                let objects =
                    scores.iter().enumerate().filter(|(i, _)| Some(*i) != self.background);
                let best = objects.max_by(|a, b| a.1.total_cmp(b.1));
                if let Some((class, &score)) = best.filter(|(_, score)| **score >= SCORE) {
                    let corners = std::array::from_fn(|i| boxes[at * 4 + i]);
                    found.push(Found { class, score, corners });
                }
            }
            kept(found)
        };
        Ok((0..samples).map(of_sample).collect())
    }

    fn misshaped(&self, boxes: &Tensor, scores: &Tensor) -> crate::Error {
        let (boxes, scores) = (*boxes.shape(), *scores.shape());
        AuditError::NoBoxes { boxes, scores }.into()
    }
}

/// Whether what the float model finds are corners: of offsets and sizes most end before they begin.
fn have_areas(found: &[Vec<Found>]) -> Result<()> {
    let is_flat =
        |one: &&Found| one.corners[2] <= one.corners[0] || one.corners[3] <= one.corners[1];
    let found = || found.iter().flatten();
    let (flat, boxes) = (found().filter(is_flat).count(), found().count());
    match 2 * flat > boxes {
        true => Err(AuditError::FlatBoxes { flat, boxes }.into()),
        false => Ok(()),
    }
}

/// Those that no better one of their class covers.
fn kept(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Found> = Vec::new();
    for one in found {
        let covers = |better: &Found| {
            better.class == one.class && iou(&better.corners, &one.corners) > SAME_OBJECT
        };
        if !kept.iter().any(covers) {
            kept.push(one);
        }
    }
    kept
}

/// The mean overlap of the pairs, of which there are as many as there are boxes in the picture with more of them.
fn overlap_of(got: &[Found], want: &[Found]) -> Option<f64> {
    let most = got.len().max(want.len());
    if most == 0 {
        return None;
    }
    let mut pairs = Vec::new();
    for (i, a) in got.iter().enumerate() {
        let same = want.iter().enumerate().filter(|(_, b)| b.class == a.class);
        pairs.extend(same.map(|(j, b)| (iou(&a.corners, &b.corners), i, j)));
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut taken, mut partners) = (vec![false; got.len()], vec![false; want.len()]);
    let mut sum = 0.0;
    for (overlap, i, j) in pairs {
        if !taken[i] && !partners[j] {
            (taken[i], partners[j]) = (true, true);
            sum += overlap;
        }
    }
    Some(sum / most as f64)
}

/// Intersection over union; 0 for boxes without an area.
fn iou(a: &[f32; 4], b: &[f32; 4]) -> f64 {
    let side = |low: f32, high: f32| f64::from(high - low).max(0.0);
    let area = |c: &[f32; 4]| side(c[0], c[2]) * side(c[1], c[3]);
    let common = side(a[0].max(b[0]), a[2].min(b[2])) * side(a[1].max(b[1]), a[3].min(b[3]));
    let all = area(a) + area(b) - common;
    if all > 0.0 { common / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOXES: Boxes = Boxes { boxes: 0, scores: 1, background: Some(0) };

    /// Boxes with the score of their class, 1 or 2, in one picture.
    fn picture(found: &[([f32; 4], usize, f32)]) -> Vec<Tensor> {
        let corners = found.iter().flat_map(|(corners, ..)| *corners).collect();
        let scores = found.iter().flat_map(|&(_, class, score)| {
            (0..3).map(move |i| {
                if i == class {
                    score
                } else if i == 0 {
                    0.9
                } else {
                    0.1
                }
            })
        });
        let boxes = Tensor::from_vec(corners, [1, found.len(), 4]).unwrap();
        vec![boxes, Tensor::from_vec(scores.collect(), [1, found.len(), 3]).unwrap()]
    }

    fn alike(got: &[([f32; 4], usize, f32)], want: &[([f32; 4], usize, f32)]) -> Option<f64> {
        match BOXES.compare(&picture(got), &picture(want)).unwrap() {
            Alike::Each(each) => each[0],
            Alike::Whole { .. } => None,
        }
    }

    /// By hand: squares of 4 that are 1 apart share 3 x 4 of 20, so that 0.6 is common.
    #[test]
    fn overlap_is_the_common_part_of_both() {
        let (here, there) = ([0.0, 0.0, 4.0, 4.0], [1.0, 0.0, 5.0, 4.0]);
        assert_eq!(alike(&[(here, 1, 0.8)], &[(there, 1, 0.6)]), Some(0.6));
        assert_eq!(alike(&[(here, 1, 0.8)], &[(there, 2, 0.6)]), Some(0.0), "another class");
        assert_eq!(alike(&[(here, 1, 0.8)], &[(here, 1, 0.4)]), Some(0.0), "a score too low");
        assert_eq!(alike(&[(here, 1, 0.4)], &[(here, 1, 0.4)]), None);
    }

    #[test]
    fn a_box_without_a_partner_counts_as_none_and_a_second_of_an_object_not_at_all() {
        let (here, near, far) =
            ([0.0, 0.0, 4.0, 4.0], [0.5, 0.0, 4.5, 4.0], [9.0, 9.0, 12.0, 12.0]);
        let (one, other) = ((here, 1, 0.9), (far, 1, 0.7));
        assert_eq!(alike(&[one, other], &[one]), Some(0.5));
        assert_eq!(alike(&[one, (near, 1, 0.8)], &[one]), Some(1.0), "the worse of one object");
        assert_eq!(alike(&[one, (near, 2, 0.8)], &[one]), Some(0.5), "of another class");
    }

    /// By hand: squares of 4 that are `d` apart share (4 - d) / (4 + d) of both, a half where `d` is 4 / 3.
    #[test]
    fn half_of_both_is_one_object_and_a_score_of_a_half_finds_it() {
        let here = [0.0, 0.0, 4.0, 4.0];
        let beside = |d: f32| [(here, 1, 0.9), ([d, 0.0, 4.0 + d, 4.0], 1, 0.8)];
        assert_eq!(alike(&beside(1.3), &[(here, 1, 0.9)]), Some(1.0));
        assert_eq!(alike(&beside(1.4), &[(here, 1, 0.9)]), Some(0.5));
        assert_eq!(alike(&[(here, 1, 0.5)], &[(here, 1, 0.9)]), Some(1.0));
        assert_eq!(alike(&[(here, 1, 0.499)], &[(here, 1, 0.9)]), Some(0.0));
        assert_eq!(BOXES.usual_limit(), 0.97);
    }

    #[test]
    fn offsets_and_sizes_are_no_corners() {
        let (corners, offsets) = ([0.0, 0.0, 4.0, 4.0], [0.5, -0.3, -1.2, 0.8]);
        let many = [(offsets, 1, 0.9), (offsets, 2, 0.8), (corners, 1, 0.9)];
        let error = BOXES.compare(&picture(&many), &picture(&many)).unwrap_err();
        assert!(error.to_string().contains("2 of the 3 boxes"), "{error}");
        // The int8 model may be as wrong as it likes.
        assert_eq!(alike(&[(offsets, 1, 0.9)], &[(corners, 1, 0.9)]), Some(0.0));
    }

    #[test]
    fn outputs_that_are_no_boxes_are_refused() {
        let flat = Tensor::ones([2, 4]).unwrap();
        let error =
            BOXES.compare(&[flat.clone(), flat.clone()], &[flat.clone(), flat]).unwrap_err();
        assert!(error.to_string().contains("[2, 4]"), "{error}");
    }
}
