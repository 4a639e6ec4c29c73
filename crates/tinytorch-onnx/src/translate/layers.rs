//! Layers with weights, and norms.

use super::shapes::size_of;
use super::writer::attribute::{float, integers};
use super::writer::{Value, Writer, untranslated, weight_shape};
use crate::int8::integer;
use tinytorch_core::Result;
use tinytorch_core::graph::{BatchNorm, Bounds, Node, Step};
use tinytorch_core::ops::{NormKind, RowNorm, Rows};

impl Writer<'_> {
    /// A linear layer, over rows of however many axes.
    pub(super) fn linear(&mut self, node: &Node, x: &Value) -> Result<String> {
        let Step::Linear { weight, bias, bounds } = &node.step else {
            return Err(untranslated("a layer").into());
        };
        let shape = weight_shape(weight);
        let (outputs, inputs) = (shape[0], shape[1]);
        let bias = match bias {
            Some(bias) => Some(self.param(node.params.get(1), bias.shape())?),
            None => None,
        };
        let name = if x.rank() == 2 {
            self.product_of_rows(node, x.name.clone(), [outputs, inputs], bias)?
        } else if self.is_table(node) {
            // A weight in which rows are looked up lies in their order, as Gemm alone reads it.
            let rows = self.list("rows", &[-1, inputs as i64])?;
            let flat = self.write("Reshape", [x.name.clone(), rows], Vec::new());
            let y = self.product_of_rows(node, flat, [outputs, inputs], bias)?;
            let sizes = self.write("Shape", [x.name.clone()], Vec::new());
            let leading = self.part(&sizes, 0, x.rank() as i64 - 1, 0)?;
            let last = self.list("width", &[outputs as i64])?;
            let sizes = self.write("Concat", [leading, last], vec![integer("axis", 0)]);
            self.write("Reshape", [y, sizes], Vec::new())
        } else {
            let weight = self.param(node.params.first(), &[inputs, outputs])?;
            let y = self.write("MatMul", [x.name.clone(), weight], Vec::new());
            match bias {
                Some(bias) => self.write("Add", [y, bias], Vec::new()),
                None => y,
            }
        };
        Ok(self.bounded(name, *bounds))
    }

    fn product_of_rows(
        &mut self,
        node: &Node,
        x: String,
        sizes: [usize; 2],
        bias: Option<String>,
    ) -> Result<String> {
        let weight = self.param(node.params.first(), &sizes)?;
        let inputs = [x, weight].into_iter().chain(bias);
        Ok(self.write("Gemm", inputs, vec![integer("transB", 1)]))
    }

    pub(super) fn convolution(&mut self, node: &Node, x: &Value) -> Result<String> {
        let Step::Conv2d { weight, bias, geometry, bounds } = &node.step else {
            return Err(untranslated("a layer").into());
        };
        let shape = weight_shape(weight);
        let mut inputs = vec![x.name.clone(), self.param(node.params.first(), &shape)?];
        if let Some(bias) = bias {
            inputs.push(self.param(node.params.get(1), bias.shape())?);
        }
        let [rows, columns] = geometry.padding;
        let attributes = vec![
            integers("kernel_shape", &shape[2..]),
            integers("strides", &geometry.stride),
            integers("pads", &[rows[0], columns[0], rows[1], columns[1]]),
            integers("dilations", &geometry.dilation),
            integer("group", geometry.groups as i64),
        ];
        let name = self.write("Conv", inputs, attributes);
        Ok(self.bounded(name, *bounds))
    }

    /// A graph that no plan has rewritten has no bounds but those of a ReLU.
    fn bounded(&mut self, name: String, bounds: Bounds) -> String {
        if bounds == Bounds::POSITIVE { self.write("Relu", [name], Vec::new()) } else { name }
    }

    pub(super) fn batch_norm(
        &mut self,
        node: &Node,
        norm: &BatchNorm,
        x: &Value,
    ) -> Result<String> {
        let mut inputs = vec![x.name.clone()];
        let values = [&norm.weight, &norm.bias, &norm.mean, &norm.variance];
        for (i, value) in values.into_iter().enumerate() {
            inputs.push(self.param(node.params.get(i), value.shape())?);
        }
        Ok(self.write("BatchNormalization", inputs, vec![float("epsilon", norm.eps)]))
    }

    /// A norm of the last axis.
    pub(super) fn row_norm(&mut self, node: &Node, norm: RowNorm, x: &Value) -> Result<String> {
        let weight = self.input(node, 1)?.name;
        if norm.kind == NormKind::Layer {
            let bias = self.input(node, 2)?.name;
            let attributes = vec![integer("axis", -1), float("epsilon", norm.eps)];
            return Ok(self.write(
                "LayerNormalization",
                [x.name.clone(), weight, bias],
                attributes,
            ));
        }
        let squares = self.write("Mul", [&x.name, &x.name], Vec::new());
        let mean = vec![size_of("axes", -1), integer("keepdims", 1)];
        let mean = self.write("ReduceMean", [squares], mean);
        let epsilon = self.number("epsilon", norm.eps)?;
        let shifted = self.write("Add", [mean, epsilon], Vec::new());
        let root = self.write("Sqrt", [shifted], Vec::new());
        let scaled = self.write("Div", [x.name.clone(), root], Vec::new());
        Ok(self.write("Mul", [scaled, weight], Vec::new()))
    }

    /// Rows of a table.
    pub(super) fn look_up(&mut self, rows: Rows, table: String, x: &Value) -> Result<String> {
        let ids = match rows {
            Rows::Ids => x.name.clone(),
            Rows::One { row } => {
                // Of a row that hangs on nothing readers would make a constant, and the table would be gone.
                let sizes = self.write("Shape", [x.name.clone()], Vec::new());
                let one = self.part(&sizes, 0, 1, 0)?;
                let none = self.list("none", &[0])?;
                let zero = self.write("Mul", [one, none], Vec::new());
                let row = self.list("row", &[row as i64])?;
                self.write("Add", [zero, row], Vec::new())
            }
            Rows::Positions { offset } => {
                let length = self.length(&x.name, x.rank() - 2)?;
                let first = self.integer("first", offset as i64)?;
                let one = self.integer("one", 1)?;
                let end = self.write("Add", [&length, &first], Vec::new());
                self.write("Range", [first, end, one], Vec::new())
            }
        };
        Ok(self.write("Gather", [table, ids], vec![integer("axis", 0)]))
    }
}
