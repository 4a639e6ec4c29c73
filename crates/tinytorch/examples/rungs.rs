//! How much longer a layer takes on each rung of the ladder than on the first: what `quantize_within`
//! measures as it goes, of shapes that are usual.
//!
//! `cargo run --release -p tinytorch --example rungs`

use tinytorch::autograd::Var;
use tinytorch::graph::ConvGeometry;
use tinytorch::nn::{Conv2d, Forward, Init, Linear};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, RUNGS, Scheme, quantize_model};
use tinytorch::stats::{Benchmark, Settings};
use tinytorch::{Result, Rng, Tensor};

fn main() -> Result<()> {
    let (mut init, mut rng) = (Init::seed(1), Rng::seed(2));
    for [m, k, n] in [[128, 384, 1536], [32, 512, 256], [1, 768, 768]] {
        let input = Tensor::randn([m, k], 1.0, &mut rng)?;
        println!("linear, {m} x {k} x {n}");
        compare(&Linear::new(k, n, &mut init)?, &input, &RUNGS)?;
    }
    let geometry = ConvGeometry::default().with_padding(1);
    for [channels, size] in [[64, 56], [256, 14]] {
        let input = Tensor::randn([1, channels, size, size], 1.0, &mut rng)?;
        let layer = Conv2d::new(channels, channels, [3, 3], geometry, &mut init)?;
        println!("conv2d, 3 x 3, {channels} channels, {size} x {size}");
        // No convolution takes 16-bit activations.
        let rungs = RUNGS.into_iter().filter(|rung| rung.activations() != Activations::Dynamic16);
        compare(&layer, &input, &rungs.collect::<Vec<_>>())?;
    }
    Ok(())
}

fn compare(
    layer: &(impl Forward<Output = Var> + Clone),
    input: &Tensor,
    rungs: &[Scheme],
) -> Result<()> {
    let mut bench = Benchmark::new(Settings::default());
    for rung in rungs {
        let mut plan = deployed(layer, input, *rung)?;
        bench = bench.add(rung.to_string(), move || plan.run(input).map(drop));
    }
    println!("{}", bench.run()?);
    Ok(())
}

fn deployed(
    layer: &(impl Forward<Output = Var> + Clone),
    input: &Tensor,
    rung: Scheme,
) -> Result<Plan> {
    let mut layer = layer.clone();
    if !rung.is_float() {
        let config = QuantConfig::new(rung).knowingly();
        quantize_model(&mut layer, [Ok(Var::from(input))], &config)?;
    }
    Plan::compile(&layer, input)
}
