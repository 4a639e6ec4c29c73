//! Fine-tuning in int8: a model whose floats are gone learns new data through adapters of low rank (LoRA)
//! beside its int8 weights, and is audited as what it has become.
//!
//! `cargo run --release --example fine_tune_int8`

use tinytorch::audit::{
    AuditOptions, Budget, Outcome, Probe, Subject, audit_model, changed_params,
};
use tinytorch::data::{DataLoader, Examples, digits};
use tinytorch::fit::lora::{self, AdapterConfig};
use tinytorch::models::{Architecture, Kinds, MlpConfig, Model};
use tinytorch::optim::Adam;
use tinytorch::prelude::*;
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::train::{Classification, Trainer, trainable_summary};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// The same digits on grey paper in faint ink, such as another scanner sees them.
fn faint(examples: &Examples) -> Result<Examples> {
    let pixels = examples.inputs().to_vec::<f32>()?.into_iter().map(|v| 0.6 + 0.3 * v).collect();
    Examples::new(Tensor::from_vec(pixels, *examples.inputs().shape())?, examples.labels().clone())
}

fn train(model: &mut Box<dyn Model>, examples: &Examples, epochs: u64) -> Result<()> {
    let loader = DataLoader::new(examples.clone(), 64)?.shuffle(true);
    Trainer::new(Classification, Adam::new(2e-3)).fit(model, &loader, None, epochs)?;
    Ok(())
}

/// The share of samples whose class is found, in percent.
fn accuracy(model: &dyn Model, examples: &Examples) -> Result<f64> {
    let scores = model.forward(&examples.inputs().into(), &mut Ctx::eval())?;
    let found = scores.value().argmax_last()?.to_vec::<i64>()?;
    let labels = examples.labels().to_vec::<i64>()?;
    let right = found.iter().zip(&labels).filter(|(a, b)| a == b).count();
    Ok(100.0 * right as f64 / labels.len() as f64)
}

fn main() -> Result<()> {
    let Some(probe) = Probe::serve(&Kinds::built_in())? else { return Ok(()) };

    let data = digits()?;
    let test = data.test.as_ref().expect("the digits have a test part");
    let mlp = MlpConfig { inputs: 64, hidden: vec![512, 512], outputs: 10 };
    let mut float = Architecture::Mlp(mlp).build(&mut Init::seed(0))?;
    train(&mut float, &data.train, 12)?;

    // Ranges found as activations arrive fit whatever data comes later.
    let mut int8 = float.clone();
    let config = QuantConfig::new(tinytorch::quant::Activations::Dynamic).knowingly();
    let report = quantize_model(&mut *int8, std::iter::empty::<Result<Var>>(), &config)?;

    let (new, new_test) = (faint(&data.train)?, faint(test)?);
    println!("int8 on the data that it knows: {:.1} %", accuracy(&*int8, test)?);
    println!("on new data: {:.1} %", accuracy(&*int8, &new_test)?);

    let mut tuned = int8.clone();
    let rank = AdapterConfig { rank: 8, alpha: 16.0 };
    lora::attach(&mut *tuned, "*", rank, &mut Init::seed(1))?;
    println!("trained are {} numbers beside the int8 weights", trainable_summary(&*tuned).values);
    train(&mut tuned, &new, 20)?;
    println!("after fine-tuning: {:.1} %", accuracy(&*tuned, &new_test)?);

    // Adapters, biases: all that may differ from the float model. The rest is held against it.
    let names = changed_params(&*int8, &*tuned)?;
    let subject = Subject::new("tuned", &*float, &*tuned, new_test)?
        .quantized_by(&config, &report)
        .fine_tuned(names)?;
    let budget = Budget { max_error: 0.02, float_floor: Some(95.0) };
    let options = AuditOptions { probe: Some(probe), ..AuditOptions::default() };
    let report = audit_model(&subject, &budget, &options)?;
    for gate in &report.gates {
        println!("{:15} {:8} {}", gate.id, gate.result.word(), gate.reason);
    }
    assert_eq!(report.verdict, Outcome::Pass);
    Ok(())
}
