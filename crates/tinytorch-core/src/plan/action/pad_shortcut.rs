use super::{Action, Inputs, Target};
use crate::Result;
use crate::graph::{Compute, Cost, Exec, ShortcutGeometry};
use crate::ops;
use crate::tensor::Shape;
use tinytorch_kernels::int8::Layout;

/// Every so many pixels of an image, between zero channels.
#[derive(Debug)]
pub(in crate::plan) struct PadShortcut {
    pub(in crate::plan) geometry: ShortcutGeometry,
    /// The order of the image, in and out.
    pub(in crate::plan) layout: Layout,
}

impl PadShortcut {
    /// Pixel by pixel: the channels of a pixel are copied together.
    fn pixels(&self, shape: &Shape, x: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        let ShortcutGeometry { stride, channels } = self.geometry;
        let (own, height, width) = (shape[1], shape[2], shape[3]);
        let before = self.geometry.zeros_before(own);
        let rows = (0..shape[0]).flat_map(|i| (0..height).step_by(stride).map(move |y| (i, y)));
        let pixels = rows.flat_map(|(i, y)| {
            (0..width).step_by(stride).map(move |x| ((i * height + y) * width + x) * own)
        });
        for (out, from) in out.chunks_exact_mut(channels.max(1)).zip(pixels) {
            out[before..before + own].copy_from_slice(&x[from..from + own]);
        }
    }
}

impl Action for PadShortcut {
    fn name(&self) -> &'static str {
        "pad_shortcut"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        self.geometry.output(self.name(), &inputs[0])
    }

    fn run(&self, inputs: &Inputs<'_>, out: Target<'_>, exec: &mut Exec) -> Result<()> {
        exec.ran(Exec::FLOAT);
        let (view, out) = (&inputs.views[0], out.floats()?);
        match self.layout {
            Layout::Nchw => return ops::PadShortcut(self.geometry).run(&[*view], out, exec),
            Layout::Nhwc => self.pixels(&view.shape, view.f32()?, out),
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 0)
    }

    fn shares_work(&self, _: &Cost) -> bool {
        false
    }
}
