//! `bench generate`: what a token costs, with and without a cache.

use crate::Verdict;
use crate::commands::generate::Cache;
use crate::language::{decoder, quantize};
use crate::output::{Screen, progress_bar};
use crate::table::Table;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tinytorch::Tensor;
use tinytorch::autograd::Ctx;
use tinytorch::files::open_model;
use tinytorch::models::{Architecture, Decoder, Model};
use tinytorch::nn::{Forward, Init, KeyValueCache};
use tinytorch::stats::Quartiles;
use tinytorch_kernels::os::alloc;

/// Time a token at growing positions: without a cache, with one of floats, with one of int8.
///
/// Each position is timed in turn with all caches; figures are medians. Without a cache a token costs a
/// pass over all positions, with one the pass over its own.
#[derive(Args)]
pub(super) struct Generation {
    /// A language model as for `generate`; by default one of the sizes of stories260K, of random weights
    file: Option<PathBuf>,
    /// Turn the weights into int8 first
    #[arg(long)]
    int8: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// How often a token is timed at each position with each cache, in turn.
const ROUNDS: usize = 15;

/// Tokens of one round, as many as take so long.
const TIME: Duration = Duration::from_millis(4);

/// The stable form of `--json`.
#[derive(Serialize)]
struct Outcome {
    model: String,
    int8: bool,
    /// Bytes for all positions of the context; without a cache 0.
    caches: Vec<Held>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Held {
    cache: Cache,
    bytes: usize,
}

#[derive(Serialize)]
struct Row {
    position: usize,
    cache: Cache,
    microseconds: f64,
}

impl Generation {
    pub(super) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        const DEFAULT: &str = "stories260K";
        let (name, mut model) = match &self.file {
            Some(file) => (file.display().to_string(), open_model(file)?.model),
            None => (DEFAULT.into(), Architecture::preset(DEFAULT)?.build(&mut Init::seed(0))?),
        };
        decoder(&*model, Path::new(&name))?;
        if self.int8 {
            quantize(&mut *model)?;
        }
        let decoder = decoder(&*model, Path::new(&name))?;
        let (caches, rows) = measure(&*model, decoder)?;
        let outcome = Outcome { model: name, int8: self.int8, caches, rows };
        match self.json {
            true => screen.json(&outcome)?,
            false => outcome.print(screen)?,
        }
        Ok(Verdict::Good)
    }
}

/// 16, 32, 64, ... and the last position.
fn positions(context: usize) -> Vec<usize> {
    let powers = (4..).map(|power| 1usize << power).take_while(|&p| p < context);
    powers.chain([context]).collect()
}

fn measure(model: &dyn Model, decoder: &dyn Decoder) -> Result<(Vec<Held>, Vec<Row>)> {
    let sizes = decoder.sizes();
    let (mut held, mut rows) = (Vec::new(), Vec::new());
    let mut stepper = Vec::new();
    for &cache in Cache::value_variants() {
        let before = bytes_of_this_thread();
        let caches = match cache.kind() {
            Some(kind) => kind.caches(sizes, 1, sizes.context)?,
            None => Vec::new(),
        };
        let bytes = usize::try_from(bytes_of_this_thread() - before).unwrap_or(0);
        held.push(Held { cache, bytes });
        stepper.push(Stepper { cache, model, decoder, caches, ctx: Ctx::eval() });
    }
    let positions = positions(sizes.context);
    let bar = progress_bar("positions", positions.len());
    for position in bar.wrap_iter(positions.into_iter()) {
        let ids = Tensor::full(1i64, [1, position])?;
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); stepper.len()];
        for stepper in &mut stepper {
            stepper.fill(&ids)?;
        }
        for _ in 0..ROUNDS {
            for (stepper, times) in stepper.iter_mut().zip(&mut times) {
                times.push(stepper.seconds(&ids)?);
            }
        }
        rows.extend(stepper.iter().zip(times).map(|(stepper, times)| Row {
            position,
            cache: stepper.cache,
            microseconds: 1e6 * Quartiles::of(&times).median,
        }));
    }
    Ok((held, rows))
}

/// What this thread has allocated and not freed: what others do meanwhile is no cache.
fn bytes_of_this_thread() -> isize {
    alloc::of_this_thread().unwrap_or(0)
}

/// Computes the last token of a sequence over and over.
struct Stepper<'m> {
    cache: Cache,
    model: &'m dyn Model,
    decoder: &'m dyn Decoder,
    caches: Vec<Box<dyn KeyValueCache>>,
    ctx: Ctx<'static>,
}

impl Stepper<'_> {
    /// Makes the cache hold all positions but the last.
    fn fill(&mut self, ids: &Tensor) -> Result<()> {
        let held = self.caches.first().map_or(0, |cache| cache.positions());
        let new = ids.slice(1, held..ids.shape()[1] - 1)?.contiguous()?;
        if !self.caches.is_empty() && !new.is_empty() {
            self.decoder.forward_cached(&new.into(), &mut self.caches, &mut self.ctx)?;
        }
        Ok(())
    }

    fn token(&mut self, ids: &Tensor) -> Result<()> {
        if self.caches.is_empty() {
            self.model.forward(&ids.into(), &mut self.ctx)?;
            return Ok(());
        }
        let before = ids.shape()[1] - 1;
        let last = ids.slice(1, before..before + 1)?.into();
        self.decoder.forward_cached(&last, &mut self.caches, &mut self.ctx)?;
        self.caches.iter_mut().for_each(|cache| cache.truncate(before));
        Ok(())
    }

    /// Seconds for a token, over as many as fill a round.
    fn seconds(&mut self, ids: &Tensor) -> Result<f64> {
        let (started, mut tokens) = (Instant::now(), 0);
        while tokens == 0 || started.elapsed() < TIME {
            self.token(ids)?;
            tokens += 1;
        }
        Ok(started.elapsed().as_secs_f64() / f64::from(tokens))
    }
}

impl Outcome {
    fn print(&self, screen: &mut Screen) -> Result<()> {
        let mut table = Table::new(["position", "no cache", "f32 cache", "int8 cache"]);
        for rows in self.rows.chunks(Cache::value_variants().len()) {
            let time = |cache| {
                let row = rows.iter().find(|row| row.cache == cache);
                row.map_or_else(String::new, |row| format!("{:.0} us", row.microseconds))
            };
            let position = rows.first().map_or(0, |row| row.position);
            let [none, f32, int8] = [Cache::None, Cache::F32, Cache::Int8].map(time);
            table.row([position.to_string(), none, f32, int8]);
        }
        writeln!(screen, "{table}")?;
        for Held { cache, bytes } in self.caches.iter().filter(|held| held.bytes > 0) {
            let name = if *cache == Cache::Int8 { "int8" } else { "f32" };
            writeln!(screen, "the {name} cache holds {bytes} bytes for the whole context")?;
        }
        Ok(())
    }
}
