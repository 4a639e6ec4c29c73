//! Gives parsers millions of changed seeds with stable Rust: changes that know what formats are made of
//! (numbers, words, fields of bytes, nested parts), so that most get beyond the first check.
//!
//! ```sh
//! cargo run --release --example hammer -- 20000000 safetensors npz csv
//! ```
//!
//! It ends with an error at the first panic, and at the first input that takes more memory than a multiple
//! of its length; input `n` of a target is the same in every run, and the last is in `hammer-TARGET` of the
//! system's temporary folder.

use parsers::{TARGETS, Target};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use tinytorch_kernels::os::alloc::{self, CountingAllocator};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// What a parser may take, whatever its input: buffers of inflating, and the 65,536 ids without a token that a
/// vocabulary may have, which take 8 MB.
const FIXED_BYTES: usize = 16 << 20;

/// What it may take beside that, in lengths of the input. A byte of a vocabulary is an entry of several
/// maps; deflate packs up to a thousand bytes in one, which have a limit of their own.
const TIMES_THE_INPUT: usize = 1100;

/// SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        let most = (len - start).min(1 << self.below(8));
        start..start + self.below(most + 1)
    }
}

/// Numbers at which arithmetic goes wrong, as a text has them.
const NUMBERS: [&str; 18] = [
    "0",
    "1",
    "-1",
    "2",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "-1e999",
    "0.5",
    "NaN",
    "0000000000000000000000000000000000001",
    "1e",
];

/// Values that stand where others are expected.
const VALUES: [&str; 12] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "[[[[[[[[]]]]]]]]",
    "{\"a\":{\"a\":{}}}",
    "\"\\u0000\"",
    "\"\u{feff}\u{10ffff}\"",
    "\"<0xFF>\"",
    "-0",
    "[0,1,2]",
];

/// The same as fields of a binary file.
const FIELDS: [u64; 16] = [
    0,
    1,
    2,
    7,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Where words, numbers and strings of a text begin and end.
fn words(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|&&byte| is_word(byte)).count();
        if len > 0 {
            found.push(at..at + len);
        }
        at += len.max(1);
    }
    found
}

/// One change of an input.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], numbers: &mut Numbers) {
    let len = input.len();
    match numbers.below(10) {
        0 if len > 0 => input[numbers.below(len)] ^= 1 << numbers.below(8),
        1 if len > 0 => {
            let width = 1 << numbers.below(4);
            let at = numbers.below(len);
            let end = (at + width).min(len);
            let near = numbers.below(3) as u64;
            let field = FIELDS[numbers.below(FIELDS.len())].wrapping_add(near).wrapping_sub(1);
            let mut bytes = field.to_le_bytes();
            if numbers.below(4) == 0 {
                bytes[..width].reverse();
            }
            input[at..end].copy_from_slice(&bytes[..end - at]);
        }
        2 => input.truncate(numbers.below(len + 1)),
        3 => drop(input.drain(numbers.range(len))),
        4 => {
            let part = input[numbers.range(len)].to_vec();
            let at = numbers.below(len + 1);
            input.splice(at..at, part);
        }
        5 => {
            let other = &seeds[numbers.below(seeds.len())];
            let part = other[numbers.range(other.len())].to_vec();
            input.splice(numbers.range(len), part);
        }
        kind => {
            let words = words(input);
            if words.is_empty() {
                return;
            }
            let word = words[numbers.below(words.len())].clone();
            let other = words[numbers.below(words.len())].clone();
            match kind {
                6 => drop(input.splice(word, numbers.of(&NUMBERS).bytes())),
                7 => {
                    // The quotes of a string go with it.
                    let is_quoted = word.start > 0
                        && input[word.start - 1] == b'"'
                        && input.get(word.end) == Some(&b'"');
                    let whole = if is_quoted { word.start - 1..word.end + 1 } else { word };
                    input.splice(whole, numbers.of(&VALUES).bytes());
                }
                8 => {
                    let other = input[other].to_vec();
                    input.splice(word, other);
                }
                _ => {
                    let until = word.start.max(other.end);
                    let part = input[word.start..until].to_vec();
                    let times = 1 + numbers.below(4);
                    for _ in 0..times {
                        input.splice(until..until, part.iter().copied());
                    }
                }
            }
        }
    }
    input.truncate(1 << 16);
}

/// Makes the length that begins a safetensors file that of its header again.
fn repair_header(input: &mut [u8]) {
    let Some(body) = input.get(8..) else { return };
    let (mut depth, mut end) = (0i32, body.len());
    for (at, byte) in body.iter().enumerate() {
        depth += i32::from(*byte == b'{') - i32::from(*byte == b'}');
        if depth == 0 {
            end = at + 1;
            break;
        }
    }
    let spaces = body[end..].iter().take_while(|&&byte| byte == b' ').count();
    input[..8].copy_from_slice(&((end + spaces) as u64).to_le_bytes());
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("a target has seeds")
        .map(|entry| entry.expect("seeds are readable").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("seeds are readable")).collect()
}

/// What a target has shown.
#[derive(Default)]
struct Seen {
    most_bytes: usize,
    most_times: f64,
    slowest: Duration,
}

fn hammer(name: &str, parse: Target, count: u64) -> Result<Seen, String> {
    let seeds = seeds(name);
    let last = std::env::temp_dir().join(format!("hammer-{name}"));
    let mut seen = Seen::default();
    let mut input = Vec::new();
    let start = Instant::now();
    for n in 0..count {
        let mut numbers = Numbers(n.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let seed = &seeds[numbers.below(seeds.len())];
        input.clear();
        input.extend(seed);
        for _ in 0..=numbers.below(5) {
            change(&mut input, &seeds, &mut numbers);
        }
        if matches!(name, "safetensors" | "model") && numbers.below(4) > 0 {
            repair_header(&mut input);
        }
        if n % 1_000_000 == 0 && n > 0 {
            eprintln!("{name}: {n} after {:.0} s", start.elapsed().as_secs_f64());
        }
        let before = alloc::stats().map_or(0, |stats| stats.live_bytes);
        alloc::reset_peak();
        let began = Instant::now();
        let parsed = catch_unwind(AssertUnwindSafe(|| parse(&input)));
        let took = began.elapsed();
        let peak = alloc::stats().map_or(0, |stats| stats.peak_bytes).saturating_sub(before);
        seen.slowest = seen.slowest.max(took);
        seen.most_bytes = seen.most_bytes.max(peak);
        seen.most_times = seen.most_times.max(peak as f64 / input.len().max(1024) as f64);
        let problem = match parsed {
            Err(_) => "panicked".to_string(),
            Ok(()) if peak > FIXED_BYTES + TIMES_THE_INPUT * input.len() => {
                format!("took {peak} bytes")
            }
            Ok(()) if took > Duration::from_secs(20) => format!("took {took:?}"),
            Ok(()) => continue,
        };
        std::fs::write(&last, &input).map_err(|error| error.to_string())?;
        let (length, path) = (input.len(), last.display());
        return Err(format!("{name}: input {n} of {length} bytes {problem}; it is in {path}"));
    }
    Ok(seen)
}

fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().and_then(|count| count.parse().ok());
    let count = count.ok_or("hammer COUNT [TARGET]..")?;
    let wanted: Vec<String> = arguments.collect();
    for (name, parse) in TARGETS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let start = Instant::now();
        let Seen { most_bytes, most_times, slowest } = hammer(name, parse, count)?;
        println!(
            "{name}: {count} inputs in {:.0} s, no crash; at most {most_bytes} bytes, {most_times:.0} times the input (of 1 KiB or more); the slowest took {slowest:?}",
            start.elapsed().as_secs_f64()
        );
    }
    Ok(())
}
