//! What a search costs, told before it starts, and whether it goes on.

/// What trying every layer on every rung costs, and the few models that are judged after that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Layers, each as often as there are rungs to try it on.
    pub trials: usize,
    /// Passes of a batch through the model.
    pub passes: usize,
    /// Seconds that these take, by the time of the passes of the first model that was judged.
    pub seconds: f64,
}

/// Follows a search, and may end it.
pub trait Watch {
    /// What the search will cost, before layers are tried; nothing is told where the first model that is judged is
    /// within the budget.
    fn cost(&mut self, cost: Cost) {
        let _ = cost;
    }

    /// So many of so many trials of layers are done.
    fn tried(&mut self, done: usize, of: usize) {
        let _ = (done, of);
    }

    /// Whether the search goes on. If it does not, layers that were not tried stay on the first rung, one model is judged by what
    /// is known of the others, and the best that was judged is kept.
    fn goes_on(&mut self) -> bool {
        true
    }
}

/// A watch that is told of trials alone.
pub(super) struct Progress<'a>(pub(super) &'a mut dyn FnMut(usize, usize));

impl Watch for Progress<'_> {
    fn tried(&mut self, done: usize, of: usize) {
        (self.0)(done, of);
    }
}
