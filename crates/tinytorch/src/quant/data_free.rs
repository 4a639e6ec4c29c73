//! Ranges without data, from what a model's weights and norms tell.

use super::fold::find_folds;
use super::trace::lowered;
use super::{Prepared, QuantConfig, QuantError, RangeEstimator, check};
use crate::Result;
use crate::graph::{Bounds, Compute, Node, ParamId, Step, Weight};
use crate::nn::Forward;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Standard deviations on each side of the mean that a range without data covers.
const SIGMAS: f32 = 6.0;

/// What is believed about the values on an edge.
#[derive(Clone, Copy, Debug)]
enum Belief {
    /// Nothing that depends on the input.
    Constant,
    /// They lie in this range, with this root mean square.
    Spread { low: f32, high: f32, rms: f32 },
    /// This op gave them, of which nothing is known.
    Unknown(&'static str),
}

/// What [`calibrate`](super::calibrate) finds, estimated without any data: from the statistics
/// that batch norms carry where there are some, else six standard deviations of what the weights make of
/// standard normal inputs (as in data-free quantization, Nagel et al., 2019, section 4.2). What
/// calibration on data has to beat. `example` only shows how the model runs. `inputs` is the range of the
/// model's float inputs, 0 to 1 of images say, if it is known; else they are taken for standard normal.
///
/// # Errors
/// [`QuantError::NoDataFreeRange`] naming an op that a weight follows and that says nothing about its
/// output, a model or configuration that cannot be quantized, or what the model reports if it does not run
/// on `example`.
pub fn prepare_without_data<M, X>(
    model: &M,
    example: &X,
    config: &QuantConfig,
    inputs: Option<(f32, f32)>,
) -> Result<Prepared>
where
    M: Forward<X> + ?Sized,
{
    check(model, config)?;
    let mut prepared = Prepared::new(config);
    prepared.folds = find_folds(model, example)?;
    let params = model.named_params().into_iter();
    let names: BTreeMap<ParamId, String> = params.map(|(name, p)| (p.id(), name)).collect();
    for (weight, (low, high)) in ranges(model, example, inputs.map_or(STANDARD, within))? {
        if let Some(name) = names.get(&weight) {
            let mut range = RangeEstimator::new(super::RangeMethod::MinMax);
            range.observe(&[low, high]);
            prepared.ranges.insert(name.clone(), range);
        }
    }
    Ok(prepared)
}

/// The range of what each weight multiplies.
fn ranges<M, X>(model: &M, example: &X, entering: Belief) -> Result<Vec<(ParamId, (f32, f32))>>
where
    M: Forward<X> + ?Sized,
{
    let mut ranges = Vec::new();
    let Some(graph) = lowered(model, example)? else { return Ok(ranges) };
    let mut beliefs: Vec<Belief> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let inputs: Vec<Belief> = node.edges().map(|edge| beliefs[edge.node()]).collect();
        let input = inputs.iter().copied().reduce(|a, b| match a {
            Belief::Constant => b,
            _ => a,
        });
        if let Some(weight) = weight_of(node) {
            match input {
                Some(Belief::Spread { low, high, .. }) => ranges.push((weight, (low, high))),
                Some(Belief::Unknown(op)) => {
                    return Err(QuantError::NoDataFreeRange { op }.into());
                }
                _ => {}
            }
        }
        beliefs.push(match (&node.step, &inputs[..]) {
            (Step::Compute(op), &[a, b]) if op.properties().sums => sum_of(a, b),
            _ => belief_after(node, input.unwrap_or(Belief::Constant), entering)?,
        });
    }
    Ok(ranges)
}

fn weight_of(node: &Node) -> Option<ParamId> {
    match node.step {
        Step::Linear { .. } | Step::Conv2d { .. } => node.params.first().copied(),
        _ => None,
    }
}

/// Of values in a range, all of which may be as large as it allows: inputs such as pixels rise and fall
/// together, and ranges for independent ones that fill it evenly cut off what a first layer makes of them
/// (13 % error of `digits-mlp`, where these give 2 %).
fn within((low, high): (f32, f32)) -> Belief {
    Belief::Spread { low: low.min(0.0), high: high.max(0.0), rms: low.abs().max(high.abs()) }
}

/// What an input of no known range and a normalized image are taken for.
const STANDARD: Belief = Belief::Spread { low: -SIGMAS, high: SIGMAS, rms: 1.0 };

fn belief_after(node: &Node, input: Belief, entering: Belief) -> Result<Belief> {
    Ok(match (&node.step, input) {
        (Step::Input, _) => entering,
        // The example of the traced pass: a constant that no parameter was made into.
        (Step::Constant(_), _) if node.params.is_empty() => entering,
        (Step::Constant(_), _) => Belief::Constant,
        (
            Step::Linear { weight, bias, bounds } | Step::Conv2d { weight, bias, bounds, .. },
            Belief::Spread { rms, .. },
        ) => {
            let rms = largest_spread(weight, bias.as_ref(), rms)?;
            let sum = Belief::Spread { low: -SIGMAS * rms, high: SIGMAS * rms, rms };
            if *bounds == Bounds::POSITIVE { positive_part(sum) } else { sum }
        }
        (Step::BatchNorm2d(norm), Belief::Spread { .. }) => {
            let (scale, shift) = (norm.weight.to_vec::<f32>()?, norm.bias.to_vec::<f32>()?);
            let channels = || scale.iter().zip(&shift);
            let low = channels().map(|(s, b)| b - SIGMAS * s.abs()).fold(0.0, f32::min);
            let high = channels().map(|(s, b)| b + SIGMAS * s.abs()).fold(0.0, f32::max);
            let squares: f32 = channels().map(|(s, b)| s * s + b * b).sum();
            Belief::Spread { low, high, rms: (squares / scale.len().max(1) as f32).sqrt() }
        }
        (Step::Compute(op), belief) => belief_after_op(op, belief),
        // What is not known stays so.
        (_, belief) => belief,
    })
}

/// Of what an op makes of a value.
fn belief_after_op(op: &Arc<dyn Compute>, input: Belief) -> Belief {
    let facts = op.properties();
    if let (Some(bounds), Belief::Spread { .. }) = (facts.clips, input) {
        return clipped(input, bounds);
    }
    match input {
        Belief::Spread { .. } if facts.positive_part => positive_part(input),
        Belief::Spread { .. } if facts.standardizes => STANDARD,
        Belief::Spread { .. } if !facts.keeps_range => Belief::Unknown(op.name()),
        // What is not known stays so.
        _ => input,
    }
}

/// Of a sum of independent values.
fn sum_of(a: Belief, b: Belief) -> Belief {
    match (a, b) {
        (
            Belief::Spread { low, high, rms },
            Belief::Spread { low: other_low, high: other_high, rms: other_rms },
        ) => {
            let (low, high) = (low + other_low, high + other_high);
            Belief::Spread { low, high, rms: rms.hypot(other_rms) }
        }
        (Belief::Unknown(op), _) | (_, Belief::Unknown(op)) => Belief::Unknown(op),
        (Belief::Constant, Belief::Constant) => Belief::Constant,
        _ => Belief::Unknown("add"),
    }
}

fn positive_part(belief: Belief) -> Belief {
    match belief {
        Belief::Spread { low, high, rms } => {
            Belief::Spread { low: low.max(0.0), high: high.max(0.0), rms: rms / 2f32.sqrt() }
        }
        other => other,
    }
}

/// Between two bounds, no value of which is larger than the farther one.
fn clipped(belief: Belief, [least, most]: [f32; 2]) -> Belief {
    let belief = if least >= 0.0 { positive_part(belief) } else { belief };
    match belief {
        Belief::Spread { low, high, rms } => {
            let [low, high] = [low, high].map(|end| end.max(least).min(most));
            Belief::Spread { low, high, rms: rms.min(low.abs().max(high.abs())) }
        }
        other => other,
    }
}

/// The largest root mean square among the output channels, for inputs of this root mean square.
fn largest_spread(weight: &Weight, bias: Option<&Tensor>, rms: f32) -> Result<f32> {
    let weight = match weight {
        Weight::F32(weight) => weight.clone(),
        Weight::Int8(weight) => weight.dequantize()?,
    };
    let bias = bias.map(|b| b.to_vec::<f32>()).transpose()?;
    let values = weight.to_vec::<f32>()?;
    let row = values.len() / weight.shape().first().copied().unwrap_or(1).max(1);
    let channels = values.chunks(row.max(1)).enumerate().map(|(i, row)| {
        let squares: f32 = row.iter().map(|w| w * w).sum();
        let bias = bias.as_ref().map_or(0.0, |b| b[i]);
        (squares * rms * rms + bias * bias).sqrt()
    });
    Ok(channels.fold(0.0, f32::max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Var};
    use crate::nn::{Init, Linear, Module, Path, Visitor, VisitorMut};
    use crate::ops::{Clamp, Pointwise};

    /// `second(relu(first(x)))`.
    struct Two {
        first: Linear,
        second: Linear,
    }

    impl Module for Two {
        fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
            path.within("first", |path| self.first.visit(path, visitor));
            path.within("second", |path| self.second.visit(path, visitor));
        }

        fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
            path.within("first", |path| self.first.visit_mut(path, visitor));
            path.within("second", |path| self.second.visit_mut(path, visitor));
        }
    }

    impl Forward for Two {
        type Output = Var;

        fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
            let x = self.first.forward(x, ctx)?.relu(ctx)?;
            self.second.forward(&x, ctx)
        }
    }

    /// Rows of 3, 4 and 0, 1, and no biases.
    fn two() -> Two {
        let mut two = Two {
            first: Linear::new(2, 2, &mut Init::seed(1)).unwrap(),
            second: Linear::new(2, 1, &mut Init::seed(2)).unwrap(),
        };
        let weight = Tensor::from_vec(vec![3.0, 4.0, 0.0, 1.0], [2, 2]).unwrap();
        *two.first.weight.value_mut().unwrap() = weight;
        for (name, param) in two.named_params_mut() {
            if name.ends_with("bias") {
                *param.value_mut().unwrap() = Tensor::zeros(param.shape().dims()).unwrap();
            }
        }
        two
    }

    fn ranges_of(inputs: Option<(f32, f32)>) -> [(f32, f32); 2] {
        let example = Var::from(Tensor::ones([1, 2]).unwrap());
        let prepared =
            prepare_without_data(&two(), &example, &QuantConfig::default(), inputs).unwrap();
        ["first.weight", "second.weight"].map(|name| prepared.range(name).unwrap())
    }

    /// The largest row has the length 5, so that six standard deviations of its sums are 30.
    #[test]
    fn standard_inputs_spread_by_the_longest_row() {
        assert_eq!(ranges_of(None), [(-6.0, 6.0), (0.0, 30.0)]);
    }

    /// Inputs of 0 to 0.5, all of which may be 0.5.
    #[test]
    fn known_inputs_lie_in_their_range() {
        assert_eq!(ranges_of(Some((0.0, 0.5))), [(0.0, 0.5), (0.0, 15.0)]);
        assert_eq!(ranges_of(Some((0.25, 0.5)))[0], (0.0, 0.5));
    }

    /// As of a ReLU6 in an imported graph.
    #[test]
    fn values_between_two_bounds_stay_there() {
        let of = |low: f32, high: f32, rms: f32| Belief::Spread { low, high, rms };
        let after = |belief: Belief, low: f32, high: f32| {
            let clip = Pointwise { name: "clip", f: Clamp { low, high } };
            match belief_after_op(&(Arc::new(clip) as Arc<dyn Compute>), belief) {
                Belief::Spread { low, high, rms } => (low, high, rms),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(after(of(-30.0, 30.0, 5.0), -1.0, 2.0), (-1.0, 2.0, 2.0));
        assert_eq!(after(of(-30.0, 30.0, 5.0), 0.0, 3.0), (0.0, 3.0, 3.0));
        let (low, high, rms) = after(of(-4.0, 4.0, 1.0), 0.0, 6.0);
        assert!((low, high) == (0.0, 4.0) && (rms - 0.5f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn sums_and_positive_parts_keep_what_they_can() {
        let of = |low: f32, high: f32, rms: f32| Belief::Spread { low, high, rms };
        let Belief::Spread { low, high, rms } = sum_of(of(-1.0, 2.0, 3.0), of(-3.0, 5.0, 4.0))
        else {
            panic!("both are known")
        };
        assert_eq!((low, high, rms), (-4.0, 7.0, 5.0));
        assert!(matches!(sum_of(of(0.0, 1.0, 1.0), Belief::Unknown("f")), Belief::Unknown("f")));
        let Belief::Spread { low, high, rms } = positive_part(of(-2.0, 3.0, 2.0)) else {
            panic!("it is known")
        };
        assert!((low, high) == (0.0, 3.0) && (rms - 2f32.sqrt()).abs() < 1e-6);
    }
}
