//! A training that is saved and resumed goes on as if it had never stopped, to the last bit.

use super::train_support::{Net, bits, some_digits, values};
use std::collections::BTreeMap;
use std::path::Path;
use tinytorch::autograd::Var;
use tinytorch::data::DataLoader;
use tinytorch::files::{Provenance, TensorFile, load_model, save_params};
use tinytorch::graph::ConvGeometry;
use tinytorch::models::Architecture;
use tinytorch::nn::{
    BatchNorm2d, Conv2d, Dropout, Flatten, Forward, Init, Linear, Module, Sequential,
};
use tinytorch::optim::{Adam, AdamW, Optimizer, Schedule, Sgd};
use tinytorch::train::{Classification, Clip, EarlyStopping, Trainer, Watch};

/// Wide enough that the weights are updated on several threads.
fn wide(seed: u64) -> Net {
    Net::new(64, 1100, 10, seed)
}

fn net() -> Net {
    wide(4)
}

fn convolutional(seed: u64) -> Sequential {
    let mut init = Init::seed(seed);
    let geometry = ConvGeometry::default().with_padding(1);
    Sequential::new()
        .push(Conv2d::new(1, 4, [3, 3], geometry, &mut init).unwrap())
        .push(BatchNorm2d::new(4, &mut init).unwrap())
        .push(Dropout::new(0.2).unwrap())
        .push(Flatten)
        .push(Linear::new(256, 10, &mut init).unwrap())
}

fn trainer(optimizer: impl Optimizer + 'static) -> Trainer<Classification> {
    Trainer::new(Classification, optimizer)
        .seed(11)
        .schedule(Schedule::Cosine { warmup: 3, total: 18, floor: 0.1 })
        .clip(Clip::Norm(1.0))
        .accumulate(2)
        .early_stopping(EarlyStopping { watch: Watch::Loss, patience: 10, min_delta: 1e-3 })
}

fn fit<M: Forward<Output = Var>>(
    trainer: &mut Trainer<Classification>,
    model: &mut M,
    epochs: u64,
) {
    let loader = some_digits(300);
    trainer.fit(model, &loader, Some(&loader), epochs).unwrap();
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Everything that a training has become: weights, the optimizer's memory, and its history.
fn everything<M: Module>(trainer: &Trainer<Classification>, model: &M) -> Vec<(String, Vec<u32>)> {
    let mut all = values(model);
    let state = trainer.optimizer().state();
    for (name, moments) in &state.moments {
        all.push((format!("steps of {name}"), vec![moments.steps as u32]));
        for (slot, tensor) in state.slots.iter().zip(&moments.slots) {
            all.push((format!("{slot} of {name}"), bits(tensor)));
        }
    }
    all
}

/// `model` makes a model from a seed.
fn six_epochs_equal_three_and_three<M: Forward<Output = Var>, R: Optimizer + 'static>(
    model: impl Fn(u64) -> M + Sync,
    optimizer: impl Fn() -> R + Sync,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let (whole, history) = on_threads(1, || {
        let (mut trainer, mut model) = (trainer(optimizer()), model(4));
        fit(&mut trainer, &mut model, 6);
        (everything(&trainer, &model), trainer.history().to_vec())
    });
    on_threads(2, || {
        let (mut trainer, mut model) = (trainer(optimizer()), model(4));
        fit(&mut trainer, &mut model, 3);
        trainer.save(&path, &model, &BTreeMap::new()).unwrap();
    });
    on_threads(3, || {
        let (mut trainer, mut model) = (trainer(optimizer()), model(99));
        trainer.resume(&path, &mut model).unwrap();
        assert_eq!((trainer.epochs(), trainer.history()), (3, &history[..3]));
        fit(&mut trainer, &mut model, 3);
        assert_eq!(trainer.history(), history);
        for ((name, expected), (_, got)) in whole.iter().zip(everything(&trainer, &model)) {
            assert!(*expected == got, "{name} differs after resuming");
        }
    });
}

#[test]
fn adamw_resumes_to_the_bit_at_any_number_of_threads() {
    six_epochs_equal_three_and_three(wide, || AdamW::new(0.01));
}

#[test]
fn sgd_resumes_to_the_bit_at_any_number_of_threads() {
    six_epochs_equal_three_and_three(wide, || Sgd::new(0.05).momentum(0.9).nesterov(true));
}

#[test]
fn batch_norm_and_dropout_resume_to_the_bit() {
    six_epochs_equal_three_and_three(convolutional, || Adam::new(0.01));
}

#[test]
fn saving_what_was_resumed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a", "b"].map(|name| folder.path().join(name));
    let (mut first, mut model) = (trainer(Adam::new(0.01)), net());
    fit(&mut first, &mut model, 2);
    let notes = BTreeMap::from([("data".to_string(), "digits".to_string())]);
    first.save(&paths[0], &model, &notes).unwrap();
    let (mut second, mut copy) = (trainer(Adam::new(0.01)), net());
    second.resume(&paths[0], &mut copy).unwrap();
    second.save(&paths[1], &copy, &notes).unwrap();
    let [a, b] = paths.map(|path| std::fs::read(path).unwrap());
    assert!(a == b);
}

#[test]
fn the_best_weights_survive_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    // With an improvement of 10 asked for, the first epoch stays the best.
    let rule = EarlyStopping { watch: Watch::Loss, patience: 3, min_delta: 10.0 };
    let make = || Trainer::new(Classification, Adam::new(0.01)).early_stopping(rule);
    let (mut whole, mut model) = (make(), net());
    fit(&mut whole, &mut model, 1);
    let first = model.values();
    fit(&mut whole, &mut model, 1);
    whole.save(&path, &model, &BTreeMap::new()).unwrap();

    let (mut resumed, mut copy) = (make(), wide(99));
    resumed.resume(&path, &mut copy).unwrap();
    assert_ne!(copy.values(), first);
    fit(&mut resumed, &mut copy, 5);
    assert!(resumed.stopped());
    assert_eq!(resumed.epochs(), 4);
    assert_eq!(copy.values(), first);
}

#[test]
fn a_checkpoint_is_also_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let loader = some_digits(128);
    let mut model = Architecture::preset("digits-mlp").unwrap().build(&mut Init::seed(1)).unwrap();
    let make = || Trainer::new(Classification, Adam::new(0.01));
    let mut trainer = make();
    trainer.fit(&mut model, &loader, None, 1).unwrap();
    trainer.save_model(&path, &*model, &Provenance::default()).unwrap();

    let loaded = load_model(&path).unwrap();
    assert_eq!(loaded.provenance, Provenance::default());
    let metrics = trainer.evaluate(&model, &loader).unwrap();
    let mut again = loaded.model;
    assert_eq!(trainer.evaluate(&again, &loader).unwrap(), metrics);

    let mut resumed = make();
    resumed.resume(&path, &mut *again).unwrap();
    trainer.fit(&mut model, &loader, None, 1).unwrap();
    resumed.fit(&mut again, &loader, None, 1).unwrap();
    assert_eq!(resumed.history(), trainer.history());
}

/// Resumes what cannot be resumed; model and trainer must stay as they were.
fn refused(path: &Path, trainer: &mut Trainer<Classification>, model: &mut Net) -> String {
    let before = everything(trainer, model);
    let error = trainer.resume(path, model).unwrap_err().to_string();
    assert!(everything(trainer, model) == before, "changed in spite of: {error}");
    assert_eq!(trainer.epochs(), 0);
    error
}

#[test]
fn what_does_not_fit_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let make = || trainer(Adam::new(0.01));
    let (mut first, mut model) = (make(), net());
    fit(&mut first, &mut model, 1);
    first.save(&path, &model, &BTreeMap::new()).unwrap();
    let mut fresh = wide(99);

    let error = refused(&path, &mut make().seed(12), &mut fresh);
    assert!(error.contains("seed = 11, but this trainer has 12"), "{error}");
    let error = refused(&path, &mut make().schedule(Schedule::Constant), &mut fresh);
    assert!(error.contains("schedule = {\"floor\":0.1,\"kind\":\"cosine\""), "{error}");
    let error = refused(&path, &mut trainer(Adam::new(0.02)), &mut fresh);
    assert!(error.contains("lr = 0.01, but this trainer has 0.02"), "{error}");
    let error = refused(&path, &mut trainer(AdamW::new(0.01)), &mut fresh);
    assert!(error.contains("is of adam, but this optimizer is adamw"), "{error}");
    let error = refused(&path, &mut trainer(Adam::new(0.01).eps(1e-6)), &mut fresh);
    assert!(error.contains("eps = 1e-8, but this optimizer has 1e-6"), "{error}");
    let error = refused(&path, &mut make(), &mut Net::new(64, 7, 10, 99));
    assert!(error.contains("[1100, 64]") || error.contains("does not fit the model"), "{error}");
    fresh.set_frozen("head", true);
    let error = refused(&path, &mut make(), &mut fresh);
    assert!(error.contains("frozen = [], but this trainer has [\"head.weight\""), "{error}");
    fresh.set_frozen("head", false);

    let plain = folder.path().join("plain.safetensors");
    save_params(&plain, &model, &BTreeMap::new()).unwrap();
    let error = refused(&plain, &mut make(), &mut fresh);
    assert!(error.contains("a model without the state of its training"), "{error}");
    let taken = BTreeMap::from([("training".to_string(), String::new())]);
    let error = first.save(&plain, &model, &taken).unwrap_err().to_string();
    assert!(error.contains("\"training\" holds the state of the training"), "{error}");
}

#[test]
fn damaged_checkpoints_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let small = || Net::new(64, 6, 10, 4);
    let make = || Trainer::new(Classification, Adam::new(0.01));
    let (mut first, mut model) = (make(), small());
    let loader = DataLoader::new(tinytorch::data::digits().unwrap().train, 512).unwrap();
    first.fit(&mut model, &loader, None, 1).unwrap();
    first.save(&path, &model, &BTreeMap::new()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let training = file.metadata()["training"].clone();
    let tensors: Vec<(String, tinytorch::Tensor)> =
        file.tensors().map(|(name, _)| (name.to_string(), file.tensor(name).unwrap())).collect();
    let damaged = folder.path().join("damaged.safetensors");
    let refuse = |tensors: &[(String, tinytorch::Tensor)], training: &str| {
        let metadata = BTreeMap::from([("training".to_string(), training.to_string())]);
        tinytorch::files::write_tensors(&damaged, tensors, &metadata).unwrap();
        refused(&damaged, &mut make(), &mut small())
    };

    let error = refuse(&tensors, &training.replace("\"epochs\":1", "\"epochs\":7"));
    assert!(error.contains("one entry per epoch"), "{error}");
    let error = refuse(&tensors, &training[..40]);
    assert!(error.contains("metadata entry \"training\""), "{error}");
    let error = refuse(&tensors, &training.replace("head.bias", "tail.bias"));
    assert!(error.contains("tail.bias") && error.contains("missing"), "{error}");
    let moment = "@optimizer.exp_avg_sq.head.bias";
    let without: Vec<_> = tensors.iter().filter(|(name, _)| name != moment).cloned().collect();
    assert!(refuse(&without, &training).contains(moment));
    let mut nan = tensors.clone();
    let (_, value) = nan.iter_mut().find(|(name, _)| name == moment).unwrap();
    value.as_mut_slice::<f32>().unwrap()[3] = f32::NAN;
    let error = refuse(&nan, &training);
    assert!(error.contains("head.bias has values in the state that are NaN"), "{error}");
}
