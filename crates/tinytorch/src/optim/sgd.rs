//! Stochastic gradient descent.

use super::{Descent, Rule, Setting};
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::optimizer as kernels;

/// Stochastic gradient descent, optionally with momentum (Polyak, 1964) or Nesterov's (Sutskever et
/// al., 2013), in PyTorch's form:
///
/// ```text
/// g = grad + weight_decay * w
/// b = momentum * b + g
/// w = w - lr * (nesterov ? g + momentum * b : b)
/// ```
///
/// ```
/// use tinytorch::optim::{Optimizer, Sgd};
/// let sgd = Sgd::new(0.1).momentum(0.9).nesterov(true);
/// assert_eq!(sgd.lr(), 0.1);
/// ```
pub type Sgd = Descent<SgdRule>;

/// The formula of [`Sgd`].
#[derive(Clone, Debug)]
pub struct SgdRule {
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
}

impl Sgd {
    /// Without momentum and weight decay.
    pub fn new(lr: f64) -> Sgd {
        Sgd::with_rule(lr, SgdRule { momentum: 0.0, weight_decay: 0.0, nesterov: false })
    }

    /// The share of the previous direction that is kept, from 0 to 1.
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.rule.momentum = momentum;
        self
    }

    /// Adds this times the weight to its gradient.
    pub fn weight_decay(mut self, weight_decay: f64) -> Sgd {
        self.rule.weight_decay = weight_decay;
        self
    }

    /// Whether the gradient is taken as if one momentum step ahead; needs momentum to differ.
    pub fn nesterov(mut self, nesterov: bool) -> Sgd {
        self.rule.nesterov = nesterov;
        self
    }
}

impl Rule for SgdRule {
    fn kind(&self) -> &'static str {
        "sgd"
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::below_one("momentum", self.momentum),
            Setting::not_negative("weight_decay", self.weight_decay),
            Setting::not_negative("nesterov", f64::from(u8::from(self.nesterov))),
        ]
    }

    fn slots(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum_buffer"] }
    }

    fn update(
        &self,
        lr: f64,
        _step: u64,
        param: &mut [f32],
        grad: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        let sgd = kernels::Sgd {
            learning_rate: lr as f32,
            momentum: self.momentum as f32,
            weight_decay: self.weight_decay as f32,
            nesterov: self.nesterov,
        };
        let velocity = slots.first_mut().map(|slot| &mut **slot);
        kernels::sgd_step(Isa::active(), sgd, param, grad, velocity);
    }
}
