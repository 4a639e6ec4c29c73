//! How the values of a channel lie.

/// Of the values of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
}

impl Moments {
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    /// The standard deviation.
    pub(crate) fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0) - self.mean().powi(2)).max(0.0).sqrt()
    }

    /// Takes in the values of another batch.
    pub(crate) fn add(&mut self, other: &Moments) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Of all values times a factor and then moved.
    pub(super) fn through(&self, scale: f64, shift: f64) -> Moments {
        let Moments { count, sum, squares } = *self;
        let moved = 2.0 * scale * shift * sum + shift * shift * count;
        let squares = scale * scale * squares + moved;
        Moments { count, sum: scale * sum + shift * count, squares }
    }
}
