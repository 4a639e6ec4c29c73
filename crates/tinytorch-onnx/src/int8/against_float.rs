//! What a file says of its weights of 8 bits, held against the weights that they were made from.

use super::draft::{DEQUANTIZE, Draft, QUANTIZE, is_own};
use super::expand;
use super::levels::{self, Search};
use super::places::{Place, axis, places};
use super::weights::QUANTIZED;
use crate::error::{OnnxError, shown};
use crate::file::Files;
use crate::tensor::{self, element};
use std::collections::BTreeMap;
use std::path::Path;
use tinytorch_core::{Result, Tensor};

/// How far a weight may lie from the float one, and be it for all that. More is what a fault makes, or what was done on purpose: a
/// norm that was folded, a weight that was trained on.
const NEAR: f64 = 0.15;

/// Channels from which on one factor for all of them is no norm's.
const FEWEST: usize = 4;

/// How much nearer to the float weight what a file should say must be than what it says.
const MENDED: f64 = 3.0;

/// What was found in an int8 file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgainstFloat {
    /// What is wrong, a sentence each that begins with the tensor.
    pub faults: Vec<String>,
    /// Weights that were held against the float model's of their names.
    pub compared: usize,
}

/// Holds what an ONNX file says of its weights of 8 bits against the weights of the float model, by name: where its scales lie,
/// and where its levels mean zero. A weight that is another than the float model's in a way that is none of these faults, such as one
/// into which a norm was folded, is none.
///
/// # Errors
/// What is wrong with the file.
pub fn against_float(file: &Path, float: &BTreeMap<String, Tensor>) -> Result<AgainstFloat> {
    let (proto, mut files) = Files::open(file)?;
    let mut found = AgainstFloat::default();
    let Some(graph) = &proto.graph else { return Ok(found) };
    let mut draft = Draft::of(graph);
    for place in places(&draft) {
        let Some(stored) = Stored::of(&draft, place, &mut files)? else { continue };
        let Some(float) = float.get(&stored.float_name) else { continue };
        let Some(float) = stored.aligned(&float.to_vec::<f32>()?, float.shape()) else { continue };
        found.compared += 1;
        found.faults.extend(stored.fault(&float));
    }
    expand::expand(&mut draft, &mut files)?;
    found.faults.extend(read_otherwise(&draft, &mut files)?);
    Ok(found)
}

/// A weight as a file has it.
struct Stored {
    name: String,
    float_name: String,
    dims: Vec<usize>,
    levels: Vec<f64>,
    /// `None` where the scale is not the node's.
    scales: Option<Vec<f64>>,
    zero_points: Vec<f64>,
    /// The level in the middle of the type.
    middle: f64,
    axis: usize,
}

impl Stored {
    /// `None` if something of it is computed, or does not fit.
    fn of(draft: &Draft, place: Place, files: &mut Files) -> Result<Option<Stored>, OnnxError> {
        let node = &draft.nodes[place.node];
        let constant = |i: usize| node.input.get(i).filter(|name| !name.is_empty());
        let mut numbers = |name: &String| -> Result<Option<Vec<f64>>, OnnxError> {
            let Some(constant) = draft.constant(name) else { return Ok(None) };
            let values = tensor::numbers(constant, files)?;
            Ok(Some(values.into_iter().map(f64::from).collect()))
        };
        let Some(proto) = constant(place.levels).and_then(|name| draft.constant(name)) else {
            return Ok(None);
        };
        let middle = match proto.data_type {
            element::I8 => 0.0,
            element::U8 => 128.0,
            _ => return Ok(None),
        };
        let Some(levels) = numbers(&proto.name)? else { return Ok(None) };
        let scales = match place.scale {
            None => None,
            Some(scale) => match constant(scale).map(&mut numbers).transpose()?.flatten() {
                Some(scales) => Some(scales),
                None => return Ok(None),
            },
        };
        let zero_points = match constant(place.zero_point) {
            None => vec![0.0],
            Some(name) => match numbers(name)? {
                Some(zero_points) => zero_points,
                None => return Ok(None),
            },
        };
        let dims: Vec<usize> = proto.dims.iter().map(|&dim| dim.max(0) as usize).collect();
        let axis = axis(node, dims.len());
        let fits = |list: &[f64]| list.len() == 1 || list.len() == dims[axis];
        if !fits(&zero_points) || scales.as_deref().is_some_and(|scales| !fits(scales)) {
            return Ok(None);
        }
        let name = shown(&proto.name);
        let float_name = proto.name.strip_suffix(QUANTIZED).unwrap_or(&proto.name).to_string();
        Ok(Some(Stored { name, float_name, dims, levels, scales, zero_points, middle, axis }))
    }

    /// The float weight in the file's order, whichever of the two that are possible is nearer to the levels; `None` for one of other sizes.
    fn aligned(&self, float: &[f32], shape: &[usize]) -> Option<Vec<f64>> {
        if float.len() != self.levels.len() || float.is_empty() {
            return None;
        }
        let same: Vec<f64> = float.iter().copied().map(f64::from).collect();
        let [rows, columns] = self.dims[..] else { return Some(same) };
        if shape == [rows, columns] && rows != columns {
            return Some(same);
        }
        let turned: Vec<f64> =
            (0..rows * columns).map(|i| same[i % columns * rows + i / columns]).collect();
        if rows != columns {
            return (shape == [columns, rows]).then_some(turned);
        }
        let likeness = |float: &[f64]| correlation(&self.levels, float).abs();
        Some(if likeness(&turned) > likeness(&same) { turned } else { same })
    }

    /// Which of several scales or zero points along an axis an element has.
    fn along(&self, axis: usize, element: usize) -> usize {
        let inner: usize = self.dims[axis + 1..].iter().product();
        element / inner.max(1) % self.dims[axis].max(1)
    }

    /// What the levels stand for by these scales and zero points along an axis.
    fn values(&self, axis: usize, scales: &[f64], zero_points: &[f64]) -> Vec<f64> {
        let each = |list: &[f64], i: usize| if list.len() == 1 { list[0] } else { list[i] };
        let value = |(i, level): (usize, &f64)| {
            let channel = self.along(axis, i);
            (level - each(zero_points, channel)) * each(scales, channel)
        };
        self.levels.iter().enumerate().map(value).collect()
    }

    /// For each channel, or for all of them if the file does not tell them apart, the scale and the zero point that bring the levels
    /// nearest to the float weight.
    fn fitted(&self, float: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let lists = [self.scales.as_deref().unwrap_or(&[]), &self.zero_points];
        let channels =
            if lists.iter().all(|list| list.len() <= 1) { 1 } else { self.dims[self.axis] };
        let mut sums = vec![[0.0f64; 5]; channels];
        for (i, (q, w)) in self.levels.iter().zip(float).enumerate() {
            let sum = &mut sums[self.along(self.axis, i) % channels];
            for (total, term) in sum.iter_mut().zip([1.0, *q, *w, q * q, q * w]) {
                *total += term;
            }
        }
        let line = |[n, q, w, qq, qw]: [f64; 5]| {
            let spread = n * qq - q * q;
            // Levels that are all the same say nothing of their scale.
            let scale = if spread > 0.0 { (n * qw - q * w) / spread } else { 0.0 };
            (scale, if scale == 0.0 { q / n } else { (q - w / scale) / n })
        };
        sums.into_iter().map(line).unzip()
    }

    /// What is wrong with the weight, if what the file says is not the float weight and one thing said otherwise would be.
    fn fault(&self, float: &[f64]) -> Option<String> {
        let off =
            |scales: &[f64], zeros: &[f64]| distance(&self.values(self.axis, scales, zeros), float);
        let (own, zeros) = self.fitted(float);
        let scales = self.scales.clone().unwrap_or_else(|| own.clone());
        let read = off(&scales, &self.zero_points);
        if read <= NEAR {
            return None;
        }
        let mended = |error: f64| {
            let told = format!(
                "{:.1} % off the float model's weight, {:.1} % otherwise",
                100.0 * read,
                100.0 * error
            );
            (error <= NEAR && error * MENDED <= read).then_some(told)
        };
        let name = &self.name;
        if let Some((other, error)) = self.other_axis(&scales, float)
            && let Some(told) = mended(error)
        {
            let axis = self.axis;
            return Some(format!(
                "the scales of `{name}` are read along axis {axis}, and are those of axis {other}: {told}"
            ));
        }
        let zeros: Vec<f64> = zeros.into_iter().map(f64::round).collect();
        if let Some(misplaced) = self.misplaced_zero(&zeros)
            && let Some(told) = mended(off(&scales, &zeros))
        {
            return Some(format!("{misplaced}: {told}"));
        }
        self.scales.as_ref()?;
        let told = mended(off(&own, &self.zero_points))?;
        if scales.len() > 1 && same_numbers(&scales, &own) {
            return Some(format!(
                "the scales of `{name}` stand beside other channels than theirs: {told}"
            ));
        }
        let ratio = scales[0] / own[0];
        let is_uniform =
            scales.iter().zip(&own).all(|(scale, own)| (scale / own / ratio - 1.0).abs() < 0.05);
        // Of few channels one factor may be a norm's that was folded.
        let is_scale = is_uniform && scales.len() >= FEWEST;
        is_scale.then(|| {
            format!("the scales of `{name}` are {ratio:.2} times what its levels need: {told}")
        })
    }

    /// The axis along which the scales give most of the float weight, if it is not the file's.
    fn other_axis(&self, scales: &[f64], float: &[f64]) -> Option<(usize, f64)> {
        let is_other = |axis: &usize| *axis != self.axis && self.dims[*axis] == scales.len();
        let all = (0..self.dims.len()).filter(|axis| scales.len() > 1 && is_other(axis));
        let with_error = all.map(|axis| {
            let zeros = if self.zero_points.iter().all(|z| *z == self.zero_points[0]) {
                &self.zero_points[..1]
            } else {
                &self.zero_points
            };
            (axis, distance(&self.values(axis, scales, zeros), float))
        });
        with_error.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// What the file says wrong of where the levels mean zero, if that is elsewhere by more than rounding makes of it.
    fn misplaced_zero(&self, zeros: &[f64]) -> Option<String> {
        let said = |i: usize| self.zero_points[if self.zero_points.len() == 1 { 0 } else { i }];
        let off = zeros.iter().enumerate().map(|(i, zero)| (i, (zero - said(i)).abs()));
        let (channel, off) = off.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let (name, zero, said) = (&self.name, zeros[channel], said(channel));
        (off >= 2.0).then(|| match said {
            _ if said == self.middle => format!(
                "`{name}` is asymmetric and read as symmetric: its levels mean zero at {zero}, and are read with the zero point {said}"
            ),
            0.0 => format!("the zero point of `{name}` is left out: its levels mean zero at {zero}"),
            _ => format!("the zero point {said} of `{name}` is not its own: its levels mean zero at {zero}"),
        })
    }
}

/// Levels that are read by another scale or zero point than they are written with.
fn read_otherwise(draft: &Draft, files: &mut Files) -> Result<Vec<String>, OnnxError> {
    let search = Search::new(draft);
    let mut faults = Vec::new();
    for (reader, node) in draft.nodes.iter().enumerate() {
        let levels = node.input.first().filter(|_| node.op_type == DEQUANTIZE && is_own(node));
        let writer = levels.and_then(|levels| search.giver(levels));
        let Some((levels, writer)) = levels.zip(writer) else { continue };
        let is_writer = draft.nodes[writer].op_type == QUANTIZE && is_own(&draft.nodes[writer]);
        let [written, read] =
            [levels::params(draft, writer, files)?, levels::params(draft, reader, files)?];
        let Some((written, read)) = written.zip(read).filter(|_| is_writer) else { continue };
        if written.zero_point != read.zero_point {
            faults.push(format!(
                "the levels `{}` are written with a zero point that is {} levels from the one they are read with",
                shown(levels),
                written.zero_point.abs_diff(read.zero_point)
            ));
        } else if (written.scale / read.scale - 1.0).abs() > 1e-3 {
            faults.push(format!(
                "the levels `{}` are written with the scale {} and read with {}",
                shown(levels),
                written.scale,
                read.scale
            ));
        }
    }
    Ok(faults)
}

/// Whether two lists hold the same numbers, but for a twentieth, in another order.
fn same_numbers(a: &[f64], b: &[f64]) -> bool {
    let sorted = |list: &[f64]| {
        let mut list = list.to_vec();
        list.sort_by(f64::total_cmp);
        list
    };
    a.len() == b.len() && sorted(a).iter().zip(sorted(b)).all(|(a, b)| (a / b - 1.0).abs() < 0.05)
}

/// The relative distance from what is wanted.
fn distance(got: &[f64], want: &[f64]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let apart = square(&mut got.iter().zip(want).map(|(a, b)| a - b));
    (apart / square(&mut want.iter().copied()).max(f64::MIN_POSITIVE)).sqrt()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |list: &[f64]| list.iter().sum::<f64>() / list.len() as f64;
    let (of_a, of_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - of_a, y - of_b);
        (ab, aa, bb) = (ab + x * y, aa + x * x, bb + y * y);
    }
    ab / (aa * bb).sqrt().max(f64::MIN_POSITIVE)
}
