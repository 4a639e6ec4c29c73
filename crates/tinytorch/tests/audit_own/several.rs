//! Models of several outputs and of several inputs.

use super::support::{
    INPUTS, OUTPUTS, WIDTH, assert_failed, assert_passed, clouds, dynamic, int8_of, judge, outputs,
    probe, subject, trained, turn,
};
use tinytorch::audit::{AuditOptions, Budget, HeldOut, Subject, audit_model};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::models::{CnnBlock, ImageText, ImageTextConfig, Model, Rebuild, Sample};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::quant::{QuantConfig, QuantReport, Scheme};
use tinytorch::tensor::Shape;
use tinytorch::{Result, Tensor};

/// Classes and numbers from one hidden layer.
#[derive(Module, Clone)]
pub(crate) struct TwoHeads {
    hidden: Linear,
    classes: Linear,
    place: Linear,
}

impl Forward for TwoHeads {
    type Output = (Var, Var);

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<(Var, Var)> {
        let hidden = self.hidden.forward(x, ctx)?.relu(ctx)?;
        Ok((self.classes.forward(&hidden, ctx)?, self.place.forward(&hidden, ctx)?))
    }
}

impl Rebuild for TwoHeads {
    type Input = Var;
    type Config = ();
    const NAME: &'static str = "two-heads";

    fn config(&self) {}

    fn build(_: &(), init: &mut Init) -> Result<TwoHeads> {
        Ok(TwoHeads {
            hidden: Linear::new(INPUTS, WIDTH, init)?,
            classes: Linear::new(WIDTH, OUTPUTS, init)?,
            place: Linear::new(WIDTH, 2, init)?,
        })
    }

    fn samples(&self) -> Result<Vec<Sample>> {
        Ok(vec![Sample::Values(Shape::new(&[INPUTS])?)])
    }

    fn output_names(&self) -> Vec<String> {
        vec!["classes".into(), "place".into()]
    }
}

#[test]
#[cfg(target_os = "linux")]
fn every_output_is_judged_and_the_worst_decides() {
    let _turn = turn();
    let mut float = TwoHeads::build(&(), &mut Init::seed(1)).unwrap();
    let known = trained();
    (float.hidden, float.classes) = (known.hidden, known.head);
    let (inputs, labels) = clouds(400, 3);
    let (sound, mut int8) = subject(&float, std::slice::from_ref(&inputs), labels.clone());
    let options = AuditOptions { probe: Some(probe()), ..AuditOptions::default() };
    let report = judge(&sound, &options);
    assert_passed(&report, &["unseen", "calibration"]);
    let gate = report.gates.iter().find(|gate| gate.id == "output_error").unwrap();
    assert!(
        gate.reason.contains("`classes` ") && gate.reason.contains("`place` "),
        "{}",
        gate.reason
    );

    let bias = int8.place.bias.as_mut().unwrap().value_mut().unwrap();
    *bias = bias.add(&Tensor::full(4.0, [2]).unwrap()).unwrap();
    let held_out = HeldOut::new([inputs], [labels]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap();
    let faulty = faulty.quantized_by(&dynamic(), &QuantReport::default());
    let report = judge(&faulty, &AuditOptions::default());
    assert_failed(&report, "output_error", "of `place`");
    assert_failed(&report, "structure", "`place.bias`");

    // Static ranges are calibrated through both outputs, and found again without data.
    let config = QuantConfig { scheme: Scheme::default(), ..dynamic() };
    let (inputs, labels) = clouds(96, 5);
    let (int8, report) = int8_of(&float, std::slice::from_ref(&inputs), &config);
    let held_out = HeldOut::new([inputs], [labels]).unwrap();
    let fixed = Subject::new("fixed", &float, &int8, held_out).unwrap();
    let report = judge(&fixed.quantized_by(&config, &report), &AuditOptions::default());
    let gate = report.gates.iter().find(|gate| gate.id == "calibration").unwrap();
    assert!(gate.value.is_some(), "{}", gate.reason);
}

pub(crate) fn image_text() -> ImageText {
    let config = ImageTextConfig {
        input: [1, 8, 8],
        blocks: vec![CnnBlock { channels: 16, pool: 2 }],
        vocab: 20,
        context: 6,
        pad: 0,
        dim: 64,
        layers: 1,
        heads: 2,
        hidden: 512,
        outputs: 3,
    };
    ImageText::new(&config, &mut Init::seed(0)).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_model_of_two_inputs_passes_every_gate_and_its_faults_are_found() {
    let _turn = turn();
    let float = image_text();
    let inputs = (&float as &dyn Model).example(64).unwrap();
    let scores = outputs(&float, &inputs);
    let (sound, mut int8) = subject(&float, &inputs, scores.clone());
    let options = AuditOptions { probe: Some(probe()), ..AuditOptions::default() };
    assert_passed(&judge(&sound, &options), &["unseen", "calibration", "agreement", "classes"]);

    *int8.norm.bias.value_mut().unwrap() = Tensor::full(1.5, [64]).unwrap();
    let held_out = HeldOut::new(inputs.clone(), [scores.clone()]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap();
    let report = QuantReport { changed: sound.changed.clone(), ..QuantReport::default() };
    let faulty = faulty.quantized_by(&dynamic(), &report);
    let report = judge(&faulty, &AuditOptions::default());
    assert_failed(&report, "structure", "`norm.bias`");
    assert_failed(&report, "output_error", "relative L2 error");

    let one = HeldOut::new([inputs[0].clone()], [scores]).unwrap();
    let one = Subject::new("one", &float, &int8, one).unwrap();
    let error = audit_model(&one, &Budget::default(), &AuditOptions::default()).unwrap_err();
    assert!(error.to_string().contains("takes 2"), "{error}");
}
