//! Runs tinytorch and other engines in turn, each in a process of its own, on the same models and data, and
//! prints how their times compare: `cargo run --release -- gemm`. README.md says how to read the tables.

mod case;
mod cases;
mod comparison;
mod crates;
mod engine;
mod figures;
mod gpt;
mod machine;
mod networks;
mod nodes;
mod ours;
mod process;
mod protocol;
mod serve;
mod table;

use anyhow::{Result, ensure};
use case::Case;
use cases::{Published, Section};
use clap::Parser;
use comparison::{Effort, compare};
use engine::Engine;
use process::{Process, Start};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use tinytorch::Isa;

/// Compare tinytorch with the engines that are installed.
///
/// The variable PYTHON names the Python that the packages are installed in, `python3` if it is not set.
#[derive(Parser)]
struct Arguments {
    /// What to compare; everything if nothing is named
    #[arg(value_enum)]
    sections: Vec<Section>,
    /// Numbers of threads, each of which is compared for itself
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// How often each engine has its turn at a case
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Length of a turn, of which the first third is not counted
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Only cases whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Published weights of ResNet-20, a safetensors file with PyTorch's names, to compare with random ones
    #[arg(long, requires = "cifar10")]
    resnet20: Option<PathBuf>,
    /// The images for them, a file in the binary form of CIFAR-10
    #[arg(long, requires = "resnet20")]
    cifar10: Option<PathBuf>,
    /// A model to compare; may be given several times
    #[arg(long, value_name = "FILE")]
    onnx: Vec<PathBuf>,
    /// Be an engine that is compared, on the first number of threads
    #[arg(long, hide = true)]
    worker: Option<Engine>,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    Isa::from_env()?;
    ensure!(arguments.rounds > 0, "0 rounds measure nothing: give --rounds at least 1");
    ensure!(
        arguments.seconds > 0.0 && arguments.seconds < 3600.0,
        "a turn of {} s: give --seconds a positive number below 3600",
        arguments.seconds
    );
    ensure!(
        arguments.threads.iter().all(|threads| (1..=1024).contains(threads)),
        "a number of threads lies between 1 and 1024"
    );
    if let (Some(engine), Some(threads)) = (arguments.worker, arguments.threads.first()) {
        return work(engine, *threads);
    }
    if arguments.sections.is_empty() {
        let has_cases = |section: &Section| *section != Section::Onnx || !arguments.onnx.is_empty();
        arguments.sections = Section::ALL.into_iter().filter(has_cases).collect();
    }
    let folder = tempfile::tempdir()?;
    heading(&arguments);
    let mut told = BTreeSet::new();
    for &section in &arguments.sections {
        run(section, &arguments, folder.path(), &mut told)?;
    }
    Ok(())
}

fn heading(arguments: &Arguments) {
    let threads: Vec<String> = arguments.threads.iter().map(usize::to_string).collect();
    println!("# tinytorch and others\n");
    println!(
        "{}, {} logical CPUs; tinytorch on {}; {} threads; medians of {} rounds of {} s.",
        machine::cpu(),
        available_parallelism().map_or(1, usize::from),
        Isa::active().name(),
        threads.join(" and "),
        arguments.rounds,
        arguments.seconds,
    );
}

/// Prints the table of a section. `told` holds what was printed of engines before.
fn run(
    section: Section,
    arguments: &Arguments,
    folder: &Path,
    told: &mut BTreeSet<String>,
) -> Result<()> {
    let effort = Effort { rounds: arguments.rounds, seconds: arguments.seconds };
    println!("\n## {}", section.title());
    let published = match (&arguments.resnet20, &arguments.cifar10) {
        (Some(weights), Some(images)) => {
            Some(Published { weights: weights.clone(), images: images.clone() })
        }
        _ => None,
    };
    let mut cases = section.cases(published.as_ref(), &arguments.onnx)?;
    cases.retain(|case| case.name.contains(&arguments.only));
    if cases.is_empty() {
        println!("\nNo case of this name.");
        return Ok(());
    }
    let mut is_open = false;
    for &threads in &arguments.threads {
        let (mut engines, mut news) = start(section, threads, folder)?;
        news.retain(|line| told.insert(line.clone()));
        if !news.is_empty() {
            println!("\n- {}", news.join("\n- "));
        }
        if !is_open || !news.is_empty() {
            print!("\n{}", table::head());
            is_open = true;
        }
        for planned in &cases {
            let place = tempfile::tempdir_in(folder)?;
            let case = planned.write(place.path())?;
            let rows = compare(&case, &mut engines, effort)?;
            print!("{}", table::rows(&case.name, threads, &rows));
        }
    }
    Ok(())
}

/// The engines of a section, and which versions they are or why they are not there.
fn start(
    section: Section,
    threads: usize,
    folder: &Path,
) -> Result<(Vec<(&'static str, Process)>, Vec<String>)> {
    let mut engines = Vec::new();
    let mut lines = Vec::new();
    for engine in section.engines() {
        let log = folder.join(format!("{}.log", engine.name()));
        lines.push(match Process::start(engine.command(threads)?, &log)? {
            Start::Ready(process) => {
                let version = process.version.clone();
                engines.push((engine.name(), process));
                version
            }
            Start::Skipped(why) if why.starts_with(engine.name()) => format!("skipped: {why}"),
            Start::Skipped(why) => format!("skipped: {}, {why}", engine.name()),
        });
    }
    Ok((engines, lines))
}

/// Is an engine until its input ends. All of it runs inside of the pool, as a program would that cares for
/// microseconds: handing work to a pool from outside costs several.
fn work(engine: Engine, threads: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let name = engine.name();
    let version = format!("{name} {}", machine::crate_version(name));
    let prepare = |case: &Case| match engine {
        Engine::Tinytorch => ours::prepare(case),
        _ => crates::prepare(engine, case),
    };
    pool.install(|| {
        serve::serve(name, version, prepare, std::io::stdin().lock(), std::io::stdout())
    })
}
