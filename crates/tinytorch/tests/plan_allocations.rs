//! A plan in steady state allocates nothing, and reports what it holds. The counters belong to the
//! process, so that this binary has a single test.

mod plan_common;

use plan_common::{cnn, ids, mlp, quantize, quantized_transformer, randn, residual, transformers};
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::Elements;
use tinytorch::int8::Granularity;
use tinytorch::nn::{Forward, Init, Module, Path, Visitor, VisitorMut};
use tinytorch::plan::Plan;
use tinytorch::quant::Activations;
use tinytorch::tensor::Element;
use tinytorch_kernels::os::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

fn allocations() -> usize {
    alloc::stats().unwrap().allocations
}

fn live_bytes() -> usize {
    alloc::stats().unwrap().live_bytes
}

/// Rounds of 100 runs after which no thread meets a piece of work for the first time any more; which
/// thread takes which piece is up to rayon.
const WARM_UP: usize = 50;

/// Runs two inputs alternately, and counts the allocations of 100 runs in the round that has the fewest.
fn allocations_of_100_runs<'a, T: Element>(plan: &mut Plan, inputs: &'a [Tensor; 2]) -> usize
where
    Elements<'a>: From<&'a [T]>,
{
    let mut outputs =
        inputs.each_ref().map(|x| vec![0f32; plan.output_shape(x.shape()).unwrap().len()]);
    let mut fewest = usize::MAX;
    for _ in 0..WARM_UP {
        let before = allocations();
        for i in 0..100 {
            let (x, out) = (&inputs[i % 2], &mut outputs[i % 2]);
            plan.run_into(x.as_slice::<T>().unwrap(), x.shape(), out).unwrap();
        }
        fewest = fewest.min(allocations() - before);
        if fewest == 0 {
            break;
        }
    }
    fewest
}

fn assert_steady<T: Element, M: Forward<Output = Var> + ?Sized>(
    what: &str,
    model: &M,
    inputs: &[Tensor; 2],
) where
    for<'a> Elements<'a>: From<&'a [T]>,
{
    let mut plan = Plan::compile(model, &inputs[0]).unwrap();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let count = pool.install(|| allocations_of_100_runs::<T>(&mut plan, inputs));
        assert_eq!(count, 0, "{what} on {threads} threads");
    }
}

/// Batches of 1 and 32 samples.
fn batches(sample: &[usize]) -> [Tensor; 2] {
    [1, 32].map(|n| randn(&[[n].as_slice(), sample].concat(), 6))
}

/// Sequences of two lengths, the second in a batch that is worth two threads.
fn sequences() -> [Tensor; 2] {
    [ids(1, 16), ids(9, 31)]
}

/// Half of a number and one more, and the positive part of that: a chain of functions of each element.
struct Halved;

impl Module for Halved {
    fn visit<'a>(&'a self, _: &mut Path, _: &mut dyn Visitor<'a>) {}

    fn visit_mut<'a>(&'a mut self, _: &mut Path, _: &mut dyn VisitorMut<'a>) {}
}

impl Forward for Halved {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> tinytorch::Result<Var> {
        let number = |value: f32| Tensor::full(value, [1]).map(Var::from);
        x.mul(&number(0.5)?, ctx)?.add(&number(1.0)?, ctx)?.relu(ctx)
    }
}

#[test]
fn steady_state_allocates_nothing_and_memory_is_as_reported() {
    // First, since threads of a pool that is gone free their memory some time later, and on one thread, whose working
    // memory is there before anything is counted.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let mut warm = cnn();
        quantize(&mut warm, &[1, 28, 28], Activations::Static, Granularity::PerChannel);
        Plan::compile(&warm, &randn(&[1, 1, 28, 28], 5)).unwrap();
        drop(warm);
        the_plan_alone_holds_int8_weights_and_reported_memory();
    });
    assert_steady::<f32, _>("float perceptron", &mlp(&[784, 512, 256, 10]), &batches(&[784]));
    assert_steady::<f32, _>("chain", &Halved, &batches(&[4, 96, 97]));
    for activations in [Activations::Static, Activations::Dynamic] {
        let mut model = mlp(&[784, 512, 256, 10]);
        quantize(&mut model, &[784], activations, Granularity::PerChannel);
        assert_steady::<f32, _>("int8 perceptron", &model, &batches(&[784]));
        let mut model = cnn();
        quantize(&mut model, &[1, 28, 28], activations, Granularity::PerChannel);
        assert_steady::<f32, _>("int8 convolutions", &model, &batches(&[1, 28, 28]));
        let mut model = residual();
        quantize(&mut model, &[3, 9, 9], activations, Granularity::PerChannel);
        assert_steady::<f32, _>("int8 residual network", &model, &batches(&[3, 9, 9]));
    }
    for architecture in transformers() {
        let float = architecture.build(&mut Init::seed(7)).unwrap();
        assert_steady::<i64, _>("float transformer", &*float, &sequences());
        for activations in [Activations::Static, Activations::Dynamic, Activations::Float] {
            for wide in [false, true] {
                let model = quantized_transformer(&architecture, activations, wide);
                let what = format!("{activations:?}, wide {wide}, of {architecture:?}");
                assert_steady::<i64, _>(&what, &*model, &sequences());
            }
        }
    }
}

fn the_plan_alone_holds_int8_weights_and_reported_memory() {
    let sample = randn(&[1, 1, 28, 28], 5);
    let start = live_bytes();
    let mut model = cnn();
    quantize(&mut model, &[1, 28, 28], Activations::Static, Granularity::PerChannel);
    let parameters = live_bytes() - start;
    let mut plan = Plan::compile(&model, &sample).unwrap();
    let compiled = live_bytes() - start;
    // What describes the plan is a few kilobytes; a copy of the panels would be 20.
    assert!(compiled - parameters < 12_000, "compiling took {} bytes", compiled - parameters);
    drop(model);
    let weights = plan.weight_bytes();
    let float_bytes = 4 * (16 * 9 + 32 * 16 * 9 + 10 * 1568);
    assert!(weights < float_bytes / 3, "{weights} bytes of weights");
    let held = live_bytes() - start;
    assert!(held < weights + 12_000, "the plan holds {held} bytes for weights of {weights}");

    let mut out = [0f32; 10];
    alloc::reset_peak();
    let before = live_bytes();
    plan.run_into(sample.as_slice::<f32>().unwrap(), sample.shape(), &mut out).unwrap();
    let peak = alloc::stats().unwrap().peak_bytes - before;
    let reported = plan.arena_bytes() + plan.scratch_bytes();
    assert!(peak <= reported, "a run took {peak} bytes, {reported} were reported");
    // The two largest neighbors: the first convolution's output and its input.
    assert!(plan.arena_bytes() < 16 * 784 + 16 * 196 + 64, "arena of {}", plan.arena_bytes());
}
