//! A struct that tinytorch does not know, from training to its verdict: a convolution, attention, a table
//! that is looked up and multiplied, and two outputs. It is trained, quantized, audited with every gate,
//! saved, loaded by name, fine-tuned in int8, and audited again.
//!
//! `cargo run --release --example own_model`

use std::sync::Arc;
use tinytorch::audit::{
    AuditOptions, Budget, Direction, HeldOut, Metric, ModelReport, Outcome, Probe, Subject, Task,
    audit_model, changed_params,
};
use tinytorch::data::{DataLoader, Examples, TensorDataset, digits};
use tinytorch::files::{Provenance, digest_params, load_with, save_model};
use tinytorch::models::{Kinds, Rebuild, Sample};
use tinytorch::nn::{AttentionConfig, Conv2d, Embedding, LayerNorm, Linear, MultiHeadAttention};
use tinytorch::optim::Adam;
use tinytorch::prelude::*;
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};
use tinytorch::tensor::Shape;
use tinytorch::train::Trainer;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Places of an image, each a token.
const PLACES: usize = 16;
const WIDTH: usize = 128;
const CLASSES: usize = 10;

/// Says which digit an image shows, and which of its 16 places has the most ink.
#[derive(Module, Clone)]
struct Reader {
    /// From 2 x 2 pixels to a token.
    stem: Conv2d,
    /// A vector for each place: added to its token, and what the second output is compared with.
    places: Embedding,
    attention: MultiHeadAttention,
    norm: LayerNorm,
    hidden: Linear,
    head: Linear,
}

impl Forward for Reader {
    type Output = (Var, Var);

    fn forward(&self, images: &Var, ctx: &mut Ctx<'_>) -> Result<(Var, Var)> {
        let tokens = self.stem.forward(images, ctx)?.flatten(2, 3, ctx)?.transpose(1, 2, ctx)?;
        let places = tokens.positions(&self.places.weight, 0, ctx)?;
        let tokens = tokens.add(&places, ctx)?;
        let seen = self.attention.forward(&tokens, ctx)?;
        let tokens = self.norm.forward(&tokens.add(&seen, ctx)?, ctx)?;
        let digit = self.hidden.forward(&tokens.flatten(1, 2, ctx)?, ctx)?.relu(ctx)?;
        let digit = self.head.forward(&digit, ctx)?;
        let most = self.places.scores(&tokens.mean_axis(1, false, ctx)?, ctx)?;
        Ok((digit, most))
    }
}

impl Rebuild for Reader {
    type Input = Var;
    type Config = ();
    const NAME: &'static str = "reader";

    fn config(&self) {}

    fn build(_: &(), init: &mut Init) -> Result<Reader> {
        Ok(Reader {
            stem: Conv2d::new(1, WIDTH, [2, 2], geometry(), init)?,
            places: Embedding::with_std(PLACES, WIDTH, 0.3, init)?,
            attention: MultiHeadAttention::new(AttentionConfig::new(WIDTH, 4), init)?,
            norm: LayerNorm::new(WIDTH, init)?,
            hidden: Linear::new(PLACES * WIDTH, 128, init)?,
            head: Linear::new(128, CLASSES, init)?,
        })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[1, 8, 8])?)])
    }

    fn output_names(&self) -> Vec<String> {
        vec!["digit".into(), "place".into()]
    }
}

fn geometry() -> tinytorch::graph::ConvGeometry {
    tinytorch::graph::ConvGeometry::default().with_stride(2)
}

/// The place of 2 x 2 pixels with the most ink, for each image.
fn most_ink(images: &Tensor) -> Result<Tensor> {
    let pixels = images.to_vec::<f32>()?;
    let place = |image: &[f32]| {
        let ink = |p: usize| {
            let at = p / 4 * 16 + p % 4 * 2;
            image[at] + image[at + 1] + image[at + 8] + image[at + 9]
        };
        (0..PLACES).rev().max_by(|&a, &b| ink(a).total_cmp(&ink(b))).unwrap_or_default() as i64
    };
    let places: Vec<i64> = pixels.chunks_exact(64).map(place).collect();
    Tensor::from_vec(places, [images.shape()[0]])
}

/// How many of both questions are answered, in percent.
struct BothAnswers;

impl Metric for BothAnswers {
    fn name(&self) -> &str {
        "answers"
    }

    fn unit(&self) -> &str {
        "%"
    }

    fn direction(&self) -> Direction {
        Direction::HigherIsBetter
    }

    fn score(&self, outputs: &[Tensor], targets: &[Tensor]) -> Result<f64> {
        let mut right = Vec::new();
        for (output, target) in outputs.iter().zip(targets) {
            let answers = output.argmax_last()?.to_vec::<i64>()?;
            right.extend(answers.iter().zip(target.to_vec::<i64>()?).map(|(a, b)| *a == b));
        }
        Ok(100.0 * right.iter().filter(|right| **right).count() as f64 / right.len() as f64)
    }
}

fn loss(model: &Reader, batch: &Batch, ctx: &mut Ctx<'_>) -> Result<Var> {
    let [images, digits, places] = &batch.tensors[..] else { panic!("three tensors a sample") };
    let (digit, place) = model.forward(&images.into(), ctx)?;
    digit.cross_entropy(digits, ctx)?.add(&place.cross_entropy(places, ctx)?, ctx)
}

fn train(model: &mut Reader, images: &Tensor, labels: &Tensor, lr: f64, epochs: u64) -> Result<()> {
    let samples = [images.clone(), labels.clone(), most_ink(images)?];
    let loader = DataLoader::new(TensorDataset::new(samples)?, 32)?.shuffle(true);
    Trainer::new(loss, Adam::new(lr)).fit(model, &loader, None, epochs)?;
    Ok(())
}

fn held_out(test: &Examples) -> Result<HeldOut> {
    let targets = [test.labels().clone(), most_ink(test.inputs())?];
    HeldOut::new([test.inputs().clone()], targets)
}

fn verdict(what: &str, subject: &Subject, probe: &Probe) -> Result<ModelReport> {
    let options =
        AuditOptions { probe: Some(probe.clone()), latency: true, ..AuditOptions::default() };
    let budget = Budget { max_error: 0.02, float_floor: Some(90.0) };
    let report = audit_model(subject, &budget, &options)?;
    println!("{what}: {}", report.verdict.word());
    for gate in &report.gates {
        println!("  {:15} {:8} {}", gate.id, gate.result.word(), gate.reason);
    }
    Ok(report)
}

fn main() -> Result<()> {
    let kinds = Kinds::built_in().with::<Reader>();
    let Some(probe) = Probe::serve(&kinds)? else { return Ok(()) };

    let data = digits()?;
    let (learned, test) = (&data.train, data.test.as_ref().expect("the digits have a test part"));
    let mut float = Reader::build(&(), &mut Init::seed(0))?;
    train(&mut float, learned.inputs(), learned.labels(), 2e-3, 25)?;

    // The table stays in floats: the second output is compared with it, and has nothing behind it that
    // evens errors out. What varies most from image to image, around the attention, gets its range anew.
    let config = QuantConfig::new(Scheme::from(Activations::Static))
        .with("places.*", Scheme::Float)
        .with("attention.*", Scheme::from(Activations::Dynamic))
        .knowingly();
    let mut int8 = float.clone();
    let calibration = Var::from(data.calibration(256, 0)?);
    let report = quantize_model(&mut int8, [Ok(calibration)], &config)?;
    let about = |int8: &Reader| -> Result<Subject> {
        let subject = Subject::new("reader", &float, int8, held_out(test)?)?;
        Ok(subject.quantized_by(&config, &report).task(Task::Own(Arc::new(BothAnswers))))
    };
    let first = verdict("quantized", &about(&int8)?, &probe)?;

    let folder = std::env::temp_dir().join(format!("own-model-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the system has a folder for temporary files");
    let path = folder.join("reader.int8.safetensors");
    save_model(&path, &int8, &Provenance::default())?;
    let loaded = load_with(&path, &kinds)?.model;
    std::fs::remove_dir_all(&folder).expect("the folder was made above");
    assert_eq!(digest_params(&*loaded)?, digest_params(&int8)?);
    println!("loaded by name, to the bit: {}", loaded.description()?);

    // Biases and norms go on learning over int8 weights that stay as they are.
    let mut tuned = int8.clone();
    train(&mut tuned, learned.inputs(), learned.labels(), 3e-4, 3)?;
    let names = changed_params(&int8, &tuned)?;
    println!("fine-tuned in int8: {} parameters", names.len());
    let second = verdict("fine-tuned", &about(&tuned)?.fine_tuned(names)?, &probe)?;
    assert!([first, second].iter().all(|report| report.verdict == Outcome::Pass));
    Ok(())
}
