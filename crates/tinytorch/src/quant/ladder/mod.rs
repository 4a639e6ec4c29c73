//! The ladder: the fastest way of quantizing a model whose error stays within a budget.

mod alone;
mod prices;
mod rungs;
mod search;
mod sensitivity;
mod trial;
mod watch;
mod within;
mod work;

pub use prices::Prices;
pub use rungs::{Priced, RUNGS};
pub use watch::{Cost, Watch};
pub use within::{Ladder, Search, Trial, quantize_watched, quantize_within};
