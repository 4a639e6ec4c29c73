//! The memory of a model in a process that holds nothing else.
//!
//! [`run`] measures in the process that calls it, which therefore should be a fresh one: a hidden
//! command, or a test binary with one test. [`spawn`] starts such a process and asks it.
//!
//! What is measured is the deployed form: the file as it is loaded, run by a [`Plan`]. All copies
//! of the model stay in memory, and one plan at a time is compiled from each of them and runs the
//! passes, on one thread where resident memory counts: which threads of several have worked by then, and
//! hold what they needed, changes from run to run. The copies make weights heavy enough to be seen among pages. What a process has once,
//! however many weights it holds, is there from the start: code, threads, a plan's working memory,
//! and the layers as structures without values, which are the same for float and int8. What a plan
//! holds of its own beside that, and a copy of the weights in particular, shows in the peaks.
//!
//! ```
//! use tinytorch::{files, models::{Architecture, Kinds}, nn::Init};
//! use tinytorch::profile::process::{ProbeRequest, ProbeTask, run};
//!
//! let file = std::env::temp_dir().join(format!("probe-doc-{}.safetensors", std::process::id()));
//! let model = Architecture::preset("digits-mlp")?.build(&mut Init::seed(0))?;
//! files::save_model(&file, &*model, &files::Provenance::default())?;
//!
//! let task = ProbeTask::Resident { copies: 3, inputs: vec![vec![1, 64]], passes: 2 };
//! let report = run(&ProbeRequest { file: file.clone(), task }, &Kinds::built_in())?;
//! assert_eq!(report.copies, 3);
//! assert_eq!(report.peak_of_passes, None, "no allocator that counts is installed here");
//! # std::fs::remove_file(&file).ok();
//! # Ok::<(), tinytorch::Error>(())
//! ```

use super::ProfileError;
pub use super::probe::{Memory, ProbeReport, ProbeRequest, ProbeTask};
pub(crate) use super::spawn::ANSWERS;
pub use super::spawn::{TIMEOUT, spawn, spawn_within};
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, Var};
use crate::files::{TensorFile, load_into, read_description};
use crate::models::{self, Kinds, Model, ModelError};
use crate::nn::{Init, Module};
use crate::plan::Plan;
use crate::tensor::{Shape, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::path::Path;
use std::time::{Duration, Instant};
use tinytorch_kernels::kept_by_threads;
use tinytorch_kernels::os::{KeepFreed, ProcessMemory, ProcessMemoryError, alloc, give_back_freed};

/// Bytes of float weights from which pages and allocator bins no longer blur a comparison.
const HEAVY: usize = 64 << 20;

/// Most copies of a model: one of a small ONNX graph takes 0.1 MB and 1 ms beside its values.
const MOST_COPIES: usize = 1000;

/// Passes of each copy, at most.
const MOST_PASSES: usize = 100;

/// Passes of all copies together, where each runs [`PASSES_TO_PEAK`] of them at least.
const ALL_PASSES: usize = 1000;

/// Passes of a peak: the first allocates working memory, the second runs in what is there.
const PASSES_TO_PEAK: usize = 2;

/// How long passes whose number is no part of a comparison may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that an op may take on the tape, in the graph and in the program together while a plan is
/// compiled, whatever the size of its weights. Such notes are 2.6 kB per op in `digits-mlp`.
const NOTES_WHILE_COMPILING: u64 = 4 << 10;

/// Bytes that compiling, a compiled plan and a pass may take whatever the model does: of a single op they are 7.1, 3.1 and 3.5 kB.
const NOTES_OF_A_PLAN: u64 = 2 << 10;

/// Bytes that an op may keep in a compiled plan: 0.5 kB in `digits-cnn`, 1.6 kB in `talks-gpt`.
const NOTES_KEPT: u64 = 2 << 10;

/// Bytes that an op may take in a graph that a compiled plan keeps beside it, to trace it
/// anew.
const NOTES_OF_A_GRAPH: u64 = 1 << 10;

/// Bytes that an op may allocate in a pass beside its values: 0.2 kB in `digits-mlp`, 0.5 kB in
/// `talks-gpt`.
const NOTES_OF_A_PASS: u64 = 1 << 10;

/// How much heap a part of deploying has used, and how much the engine states that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapClaim {
    /// The part.
    pub part: &'static str,
    /// Bytes used.
    pub used: u64,
    /// Bytes stated.
    pub stated: u64,
}

impl HeapClaim {
    /// Bytes used beyond those stated.
    pub fn excess(&self) -> u64 {
        self.used.saturating_sub(self.stated)
    }
}

impl ProbeReport {
    /// Growth of resident memory by loading.
    pub fn resident_by_load(&self) -> Option<u64> {
        Some(self.after_load.resident?.saturating_sub(self.before.resident?))
    }

    /// Growth of resident memory by loading and running.
    pub fn resident_by_passes(&self) -> Option<u64> {
        Some(self.after_passes.resident?.saturating_sub(self.before.resident?))
    }

    /// Heap beyond that of the loaded model, part by part: while it is compiled, for its activations;
    /// what is kept with the compiled plan, which are packed float weights, working memory of float kernels
    /// and notes; and while it runs, for the arena, the working
    /// memory, the input and the output. `None` if the process does not count its allocations.
    pub fn heap_claims(&self) -> Option<[HeapClaim; 3]> {
        let (loaded, compiled) = (self.after_load.live_heap?, self.compiled?);
        let graph = if self.traces_anew { self.ops * NOTES_OF_A_GRAPH } else { 0 };
        let held = self.arena_bytes + self.scratch_bytes + self.kept_by_threads;
        let claim = |part, used: u64, from, stated| HeapClaim {
            part,
            used: used.saturating_sub(from),
            stated,
        };
        Some([
            claim(
                "compiling",
                self.peak_of_compiling?,
                loaded,
                self.activation_bytes
                    + held
                    + self.packed_bytes
                    + NOTES_OF_A_PLAN
                    + self.ops * NOTES_WHILE_COMPILING,
            ),
            claim(
                "the compiled plan",
                compiled,
                loaded,
                self.kept_by_threads
                    + self.packed_bytes
                    + NOTES_OF_A_PLAN
                    + self.ops * NOTES_KEPT
                    + graph,
            ),
            claim(
                "running",
                self.peak_of_passes?,
                compiled,
                held + self.ends_bytes + NOTES_OF_A_PLAN + self.ops * NOTES_OF_A_PASS,
            ),
        ])
    }
}

impl Memory {
    fn now() -> Result<Memory> {
        // Otherwise the hole that a dropped plan leaves counts as memory of the models.
        give_back_freed();
        let live_heap = alloc::stats().map(|stats| stats.live_bytes as u64);
        let process = match ProcessMemory::now() {
            Ok(process) => Some(process),
            Err(ProcessMemoryError::Unsupported { .. }) => None,
            Err(error) => return Err(ProfileError::from(error).into()),
        };
        Ok(Memory {
            resident: process.map(|memory| memory.resident),
            private: process.map(|memory| memory.private),
            live_heap,
        })
    }
}

/// How many copies of a model make 64 MB of float parameters, at least one and at most 1000. The float and the
/// int8 form of a model get the same number.
pub fn copies_for(model: &dyn Module) -> usize {
    HEAVY.div_ceil((model.param_count() * size_of::<f32>()).max(1)).clamp(1, MOST_COPIES)
}

/// How many passes each of so many copies runs: all together 1000, each at least 2 and at most 100.
pub fn passes_for(copies: usize) -> usize {
    (ALL_PASSES / copies.max(1)).clamp(PASSES_TO_PEAK, MOST_PASSES)
}

/// Measures in this process, a model of one of these kinds.
///
/// # Errors
/// As [`load_with`](crate::files::load_with) and [`Plan::run`], and [`ProfileError`] for 0 copies or passes
/// and for a system that has memory figures but cannot give them.
pub fn run(request: &ProbeRequest, kinds: &Kinds) -> Result<ProbeReport> {
    run_with(request, &|description| kinds.build(description, &mut Init::absent()))
}

/// [`run`] for a program that deploys models in a way of its own: `frame` makes one without values from a
/// [description](Model::description).
///
/// # Errors
/// As [`run`], and what `frame` reports.
pub fn run_with(request: &ProbeRequest, frame: &Frame<'_>) -> Result<ProbeReport> {
    let file = &request.file;
    match &request.task {
        ProbeTask::Resident { copies, inputs, passes } => {
            resident(file, frame, *copies, inputs, *passes)
        }
        ProbeTask::PeakHeap { inputs, passes } => peak_heap(file, frame, inputs, *passes),
    }
}

/// Makes a model without values.
pub type Frame<'a> = dyn Fn(&str) -> Result<Box<dyn Model>> + 'a;

fn resident(
    file: &Path,
    frame: &Frame<'_>,
    copies: usize,
    shapes: &[Vec<usize>],
    passes: usize,
) -> Result<ProbeReport> {
    for (what, count) in [("the number of copies", copies), ("the number of passes", passes)] {
        if count == 0 {
            return Err(ProfileError::Zero { what }.into());
        }
    }
    let description = read_description(file)?;
    let mut uncounted = frame(&description)?;
    load_into(&mut *uncounted, &TensorFile::open(file)?)?;
    let inputs = inputs_of(&*uncounted, shapes)?;
    let worker = Workers::one()?;
    let mut plan = worker.run(|| models::compile(&*uncounted, &inputs))?;
    let passes = Passes { most: passes, patience: Duration::MAX };
    // What a process keeps once, such as the working memory of its threads, is there before anything
    // counts.
    worker.run(|| passes.run(&mut plan, &inputs))?;
    // A large model is held once beside its plan, and the hole that it leaves goes back to the system; of a small one parts
    // would lie in it that nothing counts.
    let _uncounted = (copies > 1).then_some(uncounted);
    let frames = (0..copies).map(|_| frame(&description)).collect::<Result<Vec<_>>>()?;
    measure(file, frames, Some(plan), &inputs, passes, &worker)
}

/// The threads that run plans.
struct Workers(Option<ThreadPool>);

impl Workers {
    /// One, which has the same to do in every process.
    fn one() -> Result<Workers> {
        let pool = ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|error| ProfileError::Thread { problem: error.to_string() })?;
        Ok(Workers(Some(pool)))
    }

    /// All that the process has.
    const ALL: Workers = Workers(None);

    /// Memory now, without what the heap of the one thread has free at its end, where a plan that was dropped has lain: its
    /// activations of 3 MB counted as memory of eight models of 2.3 MB each.
    fn memory(&self) -> Result<Memory> {
        if self.0.is_some() {
            self.run(|| drop(KeepFreed::new()));
        }
        Memory::now()
    }

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

fn peak_heap(
    file: &Path,
    frame: &Frame<'_>,
    shapes: &[Vec<usize>],
    passes: usize,
) -> Result<ProbeReport> {
    if passes == 0 {
        return Err(ProfileError::Zero { what: "the number of passes" }.into());
    }
    let frame = frame(&read_description(file)?)?;
    let inputs = inputs_of(&*frame, shapes)?;
    let passes = Passes { most: passes, patience: PATIENCE };
    measure(file, vec![frame], None, &inputs, passes, &Workers::ALL)
}

/// How often a plan runs.
#[derive(Clone, Copy)]
struct Passes {
    most: usize,
    /// What all passes may take before no other begins, but for those that a peak needs.
    patience: Duration,
}

impl Passes {
    /// Runs them, and says how many there were and how many bytes the outputs of one have.
    fn run(self, plan: &mut Plan, inputs: &[Tensor]) -> Result<(usize, u64)> {
        let (start, mut output_bytes) = (Instant::now(), 0);
        for passes in 0..self.most {
            if passes >= PASSES_TO_PEAK && start.elapsed() > self.patience {
                return Ok((passes, output_bytes));
            }
            output_bytes = bytes(&models::run(plan, inputs)?);
        }
        Ok((self.most, output_bytes))
    }
}

/// Inputs of these shapes, the same in every process.
fn inputs_of(model: &dyn Model, shapes: &[Vec<usize>]) -> Result<Vec<Tensor>> {
    let samples = model.samples()?;
    let (got, expected) = (shapes.len(), samples.len());
    if got != expected {
        return Err(ModelError::InputCount { got, expected }.into());
    }
    samples.iter().zip(shapes).map(|(sample, shape)| sample.fill(&Shape::new(shape)?)).collect()
}

/// Loads the values of models that have none, runs the models, and measures in between. A plan that
/// is there from the start makes room for the first, so that the figures hold one plan throughout.
fn measure(
    file: &Path,
    mut models: Vec<Box<dyn Model>>,
    mut plan: Option<Plan>,
    inputs: &[Tensor],
    passes: Passes,
    workers: &Workers,
) -> Result<ProbeReport> {
    // Threads allocate as they start and as they first look for work, which belongs to the process: counted
    // while some were still starting, a model seemed to keep 15 KB more than it does.
    rayon::broadcast(|_| ());
    let stored = TensorFile::open(file)?;
    let before = workers.memory()?;
    for model in &mut models {
        load_into(&mut **model, &stored)?;
    }
    let after_load = workers.memory()?;
    let (mut peak_of_compiling, mut compiled, mut peak_of_passes) = (None, None, None);
    let (mut ran, mut output_bytes) = (0, 0);
    for model in &models {
        drop(plan.take());
        alloc::reset_peak();
        let deployed = plan.insert(workers.run(|| models::compile(&**model, inputs))?);
        let stats = alloc::stats();
        peak_of_compiling = peak_of_compiling.max(stats.map(|stats| stats.peak_bytes as u64));
        compiled = stats.map(|stats| stats.live_bytes as u64);
        alloc::reset_peak();
        (ran, output_bytes) = workers.run(|| passes.run(deployed, inputs))?;
        peak_of_passes = peak_of_passes.max(alloc::stats().map(|stats| stats.peak_bytes as u64));
    }
    let after_passes = workers.memory()?;
    let (Some(model), Some(plan)) = (models.last(), plan) else {
        return Err(ProfileError::Zero { what: "the number of copies" }.into());
    };
    let mut outputs = Outputs::default();
    let vars: Vec<Var> = inputs.iter().map(Var::from).collect();
    model.forward_list(&vars, &mut Ctx::eval().observed(&mut outputs))?;
    Ok(ProbeReport {
        copies: models.len(),
        passes: ran,
        before,
        after_load,
        after_passes,
        peak_of_compiling,
        compiled,
        peak_of_passes,
        activation_bytes: bytes(inputs) + outputs.bytes,
        arena_bytes: plan.arena_bytes() as u64,
        scratch_bytes: plan.scratch_bytes() as u64,
        packed_bytes: plan.packed_bytes() as u64,
        kept_by_threads: kept_by_threads() as u64,
        ends_bytes: bytes(inputs) + output_bytes,
        ops: outputs.ops,
        traces_anew: model.unrolls(),
    })
}

fn bytes(tensors: &[Tensor]) -> u64 {
    tensors.iter().map(|tensor| tensor.bytes() as u64).sum()
}

/// Counts ops and adds up what they compute.
#[derive(Default)]
struct Outputs {
    ops: u64,
    bytes: u64,
}

impl Observer for Outputs {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        self.ops += 1;
        self.bytes += run.output.bytes() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Architecture, MlpConfig};

    #[test]
    fn the_work_of_a_probe_is_bounded() {
        let copies = |inputs| {
            let config = MlpConfig { inputs, hidden: vec![], outputs: 1 };
            copies_for(&*Architecture::Mlp(config).build(&mut Init::absent()).unwrap())
        };
        // With a bias: 1 MB, 68 kB, 67 kB, 8 bytes.
        assert_eq!([(1 << 18) - 1, 16_999, 16_777 - 1, 1].map(copies), [64, 987, 1000, 1000]);
        assert_eq!([0, 1, 10, 11, 64, 499, 1000].map(passes_for), [100, 100, 100, 90, 15, 2, 2]);
    }
}
