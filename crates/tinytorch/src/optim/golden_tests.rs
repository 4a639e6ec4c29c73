//! Five steps of each optimizer against PyTorch 2.15's, from the same weights and gradients.

use super::{Adam, AdamW, Optimizer, Sgd, clip_grad_norm};
use crate::autograd::{Ctx, Gradients, Param, Role};
use crate::tensor::Tensor;

const START: [f32; 4] = [0.5, -1.0, 2.0, 0.25];
const GRADIENTS: [[f32; 4]; 5] = [
    [0.1, -0.05, 0.2, 0.05],
    [-0.2, 0.25, -0.1, 0.35],
    [0.3, -0.25, 0.4, -0.15],
    [-0.4, 0.45, -0.3, 0.55],
    [0.5, -0.45, 0.6, -0.35],
];

/// Gradients of `sum(w * values)` with respect to `w`: the values themselves.
fn gradients(w: &Param, values: &[f32]) -> Gradients {
    let mut ctx = Ctx::eval().recording();
    let factor = Tensor::from_vec(values.to_vec(), [values.len()]).unwrap().into();
    let product = ctx.param(w).unwrap().mul(&factor, &mut ctx).unwrap();
    let loss = product.sum(&mut ctx).unwrap();
    ctx.backward(&loss).unwrap()
}

fn check(mut optimizer: impl Optimizer, golden: [[f32; 4]; 5]) {
    let mut w = Param::new(Tensor::from_vec(START.to_vec(), [4]).unwrap(), Role::Vector);
    for (values, expected) in GRADIENTS.iter().zip(golden) {
        let grads = gradients(&w, values);
        optimizer.step(&mut w, grads).unwrap();
        let got = w.value().unwrap().to_vec::<f32>().unwrap();
        for (a, b) in got.iter().zip(expected) {
            assert!((a - b).abs() <= 5e-7, "{got:?} instead of {expected:?}");
        }
    }
}

#[test]
fn sgd() {
    check(
        Sgd::new(0.1),
        [
            [0.49, -0.995, 1.98, 0.245],
            [0.51, -1.02, 1.99, 0.21000001],
            [0.48, -0.995, 1.95, 0.22500001],
            [0.52, -1.04, 1.98, 0.17],
            [0.46999997, -0.99499995, 1.92, 0.205],
        ],
    );
}

#[test]
fn sgd_with_momentum() {
    check(
        Sgd::new(0.1).momentum(0.9),
        [
            [0.49, -0.995, 1.98, 0.245],
            [0.501, -1.0155, 1.972, 0.2055],
            [0.4809, -1.00895, 1.9248, 0.18495001],
            [0.50281, -1.048055, 1.91232, 0.11145501],
            [0.472529, -1.0382495, 1.841088, 0.08030951],
        ],
    );
}

#[test]
fn sgd_with_nesterov_momentum_and_weight_decay() {
    check(
        Sgd::new(0.1).momentum(0.9).weight_decay(0.1).nesterov(true),
        [
            [0.4715, -0.9715, 1.924, 0.23575],
            [0.48839152, -0.98839146, 1.8740441, 0.15869576],
            [0.42355794, -0.9235579, 1.7257928, 0.14845346],
            [0.46455562, -0.96455556, 1.669443, 0.019843036],
            [0.365439, -0.86543894, 1.4615409, 0.02105272],
        ],
    );
}

#[test]
fn adam() {
    check(
        Adam::new(0.05),
        [
            [0.45, -0.95, 1.95, 0.2],
            [0.46830517, -0.9799177, 1.9366832, 0.15843102],
            [0.45114312, -0.9740571, 1.9037776, 0.14133292],
            [0.46277013, -0.99384254, 1.8971537, 0.10948902],
            [0.45162866, -0.9901758, 1.8732284, 0.09825491],
        ],
    );
}

#[test]
fn adam_with_weight_decay() {
    check(
        Adam::new(0.05).betas(0.8, 0.95).eps(1e-6).weight_decay(0.1),
        [
            [0.45000035, -0.95000035, 1.9500002, 0.20000067],
            [0.456372, -0.956372, 1.9098845, 0.15577596],
            [0.42910928, -0.92910933, 1.8648099, 0.13724469],
            [0.43543592, -0.935436, 1.8356881, 0.10219084],
            [0.4159968, -0.91599685, 1.7966061, 0.09177811],
        ],
    );
}

#[test]
fn adamw() {
    check(
        AdamW::new(0.05),
        [
            [0.44974998, -0.94949996, 1.949, 0.199875],
            [0.46783027, -0.97894293, 1.9347086, 0.15820608],
            [0.4504343, -0.97259283, 1.9008356, 0.14102887],
            [0.4618361, -0.991892, 1.8932613, 0.10911445],
            [0.45046368, -0.98772925, 1.8683894, 0.09782578],
        ],
    );
}

#[test]
fn adamw_with_weight_decay() {
    check(
        AdamW::new(0.05).weight_decay(0.3),
        [
            [0.4425, -0.935, 1.9200001, 0.19625],
            [0.4541677, -0.95089275, 1.8778832, 0.15173727],
            [0.43019313, -0.9307687, 1.8168094, 0.13236311],
            [0.43536726, -0.9365927, 1.7829335, 0.098533764],
            [0.41769528, -0.91887707, 1.7322642, 0.08582165],
        ],
    );
}

#[test]
fn clipping_scales_by_the_joint_norm() {
    let w = Param::new(Tensor::zeros([3]).unwrap(), Role::Vector);
    let mut grads = gradients(&w, &[3.0, 4.0, 12.0]);
    assert_eq!(clip_grad_norm(&mut grads, 20.0).unwrap(), 13.0);
    assert_eq!(grads.of(&w).unwrap().to_vec::<f32>().unwrap(), [3.0, 4.0, 12.0]);
    assert_eq!(clip_grad_norm(&mut grads, 2.0).unwrap(), 13.0);
    let clipped = Tensor::from_vec(vec![0.46153843, 0.6153846, 1.8461537], [3]).unwrap();
    assert!(grads.of(&w).unwrap().allclose(&clipped, 1e-6, 0.0).unwrap());
}
