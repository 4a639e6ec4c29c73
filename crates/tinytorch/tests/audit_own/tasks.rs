//! Models of every kind of task, and a measure of the program's own.

use super::support::{
    INPUTS, Net, OUTPUTS, WITHOUT_CLASSES, assert_failed, assert_passed, dynamic, int8_of, judge,
    outputs, randn, subject, trained, turn,
};
use std::sync::Arc;
use tinytorch::audit::{
    AuditOptions, Budget, Direction, HeldOut, Metric, Subject, Task, audit_model,
};
use tinytorch::quant::QuantReport;
use tinytorch::{Result, Tensor};

#[test]
fn a_model_without_classes_is_judged_by_the_variance_it_explains() {
    let _turn = turn();
    let float = trained();
    let inputs = randn(&[64, INPUTS], 5);
    let truth = outputs(&float, std::slice::from_ref(&inputs));
    let target = truth.add(&randn(&[64, OUTPUTS], 6).mul(&Tensor::scalar(0.05)).unwrap()).unwrap();
    let (sound, mut int8) = subject(&float, std::slice::from_ref(&inputs), target.clone());
    assert_eq!(sound.task, Task::Regression);
    let report = judge(&sound, &AuditOptions::default());
    assert_passed(&report, &WITHOUT_CLASSES);
    assert!((95.0..100.0).contains(&report.float_quality), "{}", report.float_quality);

    // One output is off by a constant, which relative errors of single layers hardly show.
    let bias = int8.head.bias.as_mut().unwrap().value_mut().unwrap();
    let off = Tensor::from_vec(vec![3.0, 0.0, 0.0, 0.0], [OUTPUTS]).unwrap();
    *bias = bias.add(&off).unwrap();
    let held_out = HeldOut::new([inputs], [target]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap();
    let faulty = faulty.quantized_by(&dynamic(), &QuantReport::default());
    let report = judge(&faulty, &AuditOptions::default());
    assert_failed(&report, "accuracy", "explained variance");
    assert_failed(&report, "structure", "`head.bias`");
    assert_failed(&report, "output_error", "`head.weight`");
}

#[test]
fn labels_of_which_several_fit_are_judged_by_their_ranking() {
    let _turn = turn();
    let float = trained();
    let inputs = randn(&[64, INPUTS], 7);
    let scores = outputs(&float, std::slice::from_ref(&inputs)).to_vec::<f32>().unwrap();
    let fits: Vec<f32> = scores.iter().map(|&score| f32::from(score > 0.0)).collect();
    let target = Tensor::from_vec(fits, [64, OUTPUTS]).unwrap();
    let (sound, mut int8) = subject(&float, std::slice::from_ref(&inputs), target.clone());
    let report = judge(&sound.task(Task::MultiLabel), &AuditOptions::default());
    assert_passed(&report, &[WITHOUT_CLASSES.as_slice(), &["f32_floor"]].concat());
    assert_eq!(report.float_quality, 100.0, "the scores have made the labels");

    // The outputs change places.
    let config = dynamic();
    let mut other = float.clone();
    let rows = other.head.weight.value().unwrap();
    let turned = [rows.slice(0, 1..OUTPUTS).unwrap(), rows.slice(0, 0..1).unwrap()];
    *other.head.weight.value_mut().unwrap() = Tensor::cat::<f32>(&turned, 0).unwrap();
    int8.head = int8_of(&other, std::slice::from_ref(&inputs), &config).0.head;
    let held_out = HeldOut::new([inputs], [target]).unwrap();
    let faulty = Subject::new("faulty", &float, &int8, held_out).unwrap().task(Task::MultiLabel);
    let report =
        judge(&faulty.quantized_by(&config, &QuantReport::default()), &AuditOptions::default());
    assert_failed(&report, "accuracy", "mean average precision");
    assert_failed(&report, "structure", "`head.weight`");
}

/// How far the largest output is from the largest target, at the worst sample.
struct Reach;

impl Metric for Reach {
    fn name(&self) -> &str {
        "reach"
    }

    fn unit(&self) -> &str {
        "mm"
    }

    fn direction(&self) -> Direction {
        Direction::LowerIsBetter
    }

    fn score(&self, outputs: &[Tensor], targets: &[Tensor]) -> Result<f64> {
        let largest =
            |t: &Tensor| t.to_vec::<f32>().map(|v| v.into_iter().fold(f32::MIN, f32::max));
        Ok(f64::from((largest(&outputs[0])? - largest(&targets[0])?).abs()))
    }
}

#[test]
fn a_metric_of_the_programs_own_decides() {
    let _turn = turn();
    let float = trained();
    let inputs = randn(&[64, INPUTS], 8);
    let far = outputs(&float, std::slice::from_ref(&inputs)).add(&Tensor::scalar(9.0)).unwrap();
    let task = || Task::Own(Arc::new(Reach));
    let (sound, _) = subject(&float, std::slice::from_ref(&inputs), far);
    let report = judge(&sound.task(task()), &AuditOptions::default());
    assert_passed(&report, &[WITHOUT_CLASSES.as_slice(), &["f32_floor"]].concat());
    assert_eq!(serde_json::to_value(&report).unwrap()["task"], "reach");
    assert!(
        tinytorch::audit::page::render(&tinytorch::audit::Report::new(vec![report]))
            .contains("Reach against float")
    );

    // Against a target that the float model reaches to the bit, any rounding is endless loss.
    let exact = outputs(&float, std::slice::from_ref(&inputs));
    let (strict, _) = subject(&float, &[inputs], exact);
    let report = judge(&strict.task(task()), &AuditOptions::default());
    assert_failed(&report, "accuracy", "reach 0.00 mm in float");
    let budget = Budget { max_error: 0.05, float_floor: Some(-1.0) };
    let report = audit_model(&strict_again(&float), &budget, &AuditOptions::default()).unwrap();
    assert_failed(&report, "f32_floor", "float reach");
}

fn strict_again(float: &Net) -> Subject {
    let inputs = randn(&[64, INPUTS], 8);
    let exact = outputs(float, std::slice::from_ref(&inputs));
    subject(float, &[inputs], exact).0.task(Task::Own(Arc::new(Reach)))
}
