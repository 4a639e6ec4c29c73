//! What a model costs on this machine: bytes, operations, time.
//!
//! [`process`] loads a model in a process of its own and reads its memory from the allocator and
//! the operating system.

mod error;
mod input;
pub mod process;
mod spawn;

pub use error::ProfileError;
