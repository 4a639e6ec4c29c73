//! Images turned.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Cost, Exec, image_dims};
use crate::tensor::Shape;

/// Side of the squares that are turned at a time: one of 16 x 16 floats is 16 cache lines.
const TILE: usize = 16;

/// Floats pixel by pixel to channel by channel, for what reads no other order.
#[derive(Debug)]
pub(in crate::plan) struct ToNchw;

impl Action for ToNchw {
    fn name(&self) -> &'static str {
        "to_nchw"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn converts(&self) -> bool {
        true
    }

    fn run(&self, inputs: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        exec.ran(Exec::FLOAT);
        let [_, channels, height, width] = image_dims(self.name(), &inputs.views[0].shape)?;
        let pixels = height * width;
        let image_len = (channels * pixels).max(1);
        let images = inputs.views[0].f32()?.chunks_exact(image_len);
        for (out, image) in out.floats()?.chunks_exact_mut(image_len).zip(images) {
            for first_channel in (0..channels).step_by(TILE) {
                let tile = first_channel..channels.min(first_channel + TILE);
                for first_pixel in (0..pixels).step_by(TILE) {
                    let to = pixels.min(first_pixel + TILE);
                    for channel in tile.clone() {
                        let plane = &mut out[channel * pixels..][first_pixel..to];
                        let column = image[first_pixel * channels + channel..].iter();
                        for (to, from) in plane.iter_mut().zip(column.step_by(channels)) {
                            *to = *from;
                        }
                    }
                }
            }
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
