//! Gives parsers millions of changed seeds with stable Rust: changes that know what formats are made of
//! (numbers, words, brackets, fields of bytes, fields of messages), so that most get beyond the first check.
//!
//! ```sh
//! cargo run --release --example hammer -- 20000000 safetensors npz csv
//! cargo run --release --example hammer -- 13650000..13660000 onnx --keep
//! ```
//!
//! It ends with an error at the first panic, at the first input that takes more memory than a multiple of its length,
//! and at the first that takes long. Input `n` of a target is the same in every run; the one that failed is in
//! `hammer-TARGET` of the system's temporary folder. With `--keep` every input is written there before it is tried, for
//! those that end the process.

mod bytes;
mod messages;
mod numbers;

use messages::Field;
use numbers::Numbers;
use parsers::{TARGETS, Target};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use tinytorch_kernels::os::alloc::{self, CountingAllocator};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// What a parser may take, whatever its input, and beside that in lengths of the input.
struct Allowed {
    fixed: usize,
    times: usize,
}

fn allowed(target: &str) -> Allowed {
    match target {
        // A byte of a vocabulary is an entry of several maps, which may have 65,536 ids without a token.
        "tokenizer_json" | "tokenizer_bin" | "tokenizer_model" => {
            Allowed { fixed: 16 << 20, times: 1100 }
        }
        // A few bytes may ask for a thousand layers, which take 8 MB before it is seen that they have no values.
        "llama2c" | "model" | "config_json" => Allowed { fixed: 16 << 20, times: 1100 },
        // Constants of 16 million elements may be computed from a few bytes, one operator's working memory beside them.
        "onnx" => Allowed { fixed: 600 << 20, times: 1100 },
        // A byte of a picture may stand for 4096 pixels, each of which has three bytes twice and then three floats.
        "picture" => Allowed { fixed: 2 << 20, times: 4096 * 24 },
        // Deflate packs up to a thousand bytes in one.
        _ => Allowed { fixed: 2 << 20, times: 1100 },
    }
}

/// An input that takes longer, twice, is a hang: other work may hold the processor for seconds.
const LONG: Duration = Duration::from_secs(10);

/// What inputs are made of.
struct Seeds {
    target: &'static str,
    files: Vec<Vec<u8>>,
    /// The same as messages, if they are some.
    messages: Vec<Vec<Field>>,
}

impl Seeds {
    fn of(target: &'static str) -> Seeds {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .expect("a target has seeds")
            .map(|entry| entry.expect("seeds are readable").path())
            .collect();
        paths.sort();
        let read = |path| std::fs::read(path).expect("seeds are readable");
        let files: Vec<Vec<u8>> = paths.iter().map(read).collect();
        let messages = match target {
            "onnx" | "tokenizer_model" => {
                files.iter().map(|file| messages::fields(file).expect("a message")).collect()
            }
            _ => Vec::new(),
        };
        Seeds { target, files, messages }
    }

    /// Input `n`.
    fn input(&self, n: u64, input: &mut Vec<u8>) {
        let mut numbers = Numbers::of_input(n);
        let seed = numbers.below(self.files.len());
        input.clear();
        let is_message = !self.messages.is_empty() && numbers.below(16) > 0;
        if is_message {
            let mut message = self.messages[seed].clone();
            for _ in 0..=numbers.below(5) {
                messages::change(&mut message, &self.messages, &mut numbers);
            }
            messages::bytes(&message, input);
            return;
        }
        input.extend(&self.files[seed]);
        for _ in 0..=numbers.below(5) {
            bytes::change(self.target, input, &self.files, &mut numbers);
        }
        if matches!(self.target, "safetensors" | "model") && numbers.below(4) > 0 {
            bytes::repair_header(input);
        }
    }
}

/// What a target has shown.
#[derive(Default)]
struct Seen {
    most_bytes: usize,
    most_times: f64,
    slowest: Duration,
}

fn hammer(
    name: &'static str,
    parse: Target,
    range: Range<u64>,
    keep: bool,
) -> Result<Seen, String> {
    let (seeds, allowed) = (Seeds::of(name), allowed(name));
    let last = std::env::temp_dir().join(format!("hammer-{name}"));
    let write = |input: &[u8]| std::fs::write(&last, input).map_err(|error| error.to_string());
    let mut seen = Seen::default();
    let mut input = Vec::new();
    let start = Instant::now();
    for n in range {
        seeds.input(n, &mut input);
        if n % 100_000 == 0 {
            eprintln!("{name}: {n} after {:.0} s", start.elapsed().as_secs_f64());
        }
        if keep {
            write(&input)?;
        }
        let before = alloc::stats().map_or(0, |stats| stats.live_bytes);
        alloc::reset_peak();
        let began = Instant::now();
        let parsed = catch_unwind(AssertUnwindSafe(|| parse(&input)));
        let mut took = began.elapsed();
        if took > LONG && parsed.is_ok() {
            let again = Instant::now();
            parse(&input);
            took = took.min(again.elapsed());
        }
        let peak = alloc::stats().map_or(0, |stats| stats.peak_bytes).saturating_sub(before);
        seen.slowest = seen.slowest.max(took);
        seen.most_bytes = seen.most_bytes.max(peak);
        seen.most_times = seen.most_times.max(peak as f64 / input.len().max(1024) as f64);
        let problem = match parsed {
            Err(_) => "panicked".to_string(),
            Ok(()) if peak > allowed.fixed + allowed.times * input.len() => {
                format!("took {peak} bytes")
            }
            Ok(()) if took > LONG => format!("took {took:?}"),
            Ok(()) => continue,
        };
        write(&input)?;
        let (length, path) = (input.len(), last.display());
        return Err(format!("{name}: input {n} of {length} bytes {problem}; it is in {path}"));
    }
    Ok(seen)
}

/// `COUNT` or `FROM..TO`.
fn range(text: &str) -> Option<Range<u64>> {
    match text.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => Some(0..text.parse().ok()?),
    }
}

fn main() -> Result<(), String> {
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let keep = wanted.iter().any(|word| word == "--keep");
    wanted.retain(|word| word != "--keep");
    let usage = "hammer COUNT|FROM..TO [TARGET].. [--keep]";
    let range = wanted.first().and_then(|text| range(text)).ok_or(usage)?;
    for (name, parse) in TARGETS {
        if wanted.len() > 1 && !wanted[1..].iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        let Seen { most_bytes, most_times, slowest } = hammer(name, parse, range.clone(), keep)?;
        println!(
            "{name}: {} inputs in {:.0} s, no crash; at most {most_bytes} bytes, {most_times:.0} times the input (of 1 KiB or more); the slowest took {slowest:?}",
            range.end - range.start,
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
