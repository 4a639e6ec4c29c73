//! Rounding to fixed levels in training.

use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{Compute, Cost, Exec, View};
use crate::tensor::{Shape, Tensor, TensorError};

/// What is rounded, which decides the levels and what shares a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A weight, to `-max..=max` steps; one step for all of it or for each of its rows.
    Weight { max: i8 },
    /// An input, to 256 levels of which `zero_point` is 0; one step for all of it.
    Input { zero_point: u8 },
}

/// The nearest multiple of a step that a level stands for: with the step `s = exp(p)`, the levels
/// `low..=high`, and `v = x / s`, the output is `s * round(clamp(v, low, high))`.
///
/// Inputs are `x` and `p`, which is `[1]` or `[rows of x]`. Rounding counts as the identity, clamping as
/// what it is (Bengio et al., 2013): the gradient of `x` passes where `low < v < high` and is 0
/// elsewhere. The gradient of a step (Esser et al., 2020, equations 3 and 4) is the sum of the output's
/// gradients, each times
///
/// ```text
/// round(v) - v where low < v < high, low where v <= low, high where v >= high
/// ```
///
/// times `1 / sqrt(n * high)` for `n` values that share it, in one sample of an input. Learning its logarithm
/// `p` takes it `1 / s` times, so that descent moves `p` by the share by which the paper's moves `s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FakeQuantize {
    pub(super) kind: Kind,
}

/// Adding and subtracting it rounds a float below 2^22 to the nearest integer, ties to even. Unlike
/// `round_ties_even` it needs no call where vectors of the baseline x86-64 have no such instruction.
const ROUNDER: f32 = 12_582_912.0;

fn round(v: f32) -> f32 {
    (v + ROUNDER) - ROUNDER
}

/// The step of a learned logarithm, kept where it and its inverse are normal numbers.
pub(super) fn step(log: f32) -> f32 {
    (f64::from(log).exp() as f32).clamp(1e-30, 1e30)
}

impl FakeQuantize {
    fn levels(self) -> (f32, f32) {
        match self.kind {
            Kind::Weight { max } => (-f32::from(max), f32::from(max)),
            Kind::Input { zero_point } => (-f32::from(zero_point), 255.0 - f32::from(zero_point)),
        }
    }

    /// Values that share a step, as its gradient's scale counts them.
    fn sharing(self, x: &Shape, steps: usize) -> usize {
        match self.kind {
            Kind::Weight { .. } => x.len() / steps.max(1),
            Kind::Input { .. } => x.len() / x.first().copied().unwrap_or(1).max(1),
        }
    }
}

impl Compute for FakeQuantize {
    fn name(&self) -> &'static str {
        "fake_quantize"
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, steps) = (&inputs[0], &inputs[1]);
        let rows = x.first().copied().unwrap_or(1);
        let fits = steps.rank() == 1 && (steps[0] == 1 || steps[0] == rows);
        if !fits {
            return Err(TensorError::Mismatch {
                op: self.name(),
                left: *x,
                right: *steps,
                expected: "there must be one step, or one for each row",
            }
            .into());
        }
        Ok(*x)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (x, log_steps) = (inputs[0].f32()?, inputs[1].f32()?);
        let (low, high) = self.levels();
        let row = (x.len() / log_steps.len().max(1)).max(1);
        let rows = x.chunks_exact(row).zip(out.chunks_exact_mut(row));
        for ((x, out), &log_step) in rows.zip(log_steps) {
            let step = step(log_step);
            let inverse = 1.0 / step;
            for (y, x) in out.iter_mut().zip(x) {
                *y = round((x * inverse).clamp(low, high)) * step;
            }
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 6)
    }
}

impl Op for FakeQuantize {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (x, log_steps) = (saved.input(0)?.contiguous()?, saved.input(1)?.to_vec::<f32>()?);
        let (x, g) = (x.as_slice::<f32>()?, grad.contiguous()?);
        let g = g.as_slice::<f32>()?;
        let (low, high) = self.levels();
        let n = self.sharing(saved.shape(0), log_steps.len()) as f64;
        let scale = 1.0 / (n * f64::from(high.max(-low))).sqrt();
        let row = (x.len() / log_steps.len().max(1)).max(1);
        let mut dx = vec![0f32; x.len()];
        let mut steps = Vec::with_capacity(log_steps.len());
        let rows = x.chunks_exact(row).zip(g.chunks_exact(row)).zip(dx.chunks_exact_mut(row));
        for (((x, g), dx), &log_step) in rows.zip(&log_steps) {
            let step = step(log_step);
            let inverse = 1.0 / step;
            let mut sum = 0f64;
            for ((dx, x), &g) in dx.iter_mut().zip(x).zip(g) {
                let v = x * inverse;
                let inside = low < v && v < high;
                *dx = if inside { g } else { 0.0 };
                let of_step = if inside { round(v) - v } else { v.clamp(low, high) };
                sum += f64::from(of_step * g);
            }
            steps.push((sum * scale / f64::from(step)) as f32);
        }
        Ok(vec![
            Some(Tensor::from_vec(dx, *saved.shape(0))?),
            Some(Tensor::from_vec(steps, *saved.shape(1))?),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};
    use crate::int8::{QParams, QWeight, Scales, WeightBits};

    fn run(kind: Kind, x: &Tensor, log_step: &Tensor) -> Tensor {
        let (x, log_step) = (Var::from(x), Var::from(log_step));
        Ctx::eval().apply(FakeQuantize { kind }, &[&x, &log_step]).unwrap().into_value()
    }

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::from_vec(values.to_vec(), [values.len()]).unwrap()
    }

    #[test]
    fn a_rounded_weight_is_what_its_int8_form_stands_for() {
        let x = Tensor::randn([6, 33], 1.0, &mut Rng::seed(1)).unwrap();
        for (bits, log_steps) in [(8, vec![-4.0]), (4, vec![-1.0, -2.0, -0.5, 0.1, -1.5, -3.0])] {
            let bits = WeightBits::new(bits).unwrap();
            let steps: Vec<f32> = log_steps.iter().map(|&p| step(p)).collect();
            let scales = match steps[..] {
                [one] => Scales::PerTensor(one),
                _ => Scales::PerChannel(steps.into()),
            };
            let int8 = QWeight::round(&x, scales, bits).unwrap();
            let got = run(Kind::Weight { max: bits.max() }, &x, &tensor(&log_steps));
            let want = int8.dequantize().unwrap();
            assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
        }
    }

    #[test]
    fn a_rounded_input_is_what_its_levels_stand_for() {
        let x = Tensor::randn([7, 9], 2.0, &mut Rng::seed(2)).unwrap();
        let params = QParams { scale: step(-4.2), zero_point: 100 };
        let got = run(Kind::Input { zero_point: 100 }, &x, &tensor(&[-4.2]));
        let want = x.map(|x| params.dequantize(params.quantize(x))).unwrap();
        assert_eq!(got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
    }

    /// Between two levels the output is a constant, and the gradients are those of the line that is as
    /// far from it as now: `x + s r` with the residue `r = round(v) - v` held fast, or `s low` and
    /// `s high` outside. That line is checked with differences.
    #[test]
    fn gradients_are_those_of_the_straight_through_line() {
        let kind = Kind::Weight { max: 3 };
        let values = Tensor::randn([2, 20], 2.0, &mut Rng::seed(3)).unwrap();
        let logs = tensor(&[-0.4, 0.2]);
        let s = logs.map(step).unwrap().reshape([2, 1]).unwrap();
        let v = values.div(&s).unwrap();
        let inside = v.map(|v| f32::from(v.abs() < 3.0)).unwrap();
        let residue =
            v.map(|v| if v.abs() < 3.0 { v.round_ties_even() - v } else { v.clamp(-3.0, 3.0) });
        let (inside, residue) = (Var::from(inside), Var::from(residue.unwrap()));
        let line = |input: &[Var], ctx: &mut Ctx<'_>| {
            let steps = input[1].reshape([2, 1], ctx)?;
            let held = residue.mul(&steps, ctx)?;
            input[0].mul(&inside, ctx)?.add(&held, ctx)
        };
        gradcheck(line, &[values.clone(), s.reshape([2]).unwrap()], 1e-3).unwrap();

        let weights = Var::from(Tensor::randn([2, 20], 1.0, &mut Rng::seed(4)).unwrap());
        let gradients = |f: &dyn Fn(&[Var], &mut Ctx<'_>) -> Result<Var>, inputs: [&Tensor; 2]| {
            let mut ctx = Ctx::eval().recording();
            let vars = inputs.map(|t| ctx.input(t));
            let y = f(&vars, &mut ctx).unwrap().mul(&weights, &mut ctx).unwrap();
            let loss = y.sum(&mut ctx).unwrap();
            let grads = ctx.backward(&loss).unwrap();
            vars.map(|var| grads.of_input(&var).unwrap().to_vec::<f32>().unwrap())
        };
        let steps = s.reshape([2]).unwrap();
        let [dx, ds] = gradients(&line, [&values, &steps]);
        let op = |v: &[Var], ctx: &mut Ctx<'_>| ctx.apply(FakeQuantize { kind }, &[&v[0], &v[1]]);
        let [got_dx, got_dp] = gradients(&op, [&values, &logs]);
        assert_eq!(got_dx, dx);
        let scale = 1.0 / (20f32 * 3.0).sqrt();
        for ((got, want), step) in got_dp.iter().zip(ds).zip(steps.to_vec::<f32>().unwrap()) {
            let want = want * scale / step;
            assert!((got - want).abs() < 1e-4 * (1.0 + want.abs()), "{got} for {want}");
        }
    }

    #[test]
    fn steps_that_do_not_fit_are_refused_and_absurd_ones_stay_usable() {
        let x = Var::from(Tensor::ones([3, 2]).unwrap());
        let two = Var::from(tensor(&[0.0, 0.0]));
        let op = FakeQuantize { kind: Kind::Weight { max: 7 } };
        let error = Ctx::eval().apply(op, &[&x, &two]).unwrap_err().to_string();
        assert!(error.contains("one for each row"), "{error}");
        for log in [-1e9, 1e9] {
            let y = run(Kind::Weight { max: 7 }, x.value(), &tensor(&[log]));
            assert!(y.to_vec::<f32>().unwrap().iter().all(|y| y.is_finite()));
        }
    }
}
