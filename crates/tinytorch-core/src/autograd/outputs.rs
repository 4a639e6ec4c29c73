//! What a pass gives.

use super::Var;

/// What a module gives: one value or several, in a fixed order.
pub trait Outputs {
    /// The values in their order.
    fn vars(&self) -> Vec<&Var>;
}

impl Outputs for Var {
    fn vars(&self) -> Vec<&Var> {
        vec![self]
    }
}

impl Outputs for Vec<Var> {
    fn vars(&self) -> Vec<&Var> {
        self.iter().collect()
    }
}

impl Outputs for [Var] {
    fn vars(&self) -> Vec<&Var> {
        self.iter().collect()
    }
}

impl<A: Outputs, B: Outputs> Outputs for (A, B) {
    fn vars(&self) -> Vec<&Var> {
        [self.0.vars(), self.1.vars()].concat()
    }
}

impl<A: Outputs, B: Outputs, C: Outputs> Outputs for (A, B, C) {
    fn vars(&self) -> Vec<&Var> {
        [self.0.vars(), self.1.vars(), self.2.vars()].concat()
    }
}
