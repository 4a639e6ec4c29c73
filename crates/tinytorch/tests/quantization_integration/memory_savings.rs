//! An int8 model takes a quarter of the memory: as bytes of the allocator and pages of the operating
//! system, in a process of its own, whatever is done with it.

use super::child;
use super::support::{RowTransformer, cnn, mlp, output, plain, quantized, transformer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::files::{Provenance, TensorFile, load_into, load_model, save_model, save_params};
use tinytorch::models::{Architecture, CnnBlock, CnnConfig, GptConfig, Kinds, MlpConfig, Model};
use tinytorch::nn::{Forward, Init, Module};
use tinytorch::profile::process::{ProbeReport, ProbeRequest, ProbeTask, copies_for, run};
use tinytorch::profile::{ParameterCount, profile_passes};
use tinytorch::quant::{Activations, ModelSize, QuantReport, compare_model_sizes, quantize_int8};
use tinytorch::quant::{is_weight, quantize_model};
use tinytorch::tensor::Dtype;
use tinytorch::{Rng, Tensor};
use tinytorch_kernels::os::alloc;

fn live() -> usize {
    alloc::stats().unwrap().live_bytes
}

/// 1024-2048-1024-10, 16.8 MB in float, in files: as floats and as int8.
struct Files {
    _folder: TempDir,
    float: PathBuf,
    int8: PathBuf,
}

fn large_mlp() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let (float, int8) = (path("float.safetensors"), path("int8.safetensors"));
    let widths = MlpConfig { inputs: 1024, hidden: vec![2048, 1024], outputs: 10 };
    let mut model = Architecture::Mlp(widths).build(&mut Init::seed(1)).unwrap();
    save_model(&float, &*model, &Provenance::default()).unwrap();
    let input = Var::from(Tensor::rand([4, 1024], 0.0, 1.0, &mut Rng::seed(2)).unwrap());
    quantize_model(&mut *model, [Ok(input)], &plain(Activations::Static)).unwrap();
    save_model(&int8, &*model, &Provenance::default()).unwrap();
    Files { _folder: folder, float, int8 }
}

/// Live heap beyond what there was before a model was loaded, in bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    loaded: usize,
    after_forward: usize,
    after_backward: usize,
    /// The most that there was while the forward pass ran.
    peak_of_forward: usize,
}

impl Held {
    /// Loads a model with `load`, and uses it on `input`.
    fn by<M: Forward<Output = Var>>(load: impl Fn() -> M, input: &Tensor) -> Held {
        let use_it = || {
            let before = live();
            let held = || live() - before;
            let model = load();
            let loaded = held();
            alloc::reset_peak();
            drop(output(&model, &input.into()));
            let peak_of_forward = alloc::stats().unwrap().peak_bytes - before;
            let after_forward = held();
            let mut ctx = Ctx::eval().recording();
            let x = ctx.input(input);
            let loss = model.forward(&x, &mut ctx).unwrap().sum(&mut ctx).unwrap();
            let gradients = ctx.backward(&loss).unwrap();
            let gradient = gradients.of_input(&x).unwrap();
            assert!(gradient.to_vec::<f32>().unwrap().iter().any(|&g| g != 0.0));
            drop((gradients, loss, ctx, x));
            Held { loaded, after_forward, after_backward: held(), peak_of_forward }
        };
        // What a process keeps from its first passes, such as the working memory of a thread, is no
        // part of the model; the other threads may take theirs in a later pass.
        let uses: Vec<Held> = (0..6).map(|_| use_it()).collect();
        let least = |of: fn(&Held) -> usize| uses.iter().map(of).min().unwrap();
        Held {
            loaded: least(|held| held.loaded),
            after_forward: least(|held| held.after_forward),
            after_backward: least(|held| held.after_backward),
            peak_of_forward: least(|held| held.peak_of_forward),
        }
    }
}

#[test]
fn test_int8_tensor_actual_memory() {
    if child::asked().is_some() {
        let x = Tensor::randn([1 << 20], 1.0, &mut Rng::seed(1)).unwrap();
        let before = live();
        let q = quantize_int8(&x).unwrap();
        let grown = live() - before;
        assert_eq!(q.values.dtype(), Dtype::I8);
        return child::answer(&grown);
    }
    let test = "quantization_memory_savings::test_int8_tensor_actual_memory";
    let bytes: usize = child::ask(test, Path::new("a tensor"));
    assert!((1 << 20..(1 << 20) + 512).contains(&bytes), "{bytes} bytes for 2^20 values");
}

/// What can be had of a weight with `k` inputs: one byte and its share of a scale for each four.
fn bound(k: usize) -> f64 {
    4.0 * k as f64 / (k as f64 + 4.0)
}

#[test]
fn test_compression_ratio_approximately_4x() {
    let images = Var::from(Tensor::rand([8, 1, 8, 8], 0.0, 1.0, &mut Rng::seed(2)).unwrap());
    let reports: [QuantReport; 3] = [
        quantized(mlp(), &images, Activations::Static).1,
        quantized(cnn(), &images, Activations::Static).1,
        quantized(transformer(), &images, Activations::Dynamic).1,
    ];
    for weight in reports.iter().flat_map(|report| &report.weights) {
        let ratio = weight.float_bytes as f64 / weight.int8_bytes as f64;
        let k = weight.shape.len() / weight.shape[0];
        assert_eq!(ratio, bound(k), "{}", weight.name);
    }
    let Files { float, int8, _folder } = large_mlp();
    let size = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    let ratio = size(&float) / size(&int8);
    assert!((3.9..4.0).contains(&ratio), "the file is {ratio} times smaller");
    let file = TensorFile::open(&int8).unwrap();
    let model = load_model(&float).unwrap().model;
    for (name, _) in model.named_params().into_iter().filter(|(_, param)| is_weight(param)) {
        let info = file.info(&name).unwrap();
        assert_eq!(info.bytes(), info.shape.len(), "{name} is stored as bytes");
    }
}

#[test]
fn test_memory_savings_persist_during_inference() {
    let input = Tensor::rand([4, 1024], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
    if let Some(file) = child::asked() {
        return child::answer(&Held::by(|| load_model(&file).unwrap().model, &input));
    }
    let files = large_mlp();
    let test = "quantization_memory_savings::test_memory_savings_persist_during_inference";
    let [float, int8]: [Held; 2] = [&files.float, &files.int8].map(|file| child::ask(test, file));
    let weights = 4 * (1024 * 2048 + 2048 * 1024 + 1024 * 10);
    assert!(float.loaded >= weights, "{float:?}");
    assert!(float.after_forward >= float.loaded && float.after_backward >= float.loaded);
    for held in [int8.loaded, int8.after_forward, int8.after_backward] {
        let share = held as f64 / float.loaded as f64;
        println!("int8 holds {share:.4} of the float heap");
        assert!(share <= 0.26, "{share}: {int8:?} of {float:?}");
    }
    assert!(int8.after_backward <= int8.loaded + 4096, "nothing is kept: {int8:?}");
    // Four rows of activations, and no float copy of a weight.
    assert!(int8.peak_of_forward < int8.loaded + (256 << 10), "{int8:?}");
}

/// The same for a convolutional network and a transformer, whose layers are of every kind.
#[test]
fn test_quantization_actual_memory_reduction() {
    let images = Tensor::rand([1, 1, 8, 8], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
    if let Some(file) = child::asked() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let held = if name.starts_with("rows") {
            let load = || {
                let mut model = RowTransformer::new(&mut Init::absent()).unwrap();
                load_into(&mut model, &TensorFile::open(&file).unwrap()).unwrap();
                model
            };
            Held::by(load, &images)
        } else {
            Held::by(|| load_model(&file).unwrap().model, &images)
        };
        return child::answer(&held);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let var = Var::from(&images);
    let none = Default::default();
    let (int8, _) = quantized(transformer(), &var, Activations::Dynamic);
    save_params(path("rows-float"), transformer(), &none).unwrap();
    save_params(path("rows-int8"), &int8, &none).unwrap();
    let save = |name: &str, model: &dyn Model| {
        save_model(path(name), model, &Provenance::default()).unwrap();
    };
    for (name, float) in [("mlp", mlp()), ("cnn", cnn())] {
        let (int8, _) = quantized(float, &var, Activations::Static);
        save(&format!("{name}-float"), &**float);
        save(&format!("{name}-int8"), &*int8);
    }
    let test = "quantization_memory_savings::test_quantization_actual_memory_reduction";
    // What a layer takes beside its values, 400 to 500 bytes, is a part of these small models.
    for (name, least) in [("mlp", 3.4), ("cnn", 3.75), ("rows", 2.4)] {
        let held = |form| child::ask::<Held>(test, &path(&format!("{name}-{form}")));
        let (float, int8) = (held("float"), held("int8"));
        for (float, int8) in [
            (float.loaded, int8.loaded),
            (float.after_forward, int8.after_forward),
            (float.after_backward, int8.after_backward),
        ] {
            let ratio = float as f64 / int8 as f64;
            assert!(ratio > least, "{name}: {ratio}; {float} in float, {int8} in int8");
        }
    }
}

/// A convolutional network and a decoder whose weights outweigh what passes through them.
fn of_heavy_weights() -> [Box<dyn Model>; 2] {
    let block = |channels| CnnBlock { channels, pool: 1 };
    let (input, blocks) = ([16, 4, 4], vec![block(256), block(256)]);
    let cnn = CnnConfig { input, blocks, hidden: vec![], outputs: 10 };
    let gpt = GptConfig {
        vocab: 64,
        context: 4,
        dim: 256,
        layers: 1,
        heads: 4,
        hidden: 1024,
        dropout: 0.0,
        ..GptConfig::TALKS_GPT
    };
    [Architecture::Cnn(cnn), Architecture::Gpt(gpt)]
        .map(|architecture| architecture.build(&mut Init::seed(1)).unwrap())
}

/// While a pass runs, int8 layers take no more than float layers for what passes through, and there is at no
/// time a float copy of a weight: of one sample, and of 32. On one thread, since each has working memory of its own,
/// of which that of float kernels is kept from pass to pass.
#[test]
fn test_peak_memory_of_convolution_and_attention() {
    const SIZES: [usize; 2] = [1, 32];
    if let Some(file) = child::asked() {
        let model = || load_model(&file).unwrap().model;
        let beyond = |batch| {
            let model = model();
            let input = Var::from(&model.example(batch).unwrap()[0]);
            // What a process keeps from its first passes is no part of a pass.
            let pass = |_| {
                let before = live();
                alloc::reset_peak();
                drop(output(&model, &input));
                alloc::stats().unwrap().peak_bytes - before
            };
            (0..6).map(pass).min().unwrap()
        };
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        return child::answer(&one_thread.install(|| SIZES.map(beyond)));
    }
    let folder = tempfile::tempdir().unwrap();
    for float in of_heavy_weights() {
        let path = |form: &str| folder.path().join(format!("{}-{form}", float.kind()));
        let example = Var::from(&float.example(4).unwrap()[0]);
        let (int8, report) = quantized(&float, &example, Activations::Dynamic);
        save_model(path("float"), &*float, &Provenance::default()).unwrap();
        save_model(path("int8"), &*int8, &Provenance::default()).unwrap();
        let test = "quantization_memory_savings::test_peak_memory_of_convolution_and_attention";
        let beyond = |form| child::ask::<[usize; 2]>(test, &path(form));
        let (in_float, in_int8) = (beyond("float"), beyond("int8"));
        let copy = report.weights.iter().map(|weight| weight.float_bytes).max().unwrap();
        for ((batch, float_bytes), bytes) in SIZES.into_iter().zip(in_float).zip(in_int8) {
            let kind = float.kind();
            println!("{kind}, {batch}: {float_bytes} in float, {bytes} in int8, a copy is {copy}");
            assert!(bytes < float_bytes + copy / 2, "{kind}, {batch}: {bytes}, {float_bytes}");
        }
        assert!(in_int8[0] < copy / 4, "{in_int8:?} where a copy is {copy}");
    }
}

#[test]
fn test_profiler_measures_savings_correctly() {
    if let Some(file) = child::asked() {
        let before = live();
        let model = load_model(file).unwrap().model;
        let grown = live() - before;
        let size = ModelSize::of(&*model).unwrap();
        let layers = model.named_params().len();
        return child::answer(&(grown, size, ParameterCount::of(&*model), layers));
    }
    let files = large_mlp();
    let test = "quantization_memory_savings::test_profiler_measures_savings_correctly";
    let mut payloads = Vec::new();
    for file in [&files.float, &files.int8] {
        let (grown, size, count, params): (usize, ModelSize, ParameterCount, usize) =
            child::ask(test, file);
        assert_eq!(size.payload_bytes, count.bytes);
        let heap = size.heap_bytes.unwrap();
        assert!(heap >= count.bytes && heap <= count.bytes + 512 * params as u64, "{size:?}");
        assert!(grown as u64 >= count.bytes, "{grown} of {count:?}");
        assert!(grown as u64 <= count.bytes + 1024 * params as u64, "{grown} of {count:?}");
        payloads.push(count.bytes);
    }
    let float = load_model(&files.float).unwrap().model;
    let int8 = load_model(&files.int8).unwrap().model;
    let sizes = compare_model_sizes(&*float, &*int8).unwrap();
    assert_eq!([sizes.float.payload_bytes, sizes.int8.payload_bytes], payloads[..]);
    // A pass reads a quarter of the bytes, as the profiler counts them.
    let input = Tensor::ones([1, 1024]).unwrap();
    let read = |model: &dyn Model| profile_passes(model, &input, 1).unwrap().read_bytes as f64;
    let ratio = read(&*float) / read(&*int8);
    assert!((3.8..4.0).contains(&ratio), "{ratio}");
}

#[test]
fn test_os_level_memory_reduction() {
    if let Some(file) = child::asked() {
        let copies = copies_for(&*load_model(&file).unwrap().model);
        let task = ProbeTask::Resident { copies, inputs: vec![vec![1, 1024]], passes: 100 };
        return child::answer(&run(&ProbeRequest { file, task }, &Kinds::built_in()).unwrap());
    }
    let files = large_mlp();
    let test = "quantization_memory_savings::test_os_level_memory_reduction";
    let [float, int8]: [ProbeReport; 2] =
        [&files.float, &files.int8].map(|file| child::ask(test, file));
    if float.before.resident.is_none() {
        println!("this system does not tell the memory of a process");
        return;
    }
    for of in [ProbeReport::resident_by_load, ProbeReport::resident_by_passes] {
        let ratio = of(&float).unwrap() as f64 / of(&int8).unwrap() as f64;
        assert!(ratio >= 3.5, "{ratio}: {float:?}, {int8:?}");
    }
}
