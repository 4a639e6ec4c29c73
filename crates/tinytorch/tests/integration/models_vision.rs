//! The hybrid of convolutions and a transformer, and the model of two inputs: they learn, become int8,
//! compile, and go through files.

use std::collections::BTreeMap;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{DataLoader, digits};
use tinytorch::files::{Provenance, TensorFile, load_into, load_model, save_model, save_params};
use tinytorch::models::{
    Architecture, CnnBlock, Hybrid, HybridConfig, ImageText, ImageTextConfig, Model, Resnet,
    ResnetConfig,
};
use tinytorch::nn::{Forward, Init};
use tinytorch::optim::{Adam, Optimizer};
use tinytorch::plan::{Plan, PlanError};
use tinytorch::profile::profile_passes;
use tinytorch::quant::{QuantConfig, compare_model_sizes, quantize_model};
use tinytorch::train::{Classification, Trainer};
use tinytorch::{Error, Rng, Tensor};

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn top_1(logits: &Tensor) -> Vec<usize> {
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.to_vec::<f32>().unwrap().chunks(logits.shape()[1]).map(best).collect()
}

fn config() -> QuantConfig {
    QuantConfig { destroys_floats_knowingly: true, ..QuantConfig::default() }
}

#[test]
fn a_hybrid_learns_digits_and_answers_the_same_in_int8() {
    let data = digits().unwrap();
    let mut float =
        Architecture::preset("digits-hybrid").unwrap().build(&mut Init::seed(1)).unwrap();
    let loader = DataLoader::new(data.train.clone(), 64).unwrap().shuffle(true).seed(1);
    Trainer::new(Classification, Adam::new(3e-3))
        .seed(1)
        .fit(&mut float, &loader, None, 4)
        .unwrap();

    let mut int8 = float.clone();
    let calibration = data.calibration(256, 1).unwrap();
    let report = quantize_model(&mut *int8, [Ok((&calibration).into())], &config()).unwrap();
    assert_eq!(report.folded, ["stem.0.norm", "stem.1.norm"]);
    assert!(report.skipped.is_empty());

    let test = data.test.unwrap();
    let images = test.inputs();
    let run = |model: &dyn Model| Plan::compile(model, images).unwrap().run(images).unwrap();
    let (float_logits, logits) = (run(&*float), run(&*int8));
    let labels = test.labels().to_vec::<i64>().unwrap();
    let n = labels.len();
    let right = |answers: &[usize]| {
        answers.iter().zip(&labels).filter(|&(&answer, &label)| answer as i64 == label).count()
    };
    let (before, after) = (top_1(&float_logits), top_1(&logits));
    assert!(right(&before) * 100 >= n * 93, "{} of {n}", right(&before));
    assert!(right(&after) * 100 >= right(&before) * 99, "{} to {}", right(&before), right(&after));
    let agreeing = before.iter().zip(&after).filter(|(a, b)| a == b).count();
    assert!(agreeing * 100 >= n * 98, "{agreeing} of {n}");

    let eager = int8.forward(&images.into(), &mut Ctx::eval()).unwrap();
    assert_eq!(bits(&logits), bits(eager.value()));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hybrid.safetensors");
    save_model(&path, &*int8, &Provenance::default()).unwrap();
    let loaded = load_model(&path).unwrap().model;
    assert_eq!(loaded.architecture(), int8.architecture());
    assert_eq!(bits(&run(&*loaded)), bits(&logits));
}

const TOKENS: [i64; 2] = [1, 2];

/// Images of stripes across or down, texts that name one of the two between words that mean nothing,
/// and whether they fit: neither input tells without the other.
fn stripes_and_words(n: usize, seed: u64) -> ((Tensor, Tensor), Tensor) {
    let mut rng = Rng::seed(seed);
    let noise = Tensor::rand([n, 1, 8, 8], 0.0, 0.5, &mut rng).unwrap();
    let (mut pixels, mut ids, mut labels) = (noise.to_vec::<f32>().unwrap(), vec![], vec![]);
    for image in pixels.chunks_mut(64) {
        let (down, named, length) = (rng.below(2), rng.below(2), 1 + rng.below(5));
        for (i, pixel) in image.iter_mut().enumerate() {
            *pixel += ([i / 8, i % 8][down] % 2) as f32;
        }
        let place = rng.below(length);
        ids.extend((0..5).map(|at| match at {
            _ if at >= length => 0,
            _ if at == place => TOKENS[named],
            _ => 3 + rng.below(5) as i64,
        }));
        labels.push(i64::from(down == named));
    }
    let images = Tensor::from_vec(pixels, [n, 1, 8, 8]).unwrap();
    let ids = Tensor::from_vec(ids, [n, 5]).unwrap();
    ((images, ids), Tensor::from_vec(labels, [n]).unwrap())
}

fn image_text_config() -> ImageTextConfig {
    ImageTextConfig {
        input: [1, 8, 8],
        blocks: vec![CnnBlock { channels: 8, pool: 2 }, CnnBlock { channels: 16, pool: 1 }],
        vocab: 8,
        context: 6,
        pad: 0,
        dim: 16,
        layers: 1,
        heads: 2,
        hidden: 32,
        outputs: 2,
    }
}

fn vars((images, ids): &(Tensor, Tensor)) -> (Var, Var) {
    (images.into(), ids.into())
}

fn trained() -> ImageText {
    let mut model = ImageText::new(&image_text_config(), &mut Init::seed(2)).unwrap();
    let mut optimizer = Adam::new(5e-3);
    for step in 0..120 {
        let (input, labels) = stripes_and_words(64, step);
        let mut ctx = Ctx::train(Rng::seed(step));
        let logits = model.forward(&vars(&input), &mut ctx).unwrap();
        let loss = logits.cross_entropy(&labels, &mut ctx).unwrap();
        let grads = ctx.backward(&loss).unwrap();
        optimizer.step(&mut model, grads).unwrap();
    }
    model
}

#[test]
fn a_model_of_two_inputs_learns_from_both_and_answers_the_same_in_int8() {
    let float = trained();
    let (input, labels) = stripes_and_words(500, 1000);
    let labels = labels.to_vec::<i64>().unwrap();
    let logits = Plan::compile(&float, &input).unwrap().run(&input).unwrap();
    let before = top_1(&logits);
    let right = before.iter().zip(&labels).filter(|&(&a, &label)| a as i64 == label).count();
    assert!(right >= 475, "{right} of 500");

    let mut int8 = float.clone();
    let batches = (2000..2004).map(|seed| Ok(vars(&stripes_and_words(64, seed).0)));
    let report = quantize_model(&mut int8, batches, &config()).unwrap();
    assert_eq!(report.folded, ["image.0.norm", "image.1.norm"]);
    assert!(
        compare_model_sizes(&float, &int8).unwrap().ratio > 2.0,
        "norms and biases stay floats"
    );

    let mut plan = Plan::compile(&int8, &input).unwrap();
    let planned = plan.run(&input).unwrap();
    let eager = int8.forward(&vars(&input), &mut Ctx::eval()).unwrap();
    assert_eq!(bits(&planned), bits(eager.value()));
    let agreeing = before.iter().zip(top_1(&planned)).filter(|(a, b)| **a == *b).count();
    assert!(agreeing >= 495, "{agreeing} of 500");

    // Other numbers of samples and tokens, in the same plan.
    let (images, ids) = stripes_and_words(3, 7).0;
    let shorter = (images, ids.slice(1, 0..4).unwrap());
    let eager = int8.forward(&vars(&shorter), &mut Ctx::eval()).unwrap();
    assert_eq!(bits(&plan.run(&shorter).unwrap()), bits(eager.value()));

    let profile = profile_passes(&int8, &input, 1).unwrap();
    for name in ["image.1.conv.weight", "text.0.mlp.linear1.weight", "joint.weight"] {
        assert!(profile.layers.iter().any(|row| row.name == name), "{name}: {profile}");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image-text.safetensors");
    save_params(&path, &int8, &BTreeMap::new()).unwrap();
    let mut loaded = ImageText::new(&image_text_config(), &mut Init::absent()).unwrap();
    load_into(&mut loaded, &TensorFile::open(&path).unwrap()).unwrap();
    let logits = Plan::compile(&loaded, &input).unwrap().run(&input).unwrap();
    assert_eq!(bits(&logits), bits(&planned));
}

#[test]
fn a_plan_of_two_inputs_refuses_what_does_not_fit() {
    let model = ImageText::new(&image_text_config(), &mut Init::seed(2)).unwrap();
    let (images, ids) = stripes_and_words(2, 1).0;
    let mut plan = Plan::compile(&model, &(images.clone(), ids.clone())).unwrap();
    let problem = |result: tinytorch::Result<Tensor>| match result.unwrap_err() {
        Error::Plan(problem) => problem,
        other => panic!("{other}"),
    };
    let alone = problem(plan.run(&images));
    assert!(matches!(alone, PlanError::InputCount { expected: 2, got: 1 }), "{alone}");
    let swapped = problem(plan.run(&(ids.clone(), images.clone())));
    assert!(matches!(swapped, PlanError::Input { .. }), "{swapped}");
    let unknown = Tensor::from_vec(vec![99i64; 10], [2, 5]).unwrap();
    assert!(plan.run(&(images.clone(), unknown)).is_err());
    let other_batch = ids.slice(0, 0..1).unwrap();
    assert!(plan.run(&(images, other_batch)).is_err());
}

#[test]
fn sizes_that_make_no_model_are_refused() {
    let hybrid = |change: fn(&mut HybridConfig)| {
        let stem = vec![CnnBlock { channels: 8, pool: 2 }];
        let mut config =
            HybridConfig { input: [1, 8, 8], stem, layers: 1, heads: 2, hidden: 8, outputs: 2 };
        change(&mut config);
        Hybrid::new(&config, &mut Init::absent()).map(drop)
    };
    hybrid(|_| {}).unwrap();
    let message = |result: tinytorch::Result<()>| result.unwrap_err().to_string();
    assert!(message(hybrid(|c| c.stem.clear())).contains("number of blocks is 0"));
    assert!(message(hybrid(|c| c.heads = 3)).contains("3 heads"));
    assert!(message(hybrid(|c| c.layers = 0)).contains("transformer blocks is 0"));
    assert!(message(hybrid(|c| c.stem[0].pool = 9)).contains("pooling"));

    let image_text = |change: fn(&mut ImageTextConfig)| {
        let mut config = image_text_config();
        change(&mut config);
        ImageText::new(&config, &mut Init::absent()).map(drop)
    };
    image_text(|_| {}).unwrap();
    assert!(message(image_text(|c| c.pad = 8)).contains("must be below 8"));
    assert!(message(image_text(|c| c.heads = 0)).contains("0 heads"));
    assert!(message(image_text(|c| c.context = 0)).contains("context is 0"));

    let resnet = |change: fn(&mut ResnetConfig)| {
        let (mean, std) = (vec![0.5; 3], vec![0.2; 3]);
        let mut config =
            ResnetConfig { input: [3, 8, 8], mean, std, width: 4, blocks: 1, outputs: 2 };
        change(&mut config);
        Resnet::new(&config, &mut Init::absent()).map(drop)
    };
    resnet(|_| {}).unwrap();
    assert!(message(resnet(|c| c.blocks = 0)).contains("blocks of a stage is 0"));
    assert!(message(resnet(|c| c.mean = vec![0.5])).contains("each of 3 channels"));
    assert!(message(resnet(|c| c.std[1] = 0.0)).contains("above 0"));
    assert!(message(resnet(|c| c.mean[1] = f32::NAN)).contains("finite"));
    assert!(message(resnet(|c| c.width = usize::MAX)).contains("width"));
}
