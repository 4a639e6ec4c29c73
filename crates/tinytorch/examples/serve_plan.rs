//! Serving a plan: compiled once, it takes batches of any size and allocates nothing for a size that it has
//! met.
//!
//! `cargo run --release --example serve_plan`

use std::time::Instant;
use tinytorch::data::digits;
use tinytorch::models::Architecture;
use tinytorch::prelude::*;
use tinytorch::quant::{QuantConfig, quantize_model};

fn main() -> Result<()> {
    let data = digits()?;
    let mut model = Architecture::preset("digits-cnn")?.build(&mut Init::seed(0))?;
    let calibration = Var::from(data.calibration(256, 0)?);
    quantize_model(&mut model, [Ok(calibration)], &QuantConfig::default().knowingly())?;

    let images = data.train.inputs();
    let mut plan = Plan::compile(&*model, &images.slice(0, 0..1)?)?;
    drop(model);
    for batch in [1, 8, 32] {
        let images = images.slice(0, 0..batch)?.contiguous()?;
        let mut scores = vec![0.0; plan.output_shape(images.shape())?.len()];
        plan.run_into(images.as_slice::<f32>()?, images.shape(), &mut scores)?;
        let started = Instant::now();
        let passes = 200;
        for _ in 0..passes {
            plan.run_into(images.as_slice::<f32>()?, images.shape(), &mut scores)?;
        }
        let each = started.elapsed() / passes;
        println!("{batch:3} images: {each:?} a pass, {} bytes of arena", plan.arena_bytes());
    }
    Ok(())
}
