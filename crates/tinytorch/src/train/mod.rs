//! Training: epochs of steps over a loader, with evaluation, schedules, clipping, accumulation, early
//! stopping, and checkpoints from which a training goes on as if it had never stopped.
//!
//! ```
//! use tinytorch::{Tensor, data::{DataLoader, TensorDataset}, nn::{Init, Linear}};
//! use tinytorch::{optim::{Adam, Schedule}, train::{Classification, Clip, Trainer}};
//!
//! let inputs = Tensor::from_vec(vec![0.0, 1.0, 1.0, 0.0, 0.2, 0.9, 0.8, 0.1], [4, 2])?;
//! let labels = Tensor::from_vec(vec![0i64, 1, 0, 1], [4])?;
//! let loader = DataLoader::new(TensorDataset::new([inputs, labels])?, 2)?.shuffle(true);
//!
//! let mut model = Linear::new(2, 2, &mut Init::seed(0))?;
//! let mut trainer = Trainer::new(Classification, Adam::new(0.1))
//!     .schedule(Schedule::Cosine { warmup: 2, total: 40, floor: 0.0 })
//!     .clip(Clip::Norm(1.0));
//! trainer.fit(&mut model, &loader, None, 20)?;
//! assert_eq!(trainer.evaluate(&model, &loader)?.accuracy, Some(1.0));
//! # Ok::<(), tinytorch::Error>(())
//! ```

mod checkpoint;
mod error;
mod frozen;
mod metrics;
mod objective;
mod progress;
mod recipe;
mod stopping;
mod trainer;

pub use error::TrainError;
pub use frozen::{TrainableSummary, Untrained, frozen, trainable_summary};
pub use metrics::{EpochRecord, Metrics, evaluate};
pub use objective::{Classification, Objective, Outcome};
pub use progress::{NoProgress, Progress, ProgressBar, StepReport};
pub use recipe::{Method, Recipe};
pub use stopping::{EarlyStopping, Watch};
pub use trainer::{Clip, Trainer};
