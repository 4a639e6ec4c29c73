//! Clocks, of the system and of tests.

use std::time::{Duration, Instant};

/// Tells how much time has passed since some fixed moment. Tests bring their own.
pub trait Clock {
    /// The time.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock(Instant);

impl Default for WallClock {
    fn default() -> Self {
        WallClock(Instant::now())
    }
}

impl Clock for WallClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
