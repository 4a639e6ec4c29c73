//! A model's file says what it is, holds exactly its parameters, and survives the round trip.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::files::{
    ContentError, FileDtype, FileError, Provenance, TensorFile, digest_params, digest_tensors,
    load_into, load_model, save_model, save_params, write_tensors,
};
use tinytorch::int8::Granularity;
use tinytorch::models::{Architecture, MlpConfig, Model};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};
use tinytorch::{Result, Rng, Tensor};

/// Widths that are no multiple of any kernel's, so that every tail is met.
fn mlp() -> Box<dyn Model> {
    let architecture = Architecture::Mlp(MlpConfig { inputs: 35, hidden: vec![19], outputs: 3 });
    architecture.build(&mut Init::seed(1)).unwrap()
}

fn batch() -> Var {
    Tensor::randn([4, 35], 1.0, &mut Rng::seed(2)).unwrap().into()
}

fn quantized(granularity: Granularity, activations: Activations) -> Box<dyn Model> {
    let mut model = mlp();
    let config = QuantConfig::new(Scheme::new(granularity, activations));
    quantize_model(&mut *model, [Ok(batch())], &config).unwrap();
    model
}

fn outputs(model: &dyn Model) -> Vec<f32> {
    model.forward(&batch(), &mut Ctx::eval()).unwrap().value().to_vec().unwrap()
}

fn provenance() -> Provenance {
    Provenance {
        float_sha256: Some(digest_params(&*mlp()).unwrap()),
        calibration_sha256: Some(digest_tensors(&[("0", batch().value().clone())]).unwrap()),
        quantization: Some(serde_json::to_value(QuantConfig::default()).unwrap()),
        notes: BTreeMap::from([("trained_on".to_string(), "nothing \"yet\"".to_string())]),
        ..Provenance::default()
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }
    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn content(result: Result<impl Sized>) -> ContentError {
    match result.err().expect("an error").downcast().unwrap() {
        FileError::Content { problem, .. } => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_model_comes_back_bit_for_bit() {
    let mut models = vec![mlp()];
    for granularity in [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks] {
        for activations in [Activations::Static, Activations::Dynamic, Activations::Float] {
            models.push(quantized(granularity, activations));
        }
    }
    for granularity in [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks] {
        let mut cnn =
            Architecture::preset("digits-cnn").unwrap().build(&mut Init::seed(3)).unwrap();
        let activations = Activations::Dynamic;
        let config = QuantConfig::new(Scheme::new(granularity, activations));
        quantize_model(&mut *cnn, std::iter::empty::<Result<Var>>(), &config).unwrap();
        models.push(cnn);
    }
    let folder = Folder::new();
    let (first, second) = (folder.file("1.safetensors"), folder.file("2.safetensors"));
    for model in &models {
        save_model(&first, &**model, &provenance()).unwrap();
        let loaded = load_model(&first).unwrap();
        assert_eq!(loaded.model.architecture(), model.architecture());
        assert_eq!(loaded.provenance, provenance());
        for ((name, a), (_, b)) in model.named_params().iter().zip(loaded.model.named_params()) {
            assert_eq!(a.int8(), b.int8(), "{name}");
        }
        assert_eq!(digest_params(&**model).unwrap(), digest_params(&*loaded.model).unwrap());

        save_model(&second, &*loaded.model, &loaded.provenance).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
    }
}

#[test]
fn a_loaded_model_computes_the_same_bits() {
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    for model in [mlp(), quantized(Granularity::PerChannel, Activations::Static)] {
        save_model(&path, &*model, &Provenance::default()).unwrap();
        assert_eq!(outputs(&*model), outputs(&*load_model(&path).unwrap().model));
    }
}

#[test]
fn a_reader_that_knows_only_the_format_sees_int8_weights_and_their_scales() {
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    let list = |model: Box<dyn Model>| -> Vec<String> {
        save_model(&path, &*model, &Provenance::default()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut list: Vec<String> =
            file.iter().map(|(name, t)| format!("{name} {} {:?}", t.dtype(), t.shape())).collect();
        list.retain(|line| line.starts_with("layers.0"));
        list.sort();
        list
    };
    assert_eq!(
        list(quantized(Granularity::PerChannel, Activations::Static)),
        [
            "layers.0.bias F32 [19]",
            "layers.0.input_scale F32 [1]",
            "layers.0.input_zero_point U8 [1]",
            "layers.0.weight I8 [19, 35]",
            "layers.0.weight_scale F32 [19]",
        ]
    );
    assert_eq!(
        list(quantized(Granularity::Blocks, Activations::Dynamic))[1..],
        ["layers.0.weight I8 [19, 35]", "layers.0.weight_scale F16 [19, 2]"]
    );
    assert_eq!(
        list(quantized(Granularity::PerTensor, Activations::Float))[2],
        "layers.0.weight_scale F32 [1]"
    );
    let file = TensorFile::open(&path).unwrap();
    let modes = r#"{"layers.0.weight":"weight-only","layers.1.weight":"weight-only"}"#;
    assert_eq!(file.metadata()["input_mode"], modes);
    let architecture = r#"{"architecture":"mlp","inputs":35,"hidden":[19],"outputs":3}"#;
    assert_eq!(file.metadata()["architecture"], architecture);
}

#[test]
fn the_digest_tells_apart_what_differs() {
    let t = |values: &[f32]| Tensor::from_vec(values.to_vec(), [values.len()]).unwrap();
    let digest = |items: &[(&str, Tensor)]| digest_tensors(items).unwrap();
    let both = digest(&[("a", t(&[1.0])), ("b", t(&[2.0]))]);
    assert_eq!(both.len(), 64);
    assert_eq!(both, digest(&[("a", t(&[1.0])), ("b", t(&[2.0]))]));
    for other in [
        digest(&[("b", t(&[2.0])), ("a", t(&[1.0]))]),
        digest(&[("a", t(&[1.0])), ("b", t(&[2.5]))]),
        digest(&[("a", t(&[1.0, 2.0]))]),
        digest(&[("a", t(&[1.0])), ("b", t(&[2.0]).reshape([1, 1]).unwrap())]),
    ] {
        assert_ne!(both, other);
    }
    let mut clone = mlp();
    let before = digest_params(&*clone).unwrap();
    assert_eq!(before, digest_params(&*mlp()).unwrap());
    *clone.named_params_mut()[0].1.value_mut().unwrap() = Tensor::zeros([19, 35]).unwrap();
    assert_ne!(before, digest_params(&*clone).unwrap());
}

/// The tensors and metadata of a saved model, to be damaged.
struct Contents {
    tensors: Vec<(String, Tensor)>,
    metadata: BTreeMap<String, String>,
}

impl Contents {
    fn of(model: &dyn Model, folder: &Folder) -> Contents {
        let path = folder.file("whole.safetensors");
        save_model(&path, model, &Provenance::default()).unwrap();
        let file = TensorFile::open(&path).unwrap();
        let tensors = file.tensors().map(|(n, _)| (n.to_string(), file.tensor(n).unwrap()));
        Contents { tensors: tensors.collect(), metadata: file.metadata().clone() }
    }

    fn tensor(&mut self, name: &str) -> &mut Tensor {
        &mut self.tensors.iter_mut().find(|(n, _)| n == name).unwrap().1
    }

    fn load(&self, folder: &Folder) -> Result<()> {
        let path = folder.file("damaged.safetensors");
        write_tensors(&path, &self.tensors, &self.metadata).unwrap();
        load_model(&path).map(|_| ())
    }
}

fn damaged(model: &dyn Model, damage: impl FnOnce(&mut Contents)) -> ContentError {
    let folder = Folder::new();
    let mut contents = Contents::of(model, &folder);
    contents.load(&folder).unwrap();
    damage(&mut contents);
    content(contents.load(&folder))
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let float = mlp();
    let missing = damaged(&*float, |c| c.tensors.retain(|(name, _)| name != "layers.1.bias"));
    assert_eq!(missing, ContentError::Missing { tensor: "layers.1.bias".into() });

    let extra = ("layers.2.bias".to_string(), Tensor::scalar(1.0));
    let unexpected = damaged(&*float, |c| c.tensors.push(extra));
    assert_eq!(unexpected, ContentError::Unexpected { tensor: "layers.2.bias".into() });

    let shape = damaged(&*float, |c| {
        *c.tensor("layers.0.weight") = Tensor::zeros([35, 19]).unwrap();
    });
    assert!(
        matches!(&shape, ContentError::Shape { tensor, got, expected }
            if tensor == "layers.0.weight" && got.dims() == [35, 19] && expected.dims() == [19, 35]),
        "{shape}"
    );

    let dtype = damaged(&*float, |c| {
        *c.tensor("layers.0.bias") = Tensor::full(1i64, [19]).unwrap();
    });
    assert!(
        matches!(&dtype, ContentError::Dtype { tensor, got: FileDtype::I64, .. } if tensor == "layers.0.bias"),
        "{dtype}"
    );
    let int8_bias = damaged(&*float, |c| {
        *c.tensor("layers.0.bias") = Tensor::full(1i8, [19]).unwrap();
    });
    assert!(matches!(int8_bias, ContentError::Dtype { got: FileDtype::I8, .. }), "{int8_bias}");
}

#[test]
fn int8_weights_that_do_not_fit_are_named() {
    let model = quantized(Granularity::PerChannel, Activations::Static);
    let scale = "layers.0.weight_scale";
    let damage = |f: &dyn Fn(&mut Contents)| damaged(&*model, f);

    let missing = damage(&|c| c.tensors.retain(|(name, _)| name != scale));
    assert_eq!(missing, ContentError::Missing { tensor: scale.into() });
    let missing = damage(&|c| c.tensors.retain(|(n, _)| n != "layers.0.input_zero_point"));
    assert_eq!(missing, ContentError::Missing { tensor: "layers.0.input_zero_point".into() });

    let count = damage(&|c| *c.tensor(scale) = Tensor::ones([18]).unwrap());
    assert!(matches!(&count, ContentError::Shape { tensor, .. } if tensor == scale), "{count}");
    let dtype = damage(&|c| *c.tensor(scale) = Tensor::full(1u8, [19]).unwrap());
    assert!(matches!(&dtype, ContentError::Dtype { tensor, .. } if tensor == scale), "{dtype}");
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY, f32::from_bits(1)] {
        let bad = damage(&|c| c.tensor(scale).as_mut_slice::<f32>().unwrap()[7] = bad);
        assert!(
            matches!(&bad, ContentError::Scale { tensor, index: 7, .. } if tensor == scale),
            "{bad}"
        );
    }
    let input = damage(&|c| *c.tensor("layers.1.input_scale") = Tensor::zeros([1]).unwrap());
    assert!(matches!(input, ContentError::Scale { index: 0, .. }), "{input}");

    let both = damage(&|c| {
        c.metadata.insert("input_mode".into(), r#"{"layers.0.weight":"dynamic"}"#.into());
    });
    assert_eq!(both, ContentError::Unexpected { tensor: "layers.0.input_scale".into() });
    let nothing = damage(&|c| {
        c.metadata.insert("input_mode".into(), r#"{"head.weight":"dynamic"}"#.into());
    });
    assert!(matches!(nothing, ContentError::Metadata { .. }), "{nothing}");
    let unknown = damage(&|c| {
        c.metadata.insert("input_mode".into(), r#"{"layers.0.weight":"guess"}"#.into());
    });
    assert!(unknown.to_string().contains("dynamic"), "{unknown}");
}

#[test]
fn a_file_that_does_not_say_what_it_is_or_says_nonsense_is_refused() {
    let with = |text: &str| {
        damaged(&*mlp(), |c| {
            c.metadata.insert("architecture".into(), text.into());
        })
        .to_string()
    };
    let missing = damaged(&*mlp(), |c| {
        c.metadata.remove("architecture");
    });
    assert_eq!(missing, ContentError::MissingMetadata { key: "architecture" });
    let unknown = with(r#"{"architecture":"vgg"}"#);
    assert!(unknown.contains("vgg") && unknown.contains("mlp"), "{unknown}");
    assert!(with("mlp").contains("architecture"));
    let extra = r#"{"architecture":"mlp","inputs":35,"hidden":[19],"outputs":3,"dropout":1}"#;
    assert!(with(extra).contains("dropout"));
    let layers = vec!["1"; 100_000].join(",");
    let deep = format!(r#"{{"architecture":"mlp","inputs":1,"hidden":[{layers}],"outputs":1}}"#);
    assert!(with(&deep).contains("number of layers"));
    for width in ["0", "18446744073709551615"] {
        let text = format!(r#"{{"architecture":"mlp","inputs":{width},"hidden":[],"outputs":1}}"#);
        assert!(with(&text).contains("a width is"), "{}", with(&text));
    }
    let sharing = with(r#"{"architecture":"mlp","inputs":36,"hidden":[19],"outputs":3}"#);
    assert!(sharing.contains("layers.0.weight"), "{sharing}");
}

#[test]
fn a_failed_load_leaves_the_module_as_it_was() {
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    let source = Linear::new(5, 4, &mut Init::seed(1)).unwrap();
    let wrong = [("weight", Tensor::ones([4, 5]).unwrap()), ("bias", Tensor::ones([3]).unwrap())];
    write_tensors(&path, &wrong, &BTreeMap::new()).unwrap();
    let mut module = source.clone();
    let result = load_into(&mut module, &TensorFile::open(&path).unwrap());
    assert!(matches!(content(result), ContentError::Shape { tensor, .. } if tensor == "bias"));
    assert_eq!(digest_params(&module).unwrap(), digest_params(&source).unwrap());

    save_params(&path, &source, &BTreeMap::new()).unwrap();
    let mut other = Linear::new(5, 4, &mut Init::seed(2)).unwrap();
    load_into(&mut other, &TensorFile::open(&path).unwrap()).unwrap();
    assert_eq!(digest_params(&other).unwrap(), digest_params(&source).unwrap());
}

#[test]
fn what_cannot_be_saved_is_refused() {
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    let absent = Linear::new(2, 2, &mut Init::absent()).unwrap();
    assert_eq!(
        content(save_params(&path, &absent, &BTreeMap::new())),
        ContentError::NotLoaded { parameter: "weight".into() }
    );
    let taken = |key: &str| Provenance {
        notes: BTreeMap::from([(key.to_string(), String::new())]),
        ..Provenance::default()
    };
    let dynamic = quantized(Granularity::PerChannel, Activations::Dynamic);
    for key in ["architecture", "quantization", "input_mode", "flags"] {
        let problem = content(save_model(&path, &*dynamic, &taken(key)));
        assert!(matches!(&problem, ContentError::Metadata { key: k, .. } if k == key), "{problem}");
    }
    assert!(!Path::exists(&path));
}

#[test]
fn a_folded_batch_norm_says_so_in_the_file() {
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    let mut cnn = Architecture::preset("digits-cnn").unwrap().build(&mut Init::seed(3)).unwrap();
    let set = |cnn: &mut dyn Model| *cnn.named_flags_mut().swap_remove(1).1 = true;
    set(&mut *cnn);
    save_model(&path, &*cnn, &Provenance::default()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.metadata()["flags"], r#"["blocks.1.norm.folded"]"#);
    let loaded = load_model(&path).unwrap();
    assert_eq!(loaded.model.named_flags(), cnn.named_flags());
    assert_eq!(loaded.provenance, Provenance::default());

    let plain = Architecture::preset("digits-cnn").unwrap().build(&mut Init::seed(4)).unwrap();
    save_model(&path, &*plain, &Provenance::default()).unwrap();
    load_into(&mut *cnn, &TensorFile::open(&path).unwrap()).unwrap();
    assert!(cnn.named_flags().iter().all(|(_, flag)| !flag), "a file without flags sets none");

    let unknown = damaged(&*mlp(), |c| {
        c.metadata.insert("flags".into(), r#"["blocks.1.norm.folded"]"#.into());
    });
    assert!(matches!(&unknown, ContentError::Metadata { key, .. } if key == "flags"), "{unknown}");
}

#[test]
fn an_int8_file_is_four_times_smaller_header_and_provenance_included() {
    let folder = Folder::new();
    let (float, int8) = (folder.file("f32.safetensors"), folder.file("int8.safetensors"));
    let mut cnn = Architecture::preset("mnist-cnn").unwrap().build(&mut Init::seed(3)).unwrap();
    save_model(&float, &*cnn, &Provenance::default()).unwrap();
    let images = Tensor::rand([2, 1, 28, 28], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
    quantize_model(&mut *cnn, [Ok(images.into())], &QuantConfig::default()).unwrap();
    save_model(&int8, &*cnn, &provenance()).unwrap();
    let bytes = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    let ratio = bytes(&float) / bytes(&int8);
    assert!(ratio >= 3.9, "{ratio}");
}

#[test]
fn a_model_can_share_its_int8_weights_with_nobody_after_loading() {
    let folder = Folder::new();
    let path = folder.file("m.safetensors");
    let model = quantized(Granularity::PerChannel, Activations::Static);
    save_model(&path, &*model, &Provenance::default()).unwrap();
    let loaded = load_model(&path).unwrap().model;
    let weight = |m: &dyn Model| m.named_params()[0].1.int8().unwrap().clone();
    assert!(!weight(&*model).shares(&weight(&*loaded)));
    assert_eq!(weight(&*loaded).holders(), 2);
}
