//! What the operating system knows and Rust's safe standard library does not tell: how many bytes
//! are on the heap, how much of the process is resident, and files mapped into memory.
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
pub mod mapped;
pub mod process;
pub mod shared;

pub use alloc::{AllocStats, CountingAllocator};
pub use mapped::{MappedFile, ViewError};
pub use process::{ProcessMemory, ProcessMemoryError, give_back_freed};
pub use shared::SharedSlice;
