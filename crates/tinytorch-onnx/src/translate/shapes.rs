//! What rearranges values, and sizes that are computed.

use super::writer::attribute::integers;
use super::writer::{Value, Writer, untranslated};
use crate::int8::integer;
use crate::proto::AttributeProto;
use tinytorch_core::Result;
use tinytorch_core::graph::{Edge, ShortcutGeometry};
use tinytorch_core::ops::{Pool, Rearrange, Reshape};
use tinytorch_core::tensor::Shape;

/// An attribute that is a list of one axis, which may count from the end.
pub(super) fn size_of(name: &str, axis: i64) -> AttributeProto {
    AttributeProto { ints: vec![axis], ..integers(name, &[]) }
}

impl Writer<'_> {
    /// Part of an axis.
    pub(super) fn part(&mut self, value: &str, from: i64, to: i64, axis: i64) -> Result<String> {
        let mut inputs = vec![value.to_string()];
        for (name, number) in [("starts", from), ("ends", to), ("axes", axis)] {
            inputs.push(self.list(name, &[number])?);
        }
        Ok(self.write("Slice", inputs, Vec::new()))
    }

    /// The size of an axis, a number.
    pub(super) fn length(&mut self, value: &str, axis: usize) -> Result<String> {
        let sizes = self.write("Shape", [value], Vec::new());
        let axis = self.integer("axis", axis as i64)?;
        Ok(self.write("Gather", [sizes, axis], vec![integer("axis", 0)]))
    }

    pub(super) fn reshape(&mut self, edge: Edge, how: &Reshape, x: &Value) -> Result<String> {
        match how {
            Reshape::Flatten { start: 1, end } if *end + 1 == x.rank() => {
                Ok(self.write("Flatten", [&x.name], vec![integer("axis", 1)]))
            }
            Reshape::Squeeze { axis } => self.with_axes("Squeeze", x, *axis),
            Reshape::Unsqueeze { axis } => self.with_axes("Unsqueeze", x, *axis),
            _ => {
                let [(one, _), (other, _)] = [self.output_of(edge, 0)?, self.output_of(edge, 1)?];
                let sizes = sizes(x.shapes, [one, other])
                    .ok_or_else(|| untranslated("a shape with several sizes that are open"))?;
                let sizes = self.list("sizes", &sizes)?;
                Ok(self.write("Reshape", [x.name.clone(), sizes], Vec::new()))
            }
        }
    }

    fn with_axes(&mut self, op_type: &str, x: &Value, axis: usize) -> Result<String> {
        let axes = self.list("axes", &[axis as i64])?;
        Ok(self.write(op_type, [x.name.clone(), axes], Vec::new()))
    }

    pub(super) fn rearrange(&mut self, how: &Rearrange, x: &Value) -> Result<String> {
        match how {
            Rearrange::Permute(order) => {
                Ok(self.write("Transpose", [&x.name], vec![integers("perm", order)]))
            }
            Rearrange::Slice { axis, range } => {
                self.part(&x.name, range.start as i64, range.end as i64, *axis as i64)
            }
            Rearrange::Broadcast(_) => Err(untranslated("broadcast_to").into()),
        }
    }

    pub(super) fn pool(&mut self, pool: &Pool, x: &Value) -> String {
        let (op_type, geometry) = match pool {
            Pool::Max(geometry) => ("MaxPool", geometry),
            Pool::Avg(geometry) => ("AveragePool", geometry),
        };
        let [rows, columns] = geometry.padding;
        let mut attributes = vec![
            integers("kernel_shape", &geometry.kernel),
            integers("strides", &geometry.stride),
            integers("pads", &[rows[0], columns[0], rows[1], columns[1]]),
        ];
        match pool {
            Pool::Max(_) => attributes.push(integers("dilations", &geometry.dilation)),
            // Borders count as zeros.
            Pool::Avg(_) => attributes.push(integer("count_include_pad", 1)),
        }
        self.write(op_type, [&x.name], attributes)
    }

    /// Fewer pixels and more channels, which are zeros.
    pub(super) fn shortcut(&mut self, geometry: ShortcutGeometry, x: &Value) -> Result<String> {
        let missing = geometry.channels.saturating_sub(x.shapes[0][1]);
        let (before, after) = (missing / 2, missing - missing / 2);
        let mut inputs = vec![x.name.clone()];
        let stride = geometry.stride as i64;
        for (name, values) in
            [("starts", [0; 2]), ("ends", [i64::MAX; 2]), ("axes", [2, 3]), ("steps", [stride; 2])]
        {
            inputs.push(self.list(name, &values)?);
        }
        let fewer = self.write("Slice", inputs, Vec::new());
        let pads = [0, before, 0, 0, 0, after, 0, 0].map(|pad| pad as i64);
        let pads = self.list("pads", &pads)?;
        Ok(self.write("Pad", [fewer, pads], Vec::new()))
    }
}

/// The sizes of a result as `Reshape` takes them: numbers, 0 for a size that stays where it is, -1 for one that is left.
fn sizes(from: [Shape; 2], to: [Shape; 2]) -> Option<Vec<i64>> {
    let size = |axis: usize| {
        let [one, other] = to.map(|shape| shape[axis]);
        let stays =
            from.iter().zip([one, other]).all(|(shape, size)| shape.get(axis) == Some(&size));
        match one == other {
            true => one as i64,
            false if stays => 0,
            false => -1,
        }
    };
    let sizes: Vec<i64> = (0..to[0].rank()).map(size).collect();
    (sizes.iter().filter(|size| **size == -1).count() <= 1).then_some(sizes)
}
