//! Functions of each element.

use super::writer::{Value, Writer};
use std::any::Any;
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};
use tinytorch_core::Result;
use tinytorch_core::ops::functions::{
    Abs, Affine, Erf, Exp, Gelu, GeluTanh, Log, Neg, Sigmoid, Sqrt, Swish, Tanh,
};
use tinytorch_core::ops::{Clamp, Pointwise, Relu};

impl Writer<'_> {
    /// A function of each element, if the op is one that is known.
    pub(super) fn function(&mut self, op: &dyn Any, x: &Value) -> Result<Option<String>> {
        let x = &x.name;
        if let Some(unary) = unary(op) {
            return Ok(Some(self.write(unary, [x], Vec::new())));
        }
        if let Some(Pointwise { f: Affine { scale, shift }, .. }) = op.downcast_ref() {
            return self.affine(x, *scale, *shift).map(Some);
        }
        if let Some(Pointwise { f: Clamp { low, high }, .. }) = op.downcast_ref() {
            let inputs = [x.clone(), self.number("low", *low)?, self.number("high", *high)?];
            return Ok(Some(self.write("Clip", inputs, Vec::new())));
        }
        if let Some(Pointwise { f: Swish { beta }, .. }) = op.downcast_ref() {
            let steep = self.affine(x, *beta, 0.0)?;
            let gate = self.write("Sigmoid", [steep], Vec::new());
            return Ok(Some(self.write("Mul", [x.clone(), gate], Vec::new())));
        }
        if op.is::<Pointwise<Gelu>>() {
            let scaled = self.affine(x, FRAC_1_SQRT_2, 0.0)?;
            let erf = self.write("Erf", [scaled], Vec::new());
            return self.half_of(x, erf).map(Some);
        }
        if op.is::<Pointwise<GeluTanh>>() {
            let square = self.write("Mul", [x, x], Vec::new());
            let factor = self.affine(&square, 0.044_715, 1.0)?;
            let cubic = self.write("Mul", [x.clone(), factor], Vec::new());
            // sqrt(2 / pi).
            let scaled = self.affine(&cubic, FRAC_2_SQRT_PI / SQRT_2, 0.0)?;
            let tanh = self.write("Tanh", [scaled], Vec::new());
            return self.half_of(x, tanh).map(Some);
        }
        Ok(None)
    }

    /// `scale x + shift`.
    fn affine(&mut self, x: &str, scale: f32, shift: f32) -> Result<String> {
        let mut name = x.to_string();
        if scale != 1.0 {
            let scale = self.number("scale", scale)?;
            name = self.write("Mul", [name, scale], Vec::new());
        }
        if shift != 0.0 {
            let shift = self.number("shift", shift)?;
            name = self.write("Add", [name, shift], Vec::new());
        }
        Ok(name)
    }

    /// `x (1 + gate) / 2`.
    fn half_of(&mut self, x: &str, gate: String) -> Result<String> {
        let half = self.affine(&gate, 0.5, 0.5)?;
        Ok(self.write("Mul", [x.to_string(), half], Vec::new()))
    }
}

/// The operator of an op of one value without attributes.
fn unary(op: &dyn Any) -> Option<&'static str> {
    type Is = fn(&dyn Any) -> bool;
    let known: [(Is, &'static str); 9] = [
        (|op| op.is::<Relu>(), "Relu"),
        (|op| op.is::<Pointwise<Sigmoid>>(), "Sigmoid"),
        (|op| op.is::<Pointwise<Tanh>>(), "Tanh"),
        (|op| op.is::<Pointwise<Sqrt>>(), "Sqrt"),
        (|op| op.is::<Pointwise<Exp>>(), "Exp"),
        (|op| op.is::<Pointwise<Log>>(), "Log"),
        (|op| op.is::<Pointwise<Neg>>(), "Neg"),
        (|op| op.is::<Pointwise<Abs>>(), "Abs"),
        (|op| op.is::<Pointwise<Erf>>(), "Erf"),
    ];
    known.iter().find(|(is, _)| is(op)).map(|(_, name)| *name)
}
