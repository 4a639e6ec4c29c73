//! All that the golden values need of the library's interface, so that a change of the interface is a
//! change of this file.

use super::values::exact;
use std::collections::BTreeMap;
use std::path::Path;
use tinytorch::autograd::{Ctx, Feed, Var};
use tinytorch::compress::{Masks, Scope, magnitude_prune, structured_prune};
use tinytorch::data::{Batch, DataLoader, TensorDataset};
use tinytorch::files::{
    Provenance, TensorFile, digest_params, load_model, save_model, save_params,
};
use tinytorch::fit::factorize;
use tinytorch::fit::lora::{self as adapters, AdapterConfig};
use tinytorch::generate::{CacheKind, Generator, Limits, Sampler, Sampling};
use tinytorch::models::{Bert, Sample};
use tinytorch::nn::Module;
use tinytorch::optim::{Adam, AdamW, Optimizer, Schedule, Sgd};
use tinytorch::plan::Plan;
use tinytorch::quant::{QuantConfig, QuantRecord, QuantReport};
use tinytorch::train::{Clip, Trainer};
use tinytorch::{Result, Rng, Tensor};

pub(crate) use tinytorch::files::{Embedder, import_folder, import_model};
pub(crate) use tinytorch::models::{
    Architecture, BertConfig, CnnBlock, GptConfig, HybridConfig, ImageText, ImageTextConfig,
    LlamaConfig, Model, Pooling, ResnetConfig, SentenceEncoder,
};
pub(crate) use tinytorch::nn::{Forward, Init};
pub(crate) use tinytorch::ops::{Rope, RopePairs};

/// A model of any architecture.
pub(crate) type AnyModel = Box<dyn Model>;

/// What models are fed here: a tensor or two.
pub(crate) trait Input: Feed<Input: Clone> + Clone + 'static {
    /// As a data set, with what a model should answer.
    fn dataset(&self, labels: &Tensor) -> TensorDataset;

    /// A batch of that data set.
    fn of(batch: &Batch) -> Self::Input;
}

impl Input for Tensor {
    fn dataset(&self, labels: &Tensor) -> TensorDataset {
        TensorDataset::new([self.clone(), labels.clone()]).unwrap()
    }

    fn of(batch: &Batch) -> Var {
        batch.inputs().into()
    }
}

impl Input for (Tensor, Tensor) {
    fn dataset(&self, labels: &Tensor) -> TensorDataset {
        TensorDataset::new([self.0.clone(), self.1.clone(), labels.clone()]).unwrap()
    }

    fn of(batch: &Batch) -> (Var, Var) {
        ((&batch.tensors[0]).into(), (&batch.tensors[1]).into())
    }
}

/// A model that a file can hold.
pub(crate) trait Kept: Module + Clone {
    fn save(&self, path: &Path, provenance: &Provenance);
}

impl Kept for AnyModel {
    fn save(&self, path: &Path, provenance: &Provenance) {
        save_model(path, &**self, provenance).unwrap();
    }
}

impl Kept for SentenceEncoder {
    fn save(&self, path: &Path, _: &Provenance) {
        save_params(path, self, &BTreeMap::new()).unwrap();
    }
}

impl Kept for ImageText {
    fn save(&self, path: &Path, _: &Provenance) {
        save_params(path, self, &BTreeMap::new()).unwrap();
    }
}

/// The model, its weights drawn.
pub(crate) fn build(architecture: &Architecture, seed: u64) -> AnyModel {
    architecture.build(&mut Init::seed(seed)).unwrap()
}

/// An encoder of sentences, its weights drawn.
pub(crate) fn sentence_encoder(config: &BertConfig, seed: u64) -> SentenceEncoder {
    let bert = Bert::new(config, &mut Init::seed(seed)).unwrap();
    SentenceEncoder { bert, pooling: Pooling::Mean, normalize: true }
}

/// The architecture of a reference model.
pub(crate) fn preset(name: &str) -> Architecture {
    Architecture::preset(name).unwrap()
}

/// Random images from 0 to 1, or ids of which the last ones of every other row are padding where the model
/// knows padding.
pub(crate) fn random_inputs(
    architecture: &Architecture,
    batch: usize,
    length: usize,
    seed: u64,
) -> Tensor {
    let mut rng = Rng::seed(seed);
    match architecture.sample().unwrap() {
        Sample::Values(shape) => {
            let dims: Vec<usize> = [batch].into_iter().chain(shape.to_vec()).collect();
            Tensor::rand(&dims[..], 0.0, 1.0, &mut rng).unwrap()
        }
        Sample::Ids { vocab, pad, .. } => {
            let mut ids: Vec<i64> =
                (0..batch * length).map(|_| 1 + rng.below(vocab - 1) as i64).collect();
            if let Some(pad) = pad {
                for row in ids.chunks_mut(length).step_by(2) {
                    row[length - length / 3..].fill(pad as i64);
                }
            }
            Tensor::from_vec(ids, [batch, length]).unwrap()
        }
        _ => panic!("a sample of another kind"),
    }
}

/// Random class numbers for outputs `[.., classes]`.
pub(crate) fn random_labels(outputs: &Tensor, seed: u64) -> Tensor {
    let mut dims = outputs.shape().to_vec();
    let classes = dims.pop().unwrap();
    let mut rng = Rng::seed(seed);
    let labels = (0..dims.iter().product()).map(|_| rng.below(classes) as i64).collect();
    Tensor::from_vec(labels, &dims[..]).unwrap()
}

/// The output, op by op.
pub(crate) fn eager<M, F>(model: &M, input: &F) -> Tensor
where
    M: Forward<F::Input, Output = Var>,
    F: Input,
{
    let mut ctx = Ctx::eval();
    let input = input.enter(&mut ctx);
    model.forward(&input, &mut ctx).unwrap().into_value()
}

/// A model compiled, having run on every one of the inputs: their outputs, and a line for each step with
/// its weight or name, what it does, its kernel, and what it writes.
pub(crate) fn deployed<M, F>(model: &M, inputs: &[F]) -> (Vec<Tensor>, Vec<String>)
where
    M: Forward<F::Input, Output = Var>,
    F: Input,
{
    let mut plan = Plan::compile(model, &inputs[0]).unwrap();
    let outputs = inputs.iter().map(|input| plan.run(input).unwrap()).collect();
    let steps = plan.steps().into_iter().map(|step| {
        let kernel = step.kernel.map_or("-", |kernel| kernel.name);
        let (shape, dtype) = (step.output.shape.to_vec(), step.output.dtype);
        format!("{} | {} | {kernel} | {dtype} {shape:?}", step.name, step.op)
    });
    (outputs, steps.collect())
}

/// The gradient of every parameter that has one, for one batch, and the loss.
pub(crate) fn gradients<M, F>(model: &M, input: &F, labels: &Tensor) -> Vec<(String, Tensor)>
where
    M: Forward<F::Input, Output = Var>,
    F: Input,
{
    let mut ctx = Ctx::train(Rng::seed(4));
    let input = input.enter(&mut ctx);
    let output = model.forward(&input, &mut ctx).unwrap();
    let loss = output.cross_entropy(labels, &mut ctx).unwrap();
    let grads = ctx.backward(&loss).unwrap();
    let mut named = vec![("loss".to_string(), loss.into_value())];
    for (name, param) in model.named_params() {
        named.extend(grads.of(param).map(|grad| (name, grad.clone())));
    }
    named
}

/// How a short training steps.
#[derive(Clone)]
pub(crate) enum Steps {
    Adam,
    AdamWClipped,
    SgdOnSchedule,
    Masked(Masks),
}

/// One pass over the data in batches of `batch`.
pub(crate) fn train<M, F>(model: &mut M, input: &F, labels: &Tensor, batch: usize, steps: Steps)
where
    M: Forward<F::Input, Output = Var>,
    F: Input,
{
    let objective = |model: &M, batch: &Batch, ctx: &mut Ctx<'_>| -> Result<Var> {
        let labels = &batch.tensors[batch.tensors.len() - 1];
        model.forward(&F::of(batch), ctx)?.cross_entropy(labels, ctx)
    };
    let loader = DataLoader::new(input.dataset(labels), batch).unwrap().shuffle(true).seed(3);
    fn stepping<O>(objective: O, optimizer: impl Optimizer + 'static) -> Trainer<O> {
        Trainer::new(objective, optimizer).seed(5)
    }
    let mut trainer = match steps {
        Steps::Adam => stepping(objective, Adam::new(2e-3)),
        Steps::AdamWClipped => stepping(objective, AdamW::new(2e-3)).clip(Clip::Norm(0.5)),
        Steps::SgdOnSchedule => {
            let schedule = Schedule::Cosine { warmup: 1, total: 8, floor: 0.1 };
            stepping(objective, Sgd::new(0.05).momentum(0.9)).schedule(schedule).accumulate(2)
        }
        Steps::Masked(masks) => stepping(objective, masks.keep(Adam::new(2e-3))),
    };
    trainer.fit(model, &loader, None, 1).unwrap();
}

/// The float values of all parameters that have some, and those that the int8 ones stand for.
pub(crate) fn weights(model: &dyn Module) -> Vec<(String, Tensor)> {
    let values = model.named_params().into_iter().map(|(name, param)| {
        let value = match param.int8() {
            Some(int8) => int8.dequantize().unwrap(),
            None => param.value().unwrap().clone(),
        };
        (name, value)
    });
    values.collect()
}

/// The library's own digest of all parameters as they are stored.
pub(crate) fn stored(model: &dyn Module) -> String {
    digest_params(model).unwrap()
}

/// The bytes of a model's file, and of each tensor in it after its name, type and shape.
pub(crate) struct Saved {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tensors: Vec<(String, Vec<u8>)>,
}

/// Saves a model, an int8 one with how it was made.
pub(crate) fn saved<M: Kept>(model: &M, made: Option<(&QuantConfig, &QuantReport)>) -> Saved {
    let mut provenance = Provenance::default();
    if let Some((config, report)) = made {
        QuantRecord::new(config, report).write(&mut provenance).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path, &provenance);
    let file = TensorFile::open(&path).unwrap();
    let tensors = file.tensors().map(|(name, info)| {
        let what = format!("{name} {} {:?}", info.dtype, info.shape.to_vec());
        (what, file.bytes(name).unwrap().to_vec())
    });
    let tensors = tensors.collect();
    Saved { bytes: std::fs::read(&path).unwrap(), tensors }
}

/// A model that was saved and loaded.
pub(crate) fn reloaded(model: &AnyModel) -> AnyModel {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_model(&path, &**model, &Provenance::default()).unwrap();
    load_model(&path).unwrap().model
}

/// The bytes of a checkpoint after a training with Adam.
pub(crate) fn checkpoint(model: &mut AnyModel, input: &Tensor, labels: &Tensor) -> Vec<u8> {
    let objective = tinytorch::train::Classification;
    let loader = DataLoader::new(input.dataset(labels), 16).unwrap().shuffle(true).seed(3);
    let mut trainer = Trainer::new(objective, Adam::new(2e-3)).seed(5);
    trainer.fit(model, &loader, None, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    trainer.save_model(&path, &**model, &Provenance::default()).unwrap();
    std::fs::read(path).unwrap()
}

/// With adapters of rank 2 beside every linear layer.
pub(crate) fn adapted(model: &AnyModel) -> AnyModel {
    let mut adapted = model.clone();
    let config = AdapterConfig { rank: 2, alpha: 4.0 };
    adapters::attach(&mut *adapted, "*", config, &mut Init::seed(6)).unwrap();
    adapted
}

/// Without them, what they had learned added to the float weights.
pub(crate) fn merged(mut model: AnyModel) -> AnyModel {
    adapters::merge(&mut *model).unwrap();
    model
}

/// Linear layers in two factors of rank 4, and the error of each.
pub(crate) fn factored(model: &AnyModel) -> (AnyModel, Vec<String>) {
    let mut factored = model.clone();
    let report = factorize(&mut *factored, "*", 4).unwrap();
    let lines = report.factored.iter().map(|(name, error)| format!("{name} {}", exact(*error)));
    let kept = report.kept.iter().map(|name| format!("kept {name}"));
    (factored, lines.chain(kept).collect())
}

/// Half of the weights pruned, over all layers or in each.
pub(crate) fn pruned(model: &AnyModel, over_all: bool) -> (AnyModel, Masks) {
    let mut pruned = model.clone();
    let scope = if over_all { Scope::Global } else { Scope::Layer };
    let masks = magnitude_prune(&mut *pruned, 0.5, scope).unwrap();
    (pruned, masks)
}

/// A quarter of the channels and neurons removed, or nothing if the model has branches.
pub(crate) fn narrowed(model: &AnyModel) -> Option<AnyModel> {
    let mut narrowed = model.clone();
    structured_prune(&mut narrowed, 0.25).ok()?;
    Some(narrowed)
}

/// One pass of learning from `teacher`.
pub(crate) fn distill(student: &mut AnyModel, teacher: &AnyModel, input: &Tensor, labels: &Tensor) {
    let objective =
        tinytorch::compress::KnowledgeDistillation::new(teacher.clone(), 3.0, 0.7).unwrap();
    let loader = DataLoader::new(input.dataset(labels), 16).unwrap();
    Trainer::new(objective, Adam::new(2e-3)).fit(student, &loader, None, 1).unwrap();
}

/// How earlier positions are remembered.
pub(crate) const CACHES: [(&str, Option<CacheKind>); 3] =
    [("none", None), ("f32", Some(CacheKind::F32)), ("int8", Some(CacheKind::Int8))];

/// 20 tokens after a prompt, the likeliest or drawn.
pub(crate) fn generated(
    model: &AnyModel,
    prompt: &[i64],
    cache: Option<CacheKind>,
    is_drawn: bool,
) -> Vec<i64> {
    let sampling = Sampling { temperature: 0.9, top_k: Some(12), top_p: Some(0.95), seed: 8 };
    let sampler = if is_drawn { Sampler::new(sampling).unwrap() } else { Sampler::greedy() };
    let limits = Limits { steps: 20, ends: vec![], cache };
    let decoder = model.as_decoder().unwrap();
    Generator::new(decoder, prompt, sampler, limits).unwrap().collect::<Result<_>>().unwrap()
}

/// The scores of a sequence `[batch, length]` over a cache: a prompt of 5, then one at a time.
pub(crate) fn scores(model: &AnyModel, ids: &Tensor, cache: CacheKind) -> Tensor {
    let decoder = model.as_decoder().unwrap();
    let (batch, length) = (ids.shape()[0], ids.shape()[1]);
    let mut caches = cache.caches(decoder.sizes(), batch, length).unwrap();
    let mut ctx = Ctx::eval();
    let cuts: Vec<usize> = [0].into_iter().chain(5..=length).collect();
    let parts = cuts.windows(2).map(|cut| {
        let part = ids.slice(1, cut[0]..cut[1]).unwrap().contiguous().unwrap();
        decoder.forward_cached(&part.into(), &mut caches, &mut ctx).unwrap().into_value()
    });
    Tensor::cat::<f32>(&parts.collect::<Vec<_>>(), 1).unwrap()
}
