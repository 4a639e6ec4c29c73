//! A large perceptron in int8 holds about a quarter of the heap that it holds in float, whatever has
//! been done with it. One test, since the counters of the heap belong to the process.

use std::path::Path;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::io::{Provenance, load_model, save_model};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::{Forward, Init};
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::{Rng, Tensor};
use tinytorch_kernels::os::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Live heap of a model after each step of its use, beyond what there was before it was loaded.
#[derive(Debug)]
struct Held {
    loaded: usize,
    after_pass: usize,
    after_backward: usize,
}

fn held_by(file: &Path, input: &Tensor) -> Held {
    let before = alloc::stats().unwrap().live_bytes;
    let held = || alloc::stats().unwrap().live_bytes - before;
    let model = load_model(file).unwrap().model;
    let loaded = held();
    let output = model.forward(&Var::from(input), &mut Ctx::eval()).unwrap();
    assert_eq!(output.shape().dims(), [4, 10]);
    drop(output);
    let after_pass = held();
    let mut ctx = Ctx::eval().recording();
    let x = ctx.input(input);
    let loss = model.forward(&x, &mut ctx).unwrap().sum(&mut ctx).unwrap();
    let gradients = ctx.backward(&loss).unwrap();
    let gradient = gradients.of_input(&x).unwrap();
    assert!(gradient.to_vec::<f32>().unwrap().iter().any(|&g| g != 0.0));
    drop((gradients, loss, ctx));
    Held { loaded, after_pass, after_backward: held() }
}

#[test]
fn an_int8_mlp_holds_a_quarter_of_the_float_heap_after_a_pass_and_after_a_backward() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let (float_file, int8_file) = (path("float.safetensors"), path("int8.safetensors"));
    let widths = MlpConfig { inputs: 1024, hidden: vec![2048, 1024], outputs: 10 };
    let mut model = Architecture::Mlp(widths).build(&mut Init::seed(1)).unwrap();
    save_model(&float_file, &*model, &Provenance::default()).unwrap();
    let input = Tensor::rand([4, 1024], 0.0, 1.0, &mut Rng::seed(2)).unwrap();
    let config = QuantConfig { destroys_floats_knowingly: true, ..QuantConfig::default() };
    quantize_model(&mut *model, [Ok((&input).into())], &config).unwrap();
    save_model(&int8_file, &*model, &Provenance::default()).unwrap();
    drop(model);

    // The first use allocates what the process keeps, such as threads.
    held_by(&float_file, &input);
    held_by(&int8_file, &input);
    let (float, int8) = (held_by(&float_file, &input), held_by(&int8_file, &input));
    let weights = 4 * (1024 * 2048 + 2048 * 1024 + 1024 * 10);
    assert!(float.loaded >= weights, "{float:?}");
    assert!(float.after_pass >= float.loaded && float.after_backward >= float.loaded, "{float:?}");
    for held in [int8.loaded, int8.after_pass, int8.after_backward] {
        let share = held as f64 / float.loaded as f64;
        println!("int8 holds {share:.4} of the float heap");
        assert!(share <= 0.26, "{share}: {int8:?} of {float:?}");
    }
    assert!(int8.after_backward <= int8.loaded + 4096, "nothing is kept: {int8:?}");
}
