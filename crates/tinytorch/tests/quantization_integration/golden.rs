//! What the parts of the library gave when their figures were recorded, in `figures.txt`.
//!
//! A line holds a part, how many values it gives, their mean and their root mean square. Another instruction set or
//! mathematical library rounds otherwise, so that they are held to a ten-thousandth; `tests/golden.rs` holds more
//! of the library to the bit. A change that is meant to change results records them anew:
//!
//! ```text
//! TINYTORCH_GOLDEN=record cargo test --release --test quantization_integration 01_to_15
//! ```

use super::parts::Figure;
use std::path::PathBuf;

/// How far a figure may be from the recorded one, as a share of the root mean square. Between AVX-512 and scalar
/// code they differ by up to 3e-8.
const TOLERANCE: f64 = 1e-4;

/// Asserts that the figures are those that are stored in the repository.
pub(crate) fn check(figures: &[Figure]) {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/quantization_integration/figures.txt"
    ));
    let now: Vec<Summary> = figures.iter().map(Summary::of).collect();
    if std::env::var_os("TINYTORCH_GOLDEN").is_some_and(|mode| mode == "record") {
        let lines: Vec<String> = now.iter().map(Summary::line).collect();
        std::fs::write(&path, lines.concat()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let recorded: Vec<Summary> = text.lines().map(Summary::read).collect();
    assert_eq!(recorded.len(), now.len(), "parts of the library");
    for (recorded, now) in recorded.iter().zip(&now) {
        assert!(recorded.is_near(now), "recorded {recorded:?}, now {now:?}");
    }
}

/// What is stored of a part.
#[derive(Debug)]
struct Summary {
    part: String,
    values: usize,
    mean: f64,
    root_mean_square: f64,
}

impl Summary {
    fn of((part, values): &Figure) -> Summary {
        let n = values.len() as f64;
        let sum = |of: fn(f64) -> f64| values.iter().map(|&v| of(f64::from(v))).sum::<f64>();
        let (mean, root_mean_square) = (sum(|v| v) / n, (sum(|v| v * v) / n).sqrt());
        Summary { part: part.to_string(), values: values.len(), mean, root_mean_square }
    }

    fn line(&self) -> String {
        let Summary { part, values, mean, root_mean_square } = self;
        format!("{part}: {values} {mean:e} {root_mean_square:e}\n")
    }

    fn read(line: &str) -> Summary {
        let (part, numbers) = line.split_once(": ").unwrap();
        let numbers: Vec<f64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        let [values, mean, root_mean_square] = numbers[..] else { panic!("{line}") };
        Summary { part: part.to_string(), values: values as usize, mean, root_mean_square }
    }

    fn is_near(&self, other: &Summary) -> bool {
        let room = TOLERANCE * self.root_mean_square;
        self.part == other.part
            && self.values == other.values
            && (self.mean - other.mean).abs() <= room
            && (self.root_mean_square - other.root_mean_square).abs() <= room
    }
}
