//! A struct of a program's own in files: saved, loaded by name, quantized, with adapters.

use std::collections::BTreeMap;
use tempfile::TempDir;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::files::{
    ContentError, FileError, Provenance, TensorFile, digest_params, load, load_model, load_with,
    save_model, write_tensors,
};
use tinytorch::fit::lora::{self as adapters, AdapterConfig};
use tinytorch::models::{
    CnnBlock, ImageText, ImageTextConfig, Kinds, ListModel, Mlp, Model, ModelError, Rebuild, Sample,
};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch::tensor::Shape;
use tinytorch::{Result, Rng, Tensor};

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sizes {
    width: usize,
    scale: f32,
}

/// Two layers, of which the settings say how wide they are.
#[derive(Module, Clone)]
struct Net {
    #[module(config)]
    sizes: Sizes,
    hidden: Linear,
    head: Linear,
}

impl Forward for Net {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let hidden = self.hidden.forward(x, ctx)?.relu(ctx)?;
        self.head.forward(&hidden.mul_scalar(self.sizes.scale, ctx)?, ctx)
    }
}

impl Rebuild for Net {
    type Input = Var;
    type Config = Sizes;
    const NAME: &'static str = "net";

    fn config(&self) -> Sizes {
        self.sizes.clone()
    }

    fn build(sizes: &Sizes, init: &mut Init) -> Result<Net> {
        let hidden = Linear::new(16, sizes.width, init)?;
        Ok(Net { sizes: sizes.clone(), hidden, head: Linear::new(sizes.width, 3, init)? })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[16])?)])
    }
}

fn net() -> Net {
    Net::build(&Sizes { width: 32, scale: 0.15 }, &mut Init::seed(1)).unwrap()
}

fn batch() -> Tensor {
    Tensor::randn([8, 16], 1.0, &mut Rng::seed(2)).unwrap()
}

fn outputs(model: &impl Forward<Output = Var>) -> Vec<f32> {
    model.forward(&batch().into(), &mut Ctx::eval()).unwrap().value().to_vec().unwrap()
}

#[test]
fn an_own_struct_is_saved_and_loaded_by_its_name_in_float_and_int8_and_with_adapters() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("net.safetensors");
    let kinds = Kinds::built_in().with::<Net>();
    let float = net();
    let mut int8 = float.clone();
    let config = QuantConfig::default().knowingly();
    quantize_model(&mut int8, [Ok(Var::from(batch()))], &config).unwrap();
    let mut adapted = int8.clone();
    let rank = AdapterConfig { rank: 2, alpha: 4.0 };
    adapters::attach(&mut adapted, "hidden", rank, &mut Init::seed(3)).unwrap();
    for model in [float, int8, adapted] {
        save_model(&path, &model, &Provenance::default()).unwrap();
        let metadata = TensorFile::open(&path).unwrap().metadata()["architecture"].clone();
        assert_eq!(metadata, r#"{"architecture":"net","width":32,"scale":0.15}"#);
        let typed: Net = load(&path).unwrap().model;
        let named = load_with(&path, &kinds).unwrap().model;
        assert_eq!((named.kind(), typed.sizes.clone()), ("net", model.sizes.clone()));
        for digest in [digest_params(&typed), digest_params(&*named)] {
            assert_eq!(digest.unwrap(), digest_params(&model).unwrap());
        }
        assert_eq!(outputs(&named), outputs(&model));
        assert_eq!(outputs(&typed), outputs(&model));
    }
}

#[test]
fn a_file_of_an_unknown_kind_names_the_known_ones_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("net.safetensors");
    save_model(&path, &net(), &Provenance::default()).unwrap();
    let error = load_model(&path).err().unwrap();
    let unknown = matches!(
        error.downcast_ref::<FileError>(),
        Some(FileError::Content { problem: ContentError::Kind { kind, .. }, .. }) if kind == "net"
    );
    assert!(unknown, "{error}");
    for part in ["another program's own", "image-text", "mlp", "with::<"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = load::<Mlp>(&path).err().unwrap().to_string();
    assert!(error.contains("\"net\"") && error.contains("mlp"), "{error}");
}

#[test]
fn settings_that_make_no_model_are_an_error_and_not_a_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("net.safetensors");
    for (text, part) in [
        (r#"{"architecture":"net"}"#, "width"),
        (r#"{"architecture":"net","width":-1,"scale":1}"#, "-1"),
        (r#"{"architecture":"net","width":1e300,"scale":1}"#, "settings"),
        (r#"{"architecture":"net","width":281474976710656,"scale":1}"#, "too large"),
        (r#"{"architecture":7}"#, "architecture"),
    ] {
        let metadata = BTreeMap::from([
            ("architecture".to_string(), text.to_string()),
            ("tinytorch_version".to_string(), "0".to_string()),
        ]);
        write_tensors::<&str>(&path, &[], &metadata).unwrap();
        let error = load::<Net>(&path).err().unwrap().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

fn image_text() -> ImageText {
    let config = ImageTextConfig {
        input: [1, 8, 8],
        blocks: vec![CnnBlock { channels: 8, pool: 2 }],
        vocab: 20,
        context: 6,
        pad: 0,
        dim: 16,
        layers: 1,
        heads: 2,
        hidden: 32,
        outputs: 3,
    };
    ImageText::new(&config, &mut Init::seed(0)).unwrap()
}

#[test]
fn a_model_of_two_inputs_is_loaded_by_name_and_quantized_without_its_type() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("both.safetensors");
    save_model(&path, &image_text(), &Provenance::default()).unwrap();
    let mut model: Box<dyn Model> = load_model(&path).unwrap().model;
    let inputs: Vec<Var> = model.example(4).unwrap().iter().map(Var::from).collect();
    let float = model.forward_list(&inputs, &mut Ctx::eval()).unwrap();
    assert_eq!(float[0].shape().dims(), [4, 3]);

    let one = model.forward(&inputs[0], &mut Ctx::eval()).unwrap_err();
    let counted = ModelError::InputCount { got: 1, expected: 2 };
    assert_eq!(one.downcast_ref::<ModelError>(), Some(&counted));

    let config = QuantConfig::new(Activations::Dynamic);
    let report =
        quantize_model(&mut *model as &mut dyn ListModel, [Ok(inputs.clone())], &config).unwrap();
    assert!(3 * report.int8_bytes() < report.float_bytes());
    save_model(&path, &*model, &Provenance::default()).unwrap();
    let loaded = load::<ImageText>(&path).unwrap().model;
    assert_eq!(digest_params(&loaded).unwrap(), digest_params(&*model).unwrap());
}
