//! Int8 models that have learned since they were quantized.

use super::support::{
    Net, OUTPUTS, WITHOUT, WITHOUT_CLASSES, assert_failed, assert_passed, clouds, dynamic, int8_of,
    judge, outputs, randn, train, trained, turn,
};
use tinytorch::Tensor;
use tinytorch::audit::{AuditOptions, HeldOut, Subject, changed_params};
use tinytorch::fit::lora::{self as adapters, AdapterConfig};
use tinytorch::models::{Cnn, CnnBlock, CnnConfig, Rebuild};
use tinytorch::nn::{Init, Module};

#[test]
fn an_int8_model_that_was_fine_tuned_is_audited_again() {
    let _turn = turn();
    let float = trained();
    let (inputs, labels) = clouds(400, 3);
    let (mut tuned, report) = int8_of(&float, std::slice::from_ref(&inputs), &dynamic());
    let before = tuned.clone();
    let rank = AdapterConfig { rank: 2, alpha: 8.0 };
    adapters::attach(&mut tuned, "*", rank, &mut Init::seed(3)).unwrap();
    // Learns that the classes have changed places, which it did not know before.
    let turned = |labels: &Tensor| {
        let labels = labels.to_vec::<i64>().unwrap();
        let next = labels.iter().map(|label| (label + 1) % OUTPUTS as i64).collect();
        Tensor::from_vec(next, [labels.len()]).unwrap()
    };
    let (new_inputs, new_labels) = clouds(256, 4);
    train(&mut tuned, (new_inputs, turned(&new_labels)), 12);
    let names = changed_params(&before, &tuned).unwrap();
    let adapted = ["hidden.lora_A", "hidden.lora_B", "hidden.bias"];
    assert!(adapted.iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
    assert!(!names.iter().any(|name| name.ends_with("weight")), "{names:?}");

    let labels = turned(&labels);
    let about = |int8: &Net| {
        let held_out = HeldOut::new([inputs.clone()], [labels.clone()]).unwrap();
        Subject::new("tuned", &float, int8, held_out).unwrap().quantized_by(&dynamic(), &report)
    };
    let untold = judge(&about(&tuned), &AuditOptions::default());
    assert_failed(&untold, "structure", "parameters became");
    let sound = judge(&about(&tuned).fine_tuned(names.clone()).unwrap(), &AuditOptions::default());
    assert_passed(&sound, &WITHOUT);
    assert!(sound.int8_quality > 95.0, "{}", sound.int8_quality);

    // What was not trained has to be as it was.
    let most = names.iter().filter(|name| *name != "head.bias").cloned();
    let partly = judge(&about(&tuned).fine_tuned(most).unwrap(), &AuditOptions::default());
    assert_failed(&partly, "structure", "`head.bias`");
    let mut swapped = tuned.clone();
    let other = Net::build(&(), &mut Init::seed(9)).unwrap();
    let other = int8_of(&other, std::slice::from_ref(&inputs), &dynamic()).0;
    let foreign = other.hidden.weight.stored().clone();
    swapped.change_weights(&mut |name, weight| {
        if name == "hidden.weight" {
            weight.store(foreign.clone());
        }
    });
    let swapped = about(&swapped).fine_tuned(names).unwrap();
    assert_failed(&judge(&swapped, &AuditOptions::default()), "structure", "`hidden.weight`");
    let error = about(&tuned).fine_tuned(["hidden.weight"]).err().unwrap().to_string();
    assert!(error.contains("`hidden.weight`"), "{error}");
}

#[test]
fn a_bias_that_took_in_a_batch_norm_is_fine_tuned() {
    let _turn = turn();
    let blocks = vec![CnnBlock { channels: 16, pool: 2 }];
    let sizes = CnnConfig { input: [1, 8, 8], blocks, hidden: vec![32], outputs: 3 };
    let float = Cnn::new(&sizes, &mut Init::seed(3)).unwrap();
    let images = randn(&[32, 1, 8, 8], 4);
    let (before, report) = int8_of(&float, std::slice::from_ref(&images), &dynamic());
    assert_eq!(report.folded, ["blocks.0.norm"]);
    let mut tuned = before.clone();
    let bias = tuned.blocks[0].conv.bias.as_mut().unwrap().value_mut().unwrap();
    *bias = bias.add(&Tensor::scalar(0.75)).unwrap();
    let names = changed_params(&before, &tuned).unwrap();
    assert_eq!(names, ["blocks.0.conv.bias"]);
    let target = outputs(&tuned, std::slice::from_ref(&images));
    let about = || {
        let held_out = HeldOut::new([images.clone()], [target.clone()]).unwrap();
        Subject::new("cnn", &float, &tuned, held_out).unwrap().quantized_by(&dynamic(), &report)
    };
    let report = judge(&about().fine_tuned(names).unwrap(), &AuditOptions::default());
    assert_passed(&report, &WITHOUT_CLASSES);
    assert_failed(&judge(&about(), &AuditOptions::default()), "structure", "`blocks.0.conv.bias`");
}
