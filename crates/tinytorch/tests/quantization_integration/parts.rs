//! One figure, or a few, from each part of the library that comes before quantization.

use super::support::standardized_digits;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::DataLoader;
use tinytorch::generate::{CacheKind, Generator, Limits, Sampler};
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::models::Architecture;
use tinytorch::nn::{
    AttentionConfig, AvgPool2d, BatchNorm2d, Conv2d, Dropout, Embedding, Forward, Init, Linear,
    MaxPool2d, Module, MultiHeadAttention, Relu, Sequential, SinusoidalEncoding,
};
use tinytorch::optim::{Adam, AdamW, Optimizer, Schedule, Sgd};
use tinytorch::profile::profile_passes;
use tinytorch::text::{BpeTokenizer, CharTokenizer, Tokenizer};
use tinytorch::train::{Classification, Trainer};
use tinytorch::{Result, Rng, Tensor};

/// A part's number and name, and what it gave.
pub(crate) type Figure = (&'static str, Vec<f32>);

fn normal(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec::<f32>().unwrap()
}

fn values(tensors: &[&Tensor]) -> Vec<f32> {
    tensors.iter().flat_map(|tensor| floats(tensor)).collect()
}

fn params(model: &dyn Module) -> Vec<f32> {
    model.named_params().iter().flat_map(|(_, param)| floats(param.value().unwrap())).collect()
}

/// Runs every part.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    Ok(vec![
        ("01 tensor", tensor()?),
        ("02 activations", activations()?),
        ("03 layers", layers()?),
        ("04 losses", losses()?),
        ("05 autograd", autograd()?),
        ("06 optimizers", optimizers()?),
        ("07 training", training()?),
        ("08 data", data()?),
        ("09 spatial", spatial()?),
        ("10 tokenization", tokenization()?),
        ("11 embeddings", embeddings()?),
        ("12 attention", attention()?),
        ("13 transformers", transformers()?),
        ("14 profiling", profiling()?),
        ("15 memoization", memoization()?),
    ])
}

fn tensor() -> Result<Vec<f32>> {
    let (a, b) = (normal(&[2, 3, 4], 1), normal(&[4, 5], 2));
    let product = a.matmul(&b)?;
    let shifted = product.add(&normal(&[5], 3))?;
    Ok(values(&[&product, &shifted, &shifted.sum_axis(1, false)?, &a.transpose(0, 2)?]))
}

fn activations() -> Result<Vec<f32>> {
    let (x, ctx) = (Var::from(normal(&[4, 6], 4)), &mut Ctx::eval());
    let all = [
        x.relu(ctx)?,
        x.sigmoid(ctx)?,
        x.tanh(ctx)?,
        x.gelu(ctx)?,
        x.softmax(1, ctx)?,
        x.silu(ctx)?,
    ];
    Ok(all.iter().flat_map(|y| floats(y.value())).collect())
}

fn layers() -> Result<Vec<f32>> {
    let mut init = Init::seed(5);
    let net = Sequential::new()
        .push(Linear::new(6, 8, &mut init)?)
        .push(Relu)
        .push(Dropout::new(0.5)?)
        .push(Linear::new(8, 3, &mut init)?);
    let x = Var::from(normal(&[5, 6], 6));
    let dropped = net.forward(&x, &mut Ctx::train(Rng::seed(7)))?;
    Ok(values(&[net.forward(&x, &mut Ctx::eval())?.value(), dropped.value()]))
}

fn losses() -> Result<Vec<f32>> {
    let (x, ctx) = (Var::from(normal(&[4, 3], 8)), &mut Ctx::eval());
    let classes = Tensor::from_vec(vec![0i64, 2, 1, 1], [4])?;
    let shares = x.value().map(|v| f32::from(v > 0.0))?;
    let all = [
        x.mse_loss(&normal(&[4, 3], 9), ctx)?,
        x.cross_entropy(&classes, ctx)?,
        x.sigmoid(ctx)?.binary_cross_entropy(&shares, ctx)?,
        x.log_softmax(1, ctx)?,
    ];
    Ok(all.iter().flat_map(|y| floats(y.value())).collect())
}

fn autograd() -> Result<Vec<f32>> {
    let mut ctx = Ctx::eval().recording();
    let x = ctx.input(&normal(&[3, 4], 10));
    let y = x.mul(&x, &mut ctx)?.gelu(&mut ctx)?.mean(&mut ctx)?;
    let gradients = ctx.backward(&y)?;
    Ok(floats(gradients.of_input(&x).unwrap()))
}

fn optimizers() -> Result<Vec<f32>> {
    let mut all = Vec::new();
    let sgd: &mut dyn Optimizer = &mut Sgd::new(0.1).momentum(0.9).weight_decay(0.01);
    for optimizer in [sgd, &mut Adam::new(0.01), &mut AdamW::new(0.01)] {
        let mut layer = Linear::new(4, 2, &mut Init::seed(11))?;
        for seed in 0..3 {
            let mut ctx = Ctx::train(Rng::seed(seed));
            let y = layer.forward(&Var::from(normal(&[6, 4], seed)), &mut ctx)?;
            let loss = y.mul(&y, &mut ctx)?.mean(&mut ctx)?;
            let gradients = ctx.backward(&loss)?;
            optimizer.step(&mut layer, gradients)?;
        }
        all.extend(params(&layer));
    }
    Ok(all)
}

fn training() -> Result<Vec<f32>> {
    let loader = DataLoader::new(standardized_digits().train, 128)?.shuffle(true);
    let mut model = Architecture::preset("digits-mlp")?.build(&mut Init::seed(12))?;
    let schedule = Schedule::Cosine { warmup: 2, total: 12, floor: 0.0 };
    let mut trainer = Trainer::new(Classification, Adam::new(1e-3)).schedule(schedule);
    trainer.fit(&mut model, &loader, None, 1)?;
    Ok(params(&*model))
}

fn data() -> Result<Vec<f32>> {
    let loader =
        DataLoader::new(standardized_digits().train, 500)?.shuffle(true).seed(13).prefetch(1);
    let batches = loader.epoch(1).map(|batch| Ok(floats(batch?.inputs())));
    assert_eq!(loader.dataset().len(), 1197);
    Ok(batches.collect::<Result<Vec<_>>>()?.concat())
}

fn spatial() -> Result<Vec<f32>> {
    let mut init = Init::seed(14);
    let geometry = ConvGeometry::default().with_stride(2).with_padding(1).with_groups(2);
    let net = Sequential::new()
        .push(Conv2d::new(4, 6, [3, 3], geometry, &mut init)?)
        .push(BatchNorm2d::new(6, &mut init)?)
        .push(MaxPool2d::new(PoolGeometry::square(2)))
        .push(AvgPool2d::new(PoolGeometry::square(2)));
    let x = Var::from(normal(&[2, 4, 16, 16], 15));
    let trained = net.forward(&x, &mut Ctx::train(Rng::seed(16)))?;
    Ok(values(&[trained.value(), net.forward(&x, &mut Ctx::eval())?.value()]))
}

fn tokenization() -> Result<Vec<f32>> {
    let corpus = "the cat sat on the mat, the bat sat on the cat; naïve 猫";
    let mut ids = Vec::new();
    let bpe = BpeTokenizer::train(corpus, 280)?;
    let characters = CharTokenizer::from_corpus(corpus)?;
    for tokenizer in [&bpe as &dyn Tokenizer, &characters] {
        let own = tokenizer.encode(corpus)?;
        assert_eq!(tokenizer.decode(&own)?, corpus);
        ids.extend(own);
    }
    Ok(ids.into_iter().map(|id| id as f32).collect())
}

fn embeddings() -> Result<Vec<f32>> {
    let ids = Var::from(Tensor::from_vec(vec![3i64, 0, 9, 3], [1, 4])?);
    let tokens = Embedding::new(10, 8, &mut Init::seed(17))?.forward(&ids, &mut Ctx::eval())?;
    let placed = SinusoidalEncoding::new(16, 8)?.forward(&tokens, &mut Ctx::eval())?;
    Ok(values(&[tokens.value(), placed.value()]))
}

fn attention() -> Result<Vec<f32>> {
    let config = AttentionConfig { causal: true, num_kv_heads: 2, ..AttentionConfig::new(16, 4) };
    let layer = MultiHeadAttention::new(config, &mut Init::seed(18))?;
    let y = layer.forward(&Var::from(normal(&[2, 5, 16], 19)), &mut Ctx::eval())?;
    Ok(floats(y.value()))
}

fn transformers() -> Result<Vec<f32>> {
    let mut all = Vec::new();
    for preset in ["talks-gpt", "stories260K"] {
        let model = Architecture::preset(preset)?.build(&mut Init::seed(20))?;
        let ids = Var::from(Tensor::from_vec(vec![1i64, 5, 9, 2], [2, 2])?);
        all.extend(floats(model.forward(&ids, &mut Ctx::eval())?.value()));
    }
    Ok(all)
}

fn profiling() -> Result<Vec<f32>> {
    let architecture = Architecture::preset("digits-cnn")?;
    let model = architecture.build(&mut Init::seed(21))?;
    let profile = profile_passes(&*model, &architecture.example(2)?, 1)?;
    let counts =
        [profile.flops, profile.read_bytes, profile.written_bytes, profile.parameters.bytes];
    Ok(counts.into_iter().map(|count| count as f32).collect())
}

/// The tokens of a text, the same with and without a cache, behind those of its prompt.
fn memoization() -> Result<Vec<f32>> {
    let model = Architecture::preset("talks-gpt")?.build(&mut Init::seed(22))?;
    let decoder = model.as_decoder().unwrap();
    let text = |cache| {
        let limits = Limits { steps: 12, ends: vec![], cache };
        Generator::new(decoder, &[1, 2, 3], Sampler::greedy(), limits)?
            .collect::<Result<Vec<i64>>>()
    };
    let (cached, uncached) = (text(Some(CacheKind::F32))?, text(None)?);
    assert_eq!(cached, uncached);
    Ok([1, 2, 3].into_iter().chain(cached).map(|id| id as f32).collect())
}
