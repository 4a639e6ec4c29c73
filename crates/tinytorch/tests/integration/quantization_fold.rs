//! Batch norms fold into convolutions that have no bias: what is left over goes with the int8 weight
//! through passes, plans and files.

use std::collections::BTreeMap;
use tinytorch::audit::{AuditOptions, Evidence, Subject};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::Examples;
use tinytorch::files::{
    ContentError, FileError, TensorFile, load_into, save_params, write_tensors,
};
use tinytorch::graph::ConvGeometry;
use tinytorch::int8::Granularity;
use tinytorch::models::{Architecture, ResnetConfig};
use tinytorch::nn::{BatchNorm2d, Conv2d, Forward, Init, Module, Path, Visitor, VisitorMut};
use tinytorch::plan::Plan;
use tinytorch::quant::{
    Activations, QuantConfig, Scheme, compare_model_sizes, quantize_model, relative_error,
};
use tinytorch::{Result, Rng, Tensor};

/// `relu(norm(conv(x)))`, where the convolution has no bias.
#[derive(Module, Clone)]
struct Block {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl Forward for Block {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.conv.forward(x, ctx)?;
        self.norm.forward(&x, ctx)?.relu(ctx)
    }
}

fn rand(shape: &[usize], low: f32, high: f32, seed: u64) -> Tensor {
    Tensor::rand(shape, low, high, &mut Rng::seed(seed)).unwrap()
}

/// A block whose norm has seen something.
fn block(channels: [usize; 2], groups: usize) -> Block {
    let mut init = Init::seed(1);
    let geometry = ConvGeometry::default().with_padding(1).with_groups(groups);
    let [from, to] = channels;
    let conv = Conv2d::without_bias(from, to, [3, 3], geometry, &mut init).unwrap();
    let mut norm = BatchNorm2d::new(to, &mut init).unwrap();
    for (param, low, seed) in [
        (&mut norm.weight, -1.5, 2),
        (&mut norm.bias, -0.5, 3),
        (&mut norm.running_mean, -0.5, 4),
        (&mut norm.running_var, 0.5, 5),
    ] {
        *param.value_mut().unwrap() = rand(&[to], low, low + 2.0, seed);
    }
    Block { conv, norm }
}

fn absent(channels: [usize; 2]) -> Block {
    let mut init = Init::absent();
    let geometry = ConvGeometry::default().with_padding(1);
    let [from, to] = channels;
    let conv = Conv2d::without_bias(from, to, [3, 3], geometry, &mut init).unwrap();
    Block { conv, norm: BatchNorm2d::new(to, &mut init).unwrap() }
}

fn images(channels: usize) -> Tensor {
    rand(&[4, channels, 9, 7], -1.0, 1.0, 6)
}

fn quantized(block: &Block, granularity: Granularity, activations: Activations) -> Block {
    let mut int8 = block.clone();
    let config = QuantConfig::new(Scheme::new(granularity, activations));
    let batch = Var::from(images(block.conv.geometry().groups.max(3)));
    let report = quantize_model(&mut int8, [Ok(batch)], &config).unwrap();
    assert_eq!(report.folded, ["norm"]);
    assert!(report.changed.is_empty(), "the norm's tensors stay, and there is no bias");
    assert!(int8.norm.folded);
    int8
}

fn outputs(block: &Block, x: &Tensor) -> Tensor {
    block.forward(&x.into(), &mut Ctx::eval()).unwrap().into_value()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

const EVERY_WAY: [(Granularity, Activations); 4] = [
    (Granularity::PerChannel, Activations::Static),
    (Granularity::Blocks, Activations::Static),
    (Granularity::PerTensor, Activations::Dynamic),
    (Granularity::PerChannel, Activations::Float),
];

#[test]
fn the_folded_layer_is_near_the_float_one_in_every_way_of_quantizing() {
    for (channels, groups) in [([3, 8], 1), ([6, 6], 6), ([4, 10], 2)] {
        let float = block(channels, groups);
        let x = images(channels[0]);
        for (granularity, activations) in EVERY_WAY {
            let mut int8 = float.clone();
            let config = QuantConfig::new(Scheme::new(granularity, activations));
            quantize_model(&mut int8, [Ok((&x).into())], &config).unwrap();
            let (want, got) = (outputs(&float, &x), outputs(&int8, &x));
            let norm = |t: &Tensor| t.mul(t).unwrap().sum().unwrap().sqrt();
            let error = norm(&got.sub(&want).unwrap()) / norm(&want);
            // One scale for all channels is coarse where the norm has stretched them unequally.
            assert!(error < 0.025, "{channels:?} {granularity:?} {activations:?}: {error}");
            let mut plan = Plan::compile(&int8, &x).unwrap();
            assert_eq!(bits(&plan.run(&x).unwrap()), bits(&got));
            assert!(plan.steps().iter().all(|step| step.op != "batch_norm2d"));
        }
    }
}

#[test]
fn the_shift_is_what_the_norm_adds() {
    let float = block([3, 8], 1);
    let int8 = quantized(&float, Granularity::PerChannel, Activations::Static);
    let value = |param: &tinytorch::autograd::Param| param.value().unwrap().to_vec().unwrap();
    let (weight, bias): (Vec<f32>, Vec<f32>) = (value(&float.norm.weight), value(&float.norm.bias));
    let mean: Vec<f32> = value(&float.norm.running_mean);
    let variance: Vec<f32> = value(&float.norm.running_var);
    let shift = int8.conv.weight.int8().unwrap().shift().unwrap();
    for (i, &shift) in shift.iter().enumerate() {
        let expected = bias[i] - mean[i] * weight[i] / (variance[i] + 1e-5).sqrt();
        assert!((shift - expected).abs() < 1e-5, "{shift} {expected}");
    }
    let sizes = compare_model_sizes(&float.conv, &int8.conv).unwrap();
    assert_eq!(sizes.int8.payload_bytes, (8 * 27 + 8 * 4 + 8 * 4) as u64);
}

#[test]
fn a_file_keeps_the_shift_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["1", "2"].map(|n| folder.path().join(n));
    for (granularity, activations) in EVERY_WAY {
        let int8 = quantized(&block([3, 8], 1), granularity, activations);
        save_params(&first, &int8, &BTreeMap::new()).unwrap();
        let file = TensorFile::open(&first).unwrap();
        assert_eq!(file.info("conv.weight_shift").unwrap().shape.dims(), [8]);
        let mut loaded = absent([3, 8]);
        load_into(&mut loaded, &file).unwrap();
        assert_eq!(loaded.conv.weight.int8(), int8.conv.weight.int8());
        assert!(loaded.norm.folded);
        save_params(&second, &loaded, &BTreeMap::new()).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
        let x = images(3);
        assert_eq!(bits(&outputs(&int8, &x)), bits(&outputs(&loaded, &x)));
    }
}

#[test]
fn a_shift_that_cannot_be_added_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let int8 = quantized(&block([3, 8], 1), Granularity::PerChannel, Activations::Static);
    save_params(&path, &int8, &BTreeMap::new()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let with_shift = |shift: Tensor| -> ContentError {
        let tensor = |name: &str| match name {
            "conv.weight_shift" => shift.clone(),
            other => file.tensor(other).unwrap(),
        };
        let tensors: Vec<(&str, Tensor)> =
            file.tensors().map(|(name, _)| (name, tensor(name))).collect();
        let damaged = folder.path().join("damaged.safetensors");
        write_tensors(&damaged, &tensors, file.metadata()).unwrap();
        let mut model = absent([3, 8]);
        let error = load_into(&mut model, &TensorFile::open(&damaged).unwrap()).unwrap_err();
        assert!(model.conv.weight.int8().is_none() && !model.norm.folded);
        match error.downcast().unwrap() {
            FileError::Content { problem, .. } => problem,
            other => panic!("{other:?}"),
        }
    };
    let problem = with_shift(Tensor::ones([7]).unwrap());
    assert!(matches!(problem, ContentError::Shape { .. }), "{problem}");
    let problem = with_shift(Tensor::from_vec(vec![1i64; 8], [8]).unwrap());
    assert!(matches!(problem, ContentError::Dtype { .. }), "{problem}");
    let problem = with_shift(Tensor::full(f32::NAN, [8]).unwrap());
    assert!(matches!(problem, ContentError::Int8 { .. }), "{problem}");
}

/// A small residual network whose norms have seen something, and what was made of it.
fn subject() -> Subject {
    let config = ResnetConfig {
        input: [3, 8, 8],
        mean: vec![0.5; 3],
        std: vec![0.25; 3],
        width: 4,
        blocks: 1,
        outputs: 5,
    };
    let mut float = Architecture::Resnet(config).build(&mut Init::seed(3)).unwrap();
    for (i, (name, param)) in float.named_params_mut().into_iter().enumerate() {
        let low = if name.contains("running_mean") { -0.5 } else { 0.5 };
        if name.contains("bn") {
            let shape = param.shape();
            *param.value_mut().unwrap() = rand(&shape, low, low + 1.0, i as u64);
        }
    }
    let images = rand(&[16, 3, 8, 8], 0.0, 1.0, 9);
    let mut int8 = float.clone();
    let config = QuantConfig::default().knowingly();
    let report = quantize_model(&mut *int8, [Ok((&images).into())], &config).unwrap();
    let labels = Tensor::from_vec(vec![0i64; 16], [16]).unwrap();
    let held_out = Examples::new(images, labels).unwrap();
    Subject::new("small", &*float, &*int8, held_out).unwrap().quantized_by(&config, &report)
}

#[test]
fn an_audit_compares_folded_layers_with_their_norms() {
    let subject = subject();
    let evidence = Evidence::gather(&subject, &AuditOptions::default()).unwrap();
    assert_eq!(evidence.layers.len(), 8);
    for layer in &evidence.layers {
        assert!(layer.ran_in_int8(), "{}: {}", layer.name, layer.kernel.name);
        // The means that the last layer reads hardly differ between these images.
        let limit = if layer.op == "conv2d" { 0.03 } else { 0.1 };
        assert!(layer.own_error < limit, "{}: {}", layer.name, layer.own_error);
        let range = layer.weight.int8.as_ref().unwrap();
        assert!((layer.weight.high - range.max).abs() <= 1e-5 * range.max, "{}", layer.name);
    }
}

/// What a [`Block`] can do instead, so that its norm must not become part of its convolution.
#[derive(Clone, Copy)]
enum Way {
    /// The convolution's output is read once more.
    ReadTwice,
    /// The convolution runs twice.
    RunTwice,
    /// Something lies between the convolution and the norm.
    Apart,
}

/// A [`Block`] of three channels that goes another way.
#[derive(Clone)]
struct Other(Block, Way);

impl Module for Other {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        self.0.visit(path, visitor);
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        self.0.visit_mut(path, visitor);
    }
}

impl Forward for Other {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let Other(Block { conv, norm }, way) = self;
        let y = conv.forward(x, ctx)?;
        match way {
            Way::ReadTwice => norm.forward(&y, ctx)?.add(&y, ctx),
            Way::RunTwice => {
                let y = norm.forward(&y, ctx)?;
                conv.forward(&y, ctx)
            }
            Way::Apart => {
                let y = y.relu(ctx)?;
                norm.forward(&y, ctx)
            }
        }
    }
}

#[test]
fn a_norm_stays_where_its_convolution_cannot_do_it_alone() {
    let x = images(3);
    for way in [Way::ReadTwice, Way::RunTwice, Way::Apart] {
        let float = Other(block([3, 3], 1), way);
        let mut int8 = float.clone();
        let batch = Var::from(x.clone());
        let report = quantize_model(&mut int8, [Ok(batch)], &QuantConfig::default()).unwrap();
        assert!(report.folded.is_empty(), "{:?}", report.folded);
        assert!(!int8.0.norm.folded);
        assert!(int8.0.conv.weight.int8().unwrap().shift().is_none());
        let of = |model: &Other| {
            model.forward(&Var::from(x.clone()), &mut Ctx::eval()).unwrap().into_value()
        };
        let error = relative_error(&of(&int8), &of(&float)).unwrap();
        assert!(error < 0.05, "{error}");
    }
}
