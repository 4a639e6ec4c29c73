//! The update steps of optimizers, each one pass over memory.

use super::split::in_pieces;
use crate::Isa;
use crate::isa::{Kernel, Simd};
use crate::threads::OPTIMIZER;

/// Adam (Kingma and Ba, 2015), and AdamW (Loshchilov and Hutter, 2019) with decoupled decay.
///
/// The numbers are f64, since `1 - 0.999` in f32 is off by 1.3e-5 of its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// The learning rate.
    pub learning_rate: f64,
    /// How much of the mean of the gradients is kept.
    pub beta1: f64,
    /// How much of the mean of their squares is kept.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Pulls parameters to zero.
    pub weight_decay: f64,
    /// Whether the decay shrinks the parameters directly (AdamW) or joins the gradient (Adam).
    pub decoupled: bool,
}

/// One step: `step` counts from 1.
///
/// With g the gradient, m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2, and then
/// p <- p - learning_rate (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon). Before
/// that, the decay is added to g as weight_decay p, or multiplies p by
/// 1 - learning_rate weight_decay.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::optimizer::{Adam, adam_step};
///
/// let adam = Adam {
///     learning_rate: 0.1,
///     beta1: 0.9,
///     beta2: 0.999,
///     epsilon: 1e-8,
///     weight_decay: 0.0,
///     decoupled: false,
/// };
/// let (mut params, mut m, mut v) = ([1.0], [0.0], [0.0]);
/// adam_step(Isa::active(), adam, 1, &mut params, &[123.0], &mut m, &mut v);
/// assert!((params[0] - 0.9).abs() < 1e-6, "the first step is as long as the learning rate");
/// ```
///
/// # Panics
/// If the lengths differ or `step` is 0.
pub fn adam_step(
    isa: Isa,
    adam: Adam,
    step: u64,
    params: &mut [f32],
    grads: &[f32],
    m: &mut [f32],
    v: &mut [f32],
) {
    assert!(step > 0, "steps are counted from 1");
    let len = params.len();
    assert_eq!(grads.len(), len, "there must be a gradient for each parameter");
    assert_eq!(m.len(), len, "there must be a first moment for each parameter");
    assert_eq!(v.len(), len, "there must be a second moment for each parameter");
    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
    let decay = adam.learning_rate * adam.weight_decay;
    let rates = Rates {
        take1: (1.0 - adam.beta1) as f32,
        keep2: adam.beta2 as f32,
        take2: (1.0 - adam.beta2) as f32,
        step: (adam.learning_rate / correction(adam.beta1)) as f32,
        root: (1.0 / correction(adam.beta2).sqrt()) as f32,
        epsilon: adam.epsilon as f32,
        joined: if adam.decoupled { 0.0 } else { adam.weight_decay as f32 },
        keep: if adam.decoupled { (1.0 - decay) as f32 } else { 1.0 },
    };
    in_pieces((params, grads, m, v), OPTIMIZER.per_thread(), &|(params, grads, m, v)| {
        isa.run(AdamStep { rates, params, grads, m, v });
    });
}

/// What all parameters of a step share.
#[derive(Clone, Copy)]
struct Rates {
    /// How far m moves to the gradient.
    take1: f32,
    /// What is kept of v, and how much of the squared gradient joins it.
    keep2: f32,
    take2: f32,
    /// The learning rate over the correction of m.
    step: f32,
    /// One over the root of the correction of v.
    root: f32,
    epsilon: f32,
    /// Decay that joins the gradient.
    joined: f32,
    /// What decoupled decay leaves of a parameter.
    keep: f32,
}

struct AdamStep<'a> {
    rates: Rates,
    params: &'a mut [f32],
    grads: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Kernel for AdamStep<'_> {
    type Output = ();

    /// Plain loops: the compiler turns them into vectors of the ISA, with the same bits on each.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { rates, params, grads, m, v } = self;
        let Rates { take1, keep2, take2, step, root, epsilon, joined, keep } = rates;
        for ((p, g), (m, v)) in params.iter_mut().zip(grads).zip(m.iter_mut().zip(v)) {
            let g = g + joined * *p;
            *m += take1 * (g - *m);
            *v = keep2 * *v + take2 * g * g;
            *p = keep * *p - step * *m / (v.sqrt() * root + epsilon);
        }
    }
}

/// Stochastic gradient descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// The learning rate.
    pub learning_rate: f32,
    /// How much of the velocity is kept; 0 for none.
    pub momentum: f32,
    /// Pulls parameters to zero by joining the gradient.
    pub weight_decay: f32,
    /// Whether to look ahead along the velocity (Nesterov).
    pub nesterov: bool,
}

/// One step. With g the gradient plus weight_decay p: u <- momentum u + g, and p <- p - learning_rate
/// d, where d is u, or g + momentum u with `nesterov`, or g without a velocity.
///
/// ```
/// use tinytorch_kernels::Isa;
/// use tinytorch_kernels::f32::optimizer::{Sgd, sgd_step};
///
/// let sgd = Sgd { learning_rate: 0.5, momentum: 0.0, weight_decay: 0.0, nesterov: false };
/// let mut params = [1.0, 2.0];
/// sgd_step(Isa::active(), sgd, &mut params, &[2.0, -2.0], None);
/// assert_eq!(params, [0.0, 3.0]);
/// ```
///
/// # Panics
/// If the lengths differ, or there is momentum but no velocity.
pub fn sgd_step(
    isa: Isa,
    sgd: Sgd,
    params: &mut [f32],
    grads: &[f32],
    velocity: Option<&mut [f32]>,
) {
    let len = params.len();
    assert_eq!(grads.len(), len, "there must be a gradient for each parameter");
    match &velocity {
        Some(velocity) => assert_eq!(velocity.len(), len, "each parameter must have a velocity"),
        None => assert!(sgd.momentum == 0.0, "momentum needs a velocity"),
    }
    in_pieces((params, grads, velocity), OPTIMIZER.per_thread(), &|(params, grads, velocity)| {
        isa.run(SgdStep { sgd, params, grads, velocity });
    });
}

struct SgdStep<'a> {
    sgd: Sgd,
    params: &'a mut [f32],
    grads: &'a [f32],
    velocity: Option<&'a mut [f32]>,
}

impl Kernel for SgdStep<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { sgd, params, grads, velocity } = self;
        let Sgd { learning_rate, momentum, weight_decay, nesterov } = sgd;
        let params = params.iter_mut().zip(grads);
        match velocity {
            None => {
                for (p, g) in params {
                    *p -= learning_rate * (g + weight_decay * *p);
                }
            }
            Some(velocity) => {
                for ((p, g), u) in params.zip(velocity) {
                    let g = g + weight_decay * *p;
                    *u = momentum * *u + g;
                    let direction = if nesterov { g + momentum * *u } else { *u };
                    *p -= learning_rate * direction;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize, seed: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 1.7 + seed).sin()).collect()
    }

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    const LEN: usize = 3 * OPTIMIZER.per_thread() + 5;

    #[test]
    fn adam_follows_its_formula_on_every_isa_and_any_threads() {
        for decoupled in [false, true] {
            let adam = Adam {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: 0.1,
                decoupled,
            };
            let mut exact: Vec<[f64; 3]> =
                values(LEN, 0.0).iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
            let mut states: Vec<_> = Isa::available()
                .into_iter()
                .map(|isa| (isa, values(LEN, 0.0), vec![0.0; LEN], vec![0.0; LEN]))
                .collect();
            for step in 1..5_u64 {
                let grads = values(LEN, step as f32);
                for ([p, m, v], g) in exact.iter_mut().zip(&grads) {
                    let g = f64::from(*g) + if decoupled { 0.0 } else { 0.1 * *p };
                    *p *= if decoupled { 1.0 - 0.01 * 0.1 } else { 1.0 };
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.999 * *v + 0.001 * g * g;
                    let (m, v) = (
                        *m / (1.0 - 0.9_f64.powi(step as i32)),
                        *v / (1.0 - 0.999_f64.powi(step as i32)),
                    );
                    *p -= 0.01 * m / (v.sqrt() + 1e-8);
                }
                for (threads, (isa, params, m, v)) in (1..).zip(&mut states) {
                    pool(threads).install(|| adam_step(*isa, adam, step, params, &grads, m, v));
                }
            }
            for (_, params, ..) in &states {
                for (p, [exact, ..]) in params.iter().zip(&exact) {
                    assert!((f64::from(*p) - exact).abs() < 2e-6, "{p}, not {exact}");
                }
            }
            for pair in states.windows(2) {
                assert!(pair[0].1 == pair[1].1 && pair[0].2 == pair[1].2 && pair[0].3 == pair[1].3);
            }
        }
    }

    #[test]
    fn sgd_follows_its_formula_on_every_isa_and_any_threads() {
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            let sgd = Sgd { learning_rate: 0.1, momentum, weight_decay: 0.01, nesterov };
            for (threads, isa) in (1..).zip(Isa::available()) {
                let (mut params, mut velocity) = (values(LEN, 0.0), vec![0.0; LEN]);
                let mut exact: Vec<[f64; 2]> =
                    params.iter().map(|&p| [f64::from(p), 0.0]).collect();
                for step in 1..4 {
                    let grads = values(LEN, step as f32);
                    for ([p, u], g) in exact.iter_mut().zip(&grads) {
                        let (g, momentum) = (f64::from(*g) + 0.01 * *p, f64::from(momentum));
                        *u = momentum * *u + g;
                        *p -= 0.1 * if nesterov { g + momentum * *u } else { *u };
                    }
                    let velocity = (momentum > 0.0).then_some(&mut velocity[..]);
                    pool(threads).install(|| sgd_step(isa, sgd, &mut params, &grads, velocity));
                }
                for (p, [exact, _]) in params.iter().zip(&exact) {
                    assert!((f64::from(*p) - exact).abs() < 2e-6, "{p}, not {exact}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "momentum needs a velocity")]
    fn momentum_needs_a_velocity() {
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false };
        sgd_step(Isa::Scalar, sgd, &mut [1.0], &[1.0], None);
    }
}
