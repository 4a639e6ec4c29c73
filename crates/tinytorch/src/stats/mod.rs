//! Comparing what runs: times in interleaved rounds with an interval of their ratio, and the models
//! worth choosing from by error, size and latency.
//!
//! ```
//! use std::time::Duration;
//! use tinytorch::stats::{Settings, compare};
//!
//! let sum = |n: u64| move || { std::hint::black_box((0..n).map(std::hint::black_box).sum::<u64>()); Ok(()) };
//! let settings = Settings { time_limit: Duration::from_millis(50), ..Settings::default() };
//! let result = compare(sum(1000), sum(2000), &settings)?;
//! assert!(result.low <= result.ratio && result.ratio <= result.high);
//! println!("the second takes {:.2} times as long as the first", result.ratio);
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod clock;
mod error;
mod interval;
mod pareto;
mod quartiles;
mod rounds;
mod runner;
mod settings;
mod text_table;

pub use clock::{Clock, WallClock};
pub use error::StatsError;
pub use pareto::{ParetoTable, Tradeoff, pareto_front};
pub use quartiles::Quartiles;
pub use runner::{BenchRow, Benchmark, BenchmarkReport, PairedResult, compare, compare_on};
pub use settings::Settings;
pub(crate) use text_table::{TextTable, seconds};
