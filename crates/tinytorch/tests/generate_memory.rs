//! What caches of keys and values hold and what a step takes beside them, by the counters of the heap.
//! One test, since the counters belong to the process.

use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::generate::CacheKind;
use tinytorch::models::{Architecture, GptConfig, Model};
use tinytorch::nn::{Init, KeyValueCache};
use tinytorch_kernels::os::{CountingAllocator, alloc};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

const CONTEXT: usize = 512;
const BLOCKS: usize = 2;
const DIM: usize = 128;

fn model() -> Box<dyn Model> {
    let config = GptConfig {
        vocab: 50,
        context: CONTEXT,
        dim: DIM,
        layers: BLOCKS,
        heads: 2,
        hidden: 64,
        dropout: 0.0,
        ..GptConfig::TALKS_GPT
    };
    Architecture::Gpt(config).build(&mut Init::seed(1)).unwrap()
}

fn live() -> usize {
    alloc::stats().unwrap().live_bytes
}

/// Runs the next tokens, and returns by how much the heap grew at most meanwhile.
fn step(model: &dyn Model, caches: &mut [Box<dyn KeyValueCache>], tokens: usize) -> usize {
    let ids = Tensor::full(7i64, [1, tokens]).unwrap().into();
    alloc::reset_peak();
    let before = live();
    let decoder = model.as_decoder().unwrap();
    decoder.forward_cached(&ids, caches, &mut Ctx::eval()).unwrap();
    alloc::stats().unwrap().peak_bytes - before
}

/// Bytes that caches hold when they are made and when they are full, and the most that a step took
/// beside them early and late.
fn held(model: &dyn Model, kind: CacheKind) -> ([usize; 2], [usize; 2]) {
    let before = live();
    let sizes = model.as_decoder().unwrap().sizes();
    let mut caches = kind.caches(sizes, 1, CONTEXT).unwrap();
    let empty = live() - before;
    step(model, &mut caches, 10);
    let early = step(model, &mut caches, 1);
    step(model, &mut caches, CONTEXT - 12);
    let late = step(model, &mut caches, 1);
    ([empty, live() - before], [early, late])
}

#[test]
fn caches_are_allocated_once_and_int8_takes_about_a_quarter() {
    let model = model();
    // One thread: which of several takes its working memory in which pass is a matter of chance.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    // The first pass allocates what a thread keeps.
    pool.install(|| [CacheKind::F32, CacheKind::Int8].map(|kind| held(&*model, kind)));
    let [float, int8] =
        pool.install(|| [CacheKind::F32, CacheKind::Int8].map(|kind| held(&*model, kind)));
    let ([f32, f32_full], f32_steps) = float;
    let ([int8, int8_full], int8_steps) = int8;
    let numbers = BLOCKS * 2 * DIM * CONTEXT;
    assert_eq!((f32, int8), (f32_full, int8_full), "nothing grows");
    assert!((4 * numbers..4 * numbers + 1024).contains(&f32), "{f32}");
    let share = int8 as f64 / f32 as f64;
    println!("int8 holds {share:.4} of the float cache; steps took {f32_steps:?}, {int8_steps:?}");
    assert!(share < 0.27, "{share}");
    for [early, late] in [f32_steps, int8_steps] {
        // Only the scores of a head are as long as the sequence: 4 bytes of each position, twice.
        assert!(late <= early + 16 * CONTEXT, "{early} bytes became {late}");
        assert!(late < f32 / 16, "{late}: no copy of a cache is made");
    }
}
