//! Adam and AdamW.

use super::{Descent, Rule, Setting};
use tinytorch_kernels::Isa;
use tinytorch_kernels::f32::optimizer as kernels;

/// Adam (Kingma and Ba, 2015, algorithm 1), with weight decay added to the gradient:
///
/// ```text
/// g = grad + weight_decay * w
/// m = beta1 * m + (1 - beta1) * g
/// v = beta2 * v + (1 - beta2) * g^2
/// w = w - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
/// ```
///
/// ```
/// use tinytorch::optim::{Adam, Optimizer};
/// let adam = Adam::new(1e-3).betas(0.9, 0.99);
/// assert_eq!(adam.state().settings["beta2"], 0.99);
/// ```
pub type Adam = Descent<AdamRule<false>>;

/// AdamW (Loshchilov and Hutter, 2019): [`Adam`] whose weight decay does not pass through the moments,
/// `w = (1 - lr * weight_decay) * w` before the step; it is 0.01 unless set.
///
/// ```
/// use tinytorch::optim::{AdamW, Optimizer};
/// let adam = AdamW::new(1e-3);
/// assert_eq!(adam.state().settings["weight_decay"], 0.01);
/// ```
pub type AdamW = Descent<AdamRule<true>>;

/// The formula of [`Adam`] and, with `DECOUPLED` weight decay, of [`AdamW`].
///
/// The hyper-parameters are f64, as in PyTorch: `1 - 0.999` in f32 is off by 1.3e-5 of its value.
#[derive(Clone, Debug)]
pub struct AdamRule<const DECOUPLED: bool> {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

impl<const DECOUPLED: bool> Descent<AdamRule<DECOUPLED>> {
    /// With PyTorch's defaults: betas 0.9 and 0.999, eps 1e-8, weight decay 0 for Adam and 0.01 for
    /// AdamW.
    pub fn new(lr: f64) -> Self {
        let weight_decay = if DECOUPLED { 0.01 } else { 0.0 };
        Descent::with_rule(lr, AdamRule { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay })
    }

    /// The shares of the running means of the gradient and of its square that are kept.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.rule.beta1, self.rule.beta2) = (beta1, beta2);
        self
    }

    /// Added to the denominator.
    pub fn eps(mut self, eps: f64) -> Self {
        self.rule.eps = eps;
        self
    }

    /// How strongly weights are pulled towards 0.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.rule.weight_decay = weight_decay;
        self
    }
}

impl<const DECOUPLED: bool> Rule for AdamRule<DECOUPLED> {
    fn kind(&self) -> &'static str {
        if DECOUPLED { "adamw" } else { "adam" }
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::below_one("beta1", self.beta1),
            Setting::below_one("beta2", self.beta2),
            Setting::positive("eps", self.eps),
            Setting::not_negative("weight_decay", self.weight_decay),
        ]
    }

    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn update(
        &self,
        lr: f64,
        step: u64,
        param: &mut [f32],
        grad: &[f32],
        slots: &mut [&mut [f32]],
    ) {
        // `Descent` passes as many slots as `slots()` names.
        let [mean, square] = slots else { return };
        let adam = kernels::Adam {
            learning_rate: lr,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.eps,
            weight_decay: self.weight_decay,
            decoupled: DECOUPLED,
        };
        kernels::adam_step(Isa::active(), adam, step, param, grad, mean, square);
    }
}
