//! What stands beside weights while a model is fitted to a smaller form, a kind in each folder or file.

mod adapter;
mod attached;
mod fake_quant;
mod low_rank;

pub use adapter::{Adapter, AdapterConfig};
pub use attached::Attached;
pub use fake_quant::{FakeInput, FakeQuant, FakeQuantConfig};
pub use low_rank::LowRank;
