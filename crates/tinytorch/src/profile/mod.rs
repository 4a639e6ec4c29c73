//! What a model costs on this machine: parameters, operations, bytes, time.
//!
//! [`profile`] runs a model and tells where the time and the memory go; [`process`] loads a model in
//! a process of its own and reads its memory from the allocator and the operating system.
//!
//! ```
//! use tinytorch::{Tensor, models::Architecture, nn::Init, profile::profile};
//!
//! let model = Architecture::preset("digits-mlp")?.build(&mut Init::seed(0))?;
//! let profile = profile(&*model, &Tensor::ones([8, 64])?)?;
//! assert_eq!(profile.parameters.float, 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
//! assert!(profile.flops >= 2 * 8 * (64 * 128 + 128 * 64 + 64 * 10));
//! assert!(profile.layers.iter().any(|row| row.name == "layers.1.weight"));
//! let sum: u64 = profile.layers.iter().map(|row| row.nanoseconds).sum();
//! assert_eq!(sum, profile.table_nanoseconds);
//! println!("{profile}");
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod error;
mod layers;
mod measure;
mod parameters;
mod probe;
pub mod process;
mod report;
mod spawn;
mod stopwatch;
mod table;

pub use error::ProfileError;
pub use measure::{PASSES, profile, profile_passes};
pub use parameters::ParameterCount;
pub use report::{HeapUse, LayerRow, Profile};
