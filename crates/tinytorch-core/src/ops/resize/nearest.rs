//! The nearest entries: what lies behind the axes that change is copied as it lies, and what lies before them is taken image by
//! image.

use super::taps::Axis;
use super::{Resize, Rounding};
use crate::Result;
use crate::graph::Viewed;
use crate::ops::sources::for_each_index;
use crate::tensor::Shape;

/// Where each entry of an axis is found, `None` if it lies outside.
type Places = Vec<Option<usize>>;

impl Resize {
    /// Every value of the result, which is not empty.
    pub(super) fn take_nearest<T: Viewed>(
        &self,
        rounding: Rounding,
        values: &[T],
        axes: &[Axis],
        out: &mut [T],
    ) -> Result<()> {
        let changes = |axis: &Axis| !axis.is_kept(self.place);
        let (Some(first), Some(last)) =
            (axes.iter().position(changes), axes.iter().rposition(changes))
        else {
            out.copy_from_slice(values);
            return Ok(());
        };
        let run = axes[last + 1..].iter().map(|axis| axis.from).product();
        let changing = &axes[first..=last];
        let mut stride = run;
        let mut places: Vec<Places> = Vec::with_capacity(changing.len());
        for axis in changing.iter().rev() {
            let place = |i| Some(self.nearest_entry(rounding, axis, i)? * stride);
            places.push((0..axis.to).map(place).collect());
            stride *= axis.from;
        }
        let image_out = run * changing.iter().map(|axis| axis.to).product::<usize>();
        let rows = Rows::new(&places[0], run, T::from_f64(f64::from(self.outside)));
        let outer = &places[1..];
        let sizes: Vec<usize> = outer.iter().rev().map(Vec::len).collect();
        let sizes = Shape::new(&sizes)?;
        for (values, out) in values.chunks_exact(stride).zip(out.chunks_exact_mut(image_out)) {
            let (mut at, mut before) = (0, None);
            for_each_index(&sizes, |index| {
                let start = index
                    .iter()
                    .rev()
                    .zip(outer)
                    .try_fold(0, |sum, (&at, places)| places[at].map(|place| sum + place));
                if before == Some(start) {
                    // As the one before, of which an image that grows has many.
                    out.copy_within(at - rows.len..at, at);
                } else {
                    rows.take(start.map(|start| &values[start..]), &mut out[at..at + rows.len]);
                }
                (at, before) = (at + rows.len, Some(start));
            });
        }
        Ok(())
    }
}

/// Rows along the last axis that changes.
struct Rows<'a, T> {
    places: &'a [Option<usize>],
    /// Whether each value stands there twice, as in most networks that enlarge an image.
    doubles: bool,
    /// Values at each place.
    run: usize,
    /// Values of a row.
    len: usize,
    outside: T,
}

impl<'a, T: Viewed> Rows<'a, T> {
    fn new(places: &'a [Option<usize>], run: usize, outside: T) -> Rows<'a, T> {
        let is_double = |(i, place): (usize, &Option<usize>)| *place == Some(i / 2);
        let doubles =
            run == 1 && places.len().is_multiple_of(2) && places.iter().enumerate().all(is_double);
        Rows { places, doubles, run, len: places.len() * run, outside }
    }

    /// From the values that a row is made of, if it is not outside.
    fn take(&self, values: Option<&[T]>, out: &mut [T]) {
        let Some(values) = values else {
            out.fill(self.outside);
            return;
        };
        if self.doubles {
            for (out, value) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                *out = [*value; 2];
            }
            return;
        }
        for (out, place) in out.chunks_exact_mut(self.run).zip(self.places) {
            match place {
                Some(place) => out.copy_from_slice(&values[*place..][..self.run]),
                None => out.fill(self.outside),
            }
        }
    }
}
