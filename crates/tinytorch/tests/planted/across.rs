//! Instruction sets: what may be apart between them, and what may not.

use super::kernels::by_words;
use super::models::{Impostor, Instead};
use super::ops::More;
use super::{Stage, assert_caught, audit, audit_with, quantized};
use tinytorch::audit::{AuditOptions, Gate, ModelReport, Outcome, Subject};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::ConvGeometry;
use tinytorch::models::{Rebuild, Sample};
use tinytorch::nn::{Conv2d, Flatten, Forward, Gelu, Init, Linear, Module, Sequential};
use tinytorch::tensor::Shape;
use tinytorch::{Result, Rng, Tensor};
use tinytorch_kernels::Isa;
use tinytorch_kernels::isa::Fault;

const CHANNELS: usize = 8;
const SIDE: usize = 16;
const DEPTH: usize = 24;

/// Some units in the last place more on scalar code, as sums in another order are.
#[derive(Module, Clone, Debug)]
struct LastBits;

impl Forward for LastBits {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(More { factor: 1.0 + 4e-6, on_scalar_alone: true }, &[x])
    }
}

/// Convolutions of what hangs on the instruction set in its last bits.
#[derive(Module, Clone)]
struct Deep {
    layers: Sequential,
    head: Linear,
}

impl Forward for Deep {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.layers.forward(x, ctx)?;
        self.head.forward(&Flatten.forward(&x, ctx)?, ctx)
    }
}

impl Rebuild for Deep {
    type Input = Var;
    type Config = ();
    const NAME: &'static str = "deep";

    fn config(&self) {}

    fn build(_: &(), init: &mut Init) -> Result<Deep> {
        let same = ConvGeometry::default().with_padding(1);
        let mut layers = Sequential::new();
        for _ in 0..DEPTH {
            let convolution = Conv2d::new(CHANNELS, CHANNELS, [3, 3], same, init)?;
            layers = layers.push(LastBits).push(convolution).push(Gelu);
        }
        let head = Linear::new(CHANNELS * SIDE * SIDE, 10, init)?;
        Ok(Deep { layers, head })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[CHANNELS, SIDE, SIDE])?)])
    }
}

fn determinism(report: &ModelReport) -> &Gate {
    report.gates.iter().find(|gate| gate.id == "determinism").unwrap()
}

/// With weights that keep the size of what they multiply.
fn deep() -> Subject {
    let mut float = Deep::build(&(), &mut Init::seed(1)).unwrap();
    for (name, param) in float.named_params_mut() {
        if name.starts_with("layers") && name.ends_with("weight") {
            let values = param.value().unwrap().to_vec::<f32>().unwrap().into_iter();
            let values: Vec<f32> = values.map(|v| 2.6 * v).collect();
            *param.value_mut().unwrap() = Tensor::from_vec(values, param.shape()).unwrap();
        }
    }
    let samples = Tensor::randn([32, CHANNELS, SIDE, SIDE], 1.0, &mut Rng::seed(2)).unwrap();
    quantized(Box::new(float), samples)
}

/// A level that flips changes the roundings of all layers behind it, so that instruction sets are as far apart as
/// roundings that have nothing in common, although each layer is the same on both.
#[test]
fn a_deep_model_whose_roundings_part_is_sound() {
    let _stage = Stage::enter();
    let report = audit(&deep());
    let gate = determinism(&report);
    assert_eq!(gate.result, Outcome::Pass, "{}", gate.reason);
    if Isa::active() != Isa::Scalar {
        let off = percent_before(&gate.reason, " % off");
        let error = report.gates.iter().find(|gate| gate.id == "output_error").unwrap();
        assert!(off > 0.7 * error.value.unwrap(), "its roundings part: {}", gate.reason);
        // Beyond sqrt(2) of the error lies what chance allows of 16 samples.
        let allowed = percent_before(&gate.reason, " % allowed");
        assert!((1.4..4.0).contains(&(allowed / error.value.unwrap())), "{}", gate.reason);
    }
}

fn percent_before(reason: &str, word: &str) -> f64 {
    let before = reason.split(word).next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Far less than rounding to 8 bits: the ops show it, not the model's outputs.
#[test]
fn an_op_that_is_a_ten_thousandth_off_on_one_instruction_set() {
    let stage = Stage::enter();
    if Isa::active() == Isa::Scalar {
        return;
    }
    let by = |factor: f32| {
        let mut subject = stage.mlp().subject();
        subject.int8 = Impostor::boxed(subject.int8, Instead::ScalarMore(factor));
        audit(&subject)
    };
    assert_caught(
        &by(1.0001),
        "determinism",
        "more after `layers.4.weight` is 1.3e-4 away on scalar",
    );
    assert_caught(&by(1.00002), "determinism", "away on scalar");
    // What floats may be apart that are summed in another order.
    let report = by(1.000_005);
    assert_eq!(determinism(&report).result, Outcome::Pass, "{}", determinism(&report).reason);
}

/// No op is off: what a plan makes of them is, by a unit in the last place.
#[test]
fn a_plan_that_is_a_last_bit_off_on_one_instruction_set() {
    let stage = Stage::enter();
    if Isa::active() == Isa::Scalar {
        return;
    }
    let mut subject = stage.mlp().subject();
    let more = Instead::PlannedMore { factor: 1.0 + f32::EPSILON, on_scalar_alone: true };
    subject.int8 = Impostor::boxed(subject.int8, more);
    assert_caught(&audit(&subject), "determinism", "on scalar the plan gives other bits");
}

/// Integers that an op makes of floats have no last bit that may be another.
#[test]
fn an_op_that_counts_otherwise_on_one_instruction_set() {
    let stage = Stage::enter();
    if Isa::active() == Isa::Scalar {
        return;
    }
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::boxed(subject.int8, Instead::Counted);
    assert_caught(
        &audit(&subject),
        "determinism",
        "count after `layers.4.weight` gives other bits",
    );
}

/// Each op is as near as floats are, and the model is not.
#[test]
fn last_bits_that_grow_on_one_instruction_set() {
    let stage = Stage::enter();
    if Isa::active() == Isa::Scalar {
        return;
    }
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::boxed(subject.int8, Instead::Amplified);
    assert_caught(&audit(&subject), "determinism", "the model is");
}

/// Sums rounded to floats move hardly any output, and not at all on the set that the model is deployed on.
#[test]
fn a_kernel_of_a_set_that_is_not_deployed_which_rounds_its_sums() {
    let stage = Stage::enter();
    let isas = vec![Isa::Scalar, Isa::Faulty(Fault::RoundedWords)];
    let options = AuditOptions { deployed: Isa::Scalar, isas, ..AuditOptions::default() };
    let report = audit_with(&by_words(stage.mlp()), &options);
    assert_caught(&report, "determinism", "`layers.0.weight` gives other bits on faulty");
    let report = audit_with(&by_words(stage.mlp()), &AuditOptions::default());
    assert_eq!(determinism(&report).result, Outcome::Pass, "{}", determinism(&report).reason);
}
