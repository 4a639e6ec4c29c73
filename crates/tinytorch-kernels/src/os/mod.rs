//! What the operating system knows and Rust's safe standard library does not tell: how many bytes
//! are on the heap, how much of the process is resident and how much more it may have, and whole files in memory.
//!
//! ```
//! use tinytorch_kernels::os::{self, CountingAllocator};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator::new();
//!
//! let before = os::alloc::stats().unwrap().live_bytes;
//! let weights = vec![0_f32; 1000];
//! assert_eq!(os::alloc::stats().unwrap().live_bytes - before, 4000);
//! # drop(weights);
//! ```

pub mod alloc;
pub mod freed;
pub mod process;
pub mod room;
pub mod shared;
pub mod whole;

pub use alloc::{AllocStats, CountingAllocator};
pub use freed::{FreeAtOnce, KeepFreed, give_back_freed, give_back_if_wanted};
pub use process::{ProcessMemory, ProcessMemoryError};
pub use room::NotEnoughMemory;
pub use shared::SharedSlice;
pub use whole::{ViewError, WholeFile};
