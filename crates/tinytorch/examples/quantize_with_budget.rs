//! Quantizing with a budget: the fastest int8 model whose outputs move by no more than is stated, and the
//! audit of it.
//!
//! `cargo run --release --example quantize_with_budget`

use tinytorch::audit::{AuditOptions, Budget, Outcome, Probe, Subject, audit_model};
use tinytorch::data::{DataLoader, digits};
use tinytorch::models::{Architecture, Kinds};
use tinytorch::optim::Adam;
use tinytorch::prelude::*;
use tinytorch::quant::{Prices, QuantConfig, Search, quantize_within};
use tinytorch::train::{Classification, Trainer};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// With every layer on the fastest rung the outputs of this model move by 0.5 %.
const MAX_ERROR: f64 = 0.004;

/// The images of a tensor in batches.
fn batches(images: &Tensor) -> Result<Vec<Var>> {
    let starts = (0..images.shape()[0]).step_by(64);
    starts.map(|start| Ok(Var::from(images.slice(0, start..start + 64)?))).collect()
}

fn main() -> Result<()> {
    let Some(probe) = Probe::serve(&Kinds::built_in())? else { return Ok(()) };

    let data = digits()?;
    let mut float = Architecture::preset("digits-cnn")?.build(&mut Init::seed(0))?;
    let loader = DataLoader::new(data.train.clone(), 64)?.shuffle(true);
    Trainer::new(Classification, Adam::new(2e-3)).fit(&mut float, &loader, None, 12)?;

    // Some samples find the ranges, others judge what is tried. Neither are those of the audit.
    let images = data.calibration(512, 0)?;
    let (calibration, judging) = (images.slice(0, 0..384)?, images.slice(0, 384..512)?);
    let mut int8 = float.clone();
    let search = Search {
        calibration: &batches(&calibration)?,
        held_out: &batches(&judging)?,
        max_error: MAX_ERROR,
        config: &QuantConfig::default().knowingly(),
        // What a layer takes on each rung is measured on this machine.
        prices: &mut Prices::measured(Isa::active()),
        has_classes: true,
    };
    let ladder = quantize_within(&mut *int8, search, &mut |_, _| ())?;
    for trial in &ladder.tried {
        let raised = trial.raised.len();
        println!("tried {raised} layers on higher rungs: {:.2} % error", 100.0 * trial.error);
    }
    for layer in &ladder.prices {
        let times = layer.times.iter().map(|(rung, t)| format!("{rung} {:.1} us", 1e6 * t));
        println!("{}: {}", layer.weight, times.collect::<Vec<_>>().join(", "));
    }
    for (weight, rung) in &ladder.raised {
        println!("{weight} is now {rung}");
    }
    println!("within the budget: {}, {:.2} % error", ladder.is_within, 100.0 * ladder.error);

    let held_out = data.test.expect("the digits have a test part");
    let subject = Subject::new("digits-cnn", &*float, &*int8, held_out)?
        .quantized_by(&ladder.config, &ladder.report);
    let budget = Budget { max_error: MAX_ERROR, float_floor: Some(98.0) };
    let options = AuditOptions { probe: Some(probe), ..AuditOptions::default() };
    let report = audit_model(&subject, &budget, &options)?;
    for gate in &report.gates {
        println!("{:15} {:8} {}", gate.id, gate.result.word(), gate.reason);
    }
    assert_eq!(report.verdict, Outcome::Pass);
    Ok(())
}
