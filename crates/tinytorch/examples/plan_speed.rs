//! Times int8 plans against float plans of the same model, in interleaved pairs:
//! `cargo run --release -p tinytorch --example plan_speed [profile]`.

#[path = "../tests/plan_common/mod.rs"]
mod plan_common;

use plan_common::{cnn, mlp, quantize, randn, resnet18};
use std::time::{Duration, Instant};
use tinytorch::autograd::Var;
use tinytorch::int8::Granularity;
use tinytorch::nn::{Forward, Module};
use tinytorch::plan::Plan;
use tinytorch::quant::Activations;
use tinytorch::{Result, Tensor};

/// Time for one comparison.
const BUDGET: Duration = Duration::from_millis(800);

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn compare<M: Forward<Output = Var> + Module + Clone>(
    name: &str,
    model: &M,
    sample: &[usize],
    batches: &[usize],
) -> Result<()> {
    let mut int8_model = model.clone();
    quantize(&mut int8_model, sample, Activations::Static, Granularity::PerChannel);
    let mut dynamic_model = model.clone();
    quantize(&mut dynamic_model, sample, Activations::Dynamic, Granularity::PerChannel);
    for &n in batches {
        let x = randn(&[[n].as_slice(), sample].concat(), 5);
        let mut plans = [
            Plan::compile(model, &x)?,
            Plan::compile(&int8_model, &x)?,
            Plan::compile(&dynamic_model, &x)?,
        ];
        let mut out = vec![0f32; plans[0].output_shape(x.shape())?.len()];
        for plan in &mut plans {
            plan.run_into(x.as_slice::<f32>()?, x.shape(), &mut out)?;
        }
        let mut times = [const { Vec::new() }; 3];
        let started = Instant::now();
        while started.elapsed() < BUDGET {
            for (plan, times) in plans.iter_mut().zip(&mut times) {
                let one = Instant::now();
                plan.run_into(x.as_slice::<f32>()?, x.shape(), &mut out)?;
                times.push(one.elapsed());
            }
        }
        let [float, int8, dynamic] = times.each_mut().map(|times| median(times));
        println!(
            "{name:9} batch {n:2}, {} threads: f32 {float:7.1} us, int8 {int8:7.1} us ({:.2}x), \
             dynamic {dynamic:7.1} us ({:.2}x), arena {} / {} bytes",
            rayon::current_num_threads(),
            float / int8,
            float / dynamic,
            plans[0].arena_bytes(),
            plans[1].arena_bytes(),
        );
        if std::env::args().any(|arg| arg == "profile") {
            plans[..2].iter_mut().try_for_each(|plan| profile(plan, &x))?;
        }
    }
    Ok(())
}

fn profile(plan: &mut Plan, x: &Tensor) -> Result<()> {
    let runs = (0..200).map(|_| plan.profile(x)).collect::<Result<Vec<_>>>()?;
    for (i, row) in runs[0].iter().enumerate() {
        let mut times: Vec<Duration> = runs.iter().map(|run| run[i].time).collect();
        let (name, op, kernel) = (&row.name, row.op, row.kernel);
        println!("    {name:12} {op:16} {kernel:24} {:7.2} us", median(&mut times));
    }
    Ok(())
}

fn compare_all() -> Result<()> {
    compare("mlp", &mlp(&[784, 512, 256, 10]), &[784], &[1, 32])?;
    compare("cnn", &cnn(), &[1, 28, 28], &[1, 32])?;
    compare("resnet-18", &resnet18(), &[3, 224, 224], &[1])
}

fn main() -> Result<()> {
    for threads in [1, 2] {
        if let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
            pool.install(compare_all)?;
        }
    }
    println!("from outside the pool:");
    compare_all()
}
