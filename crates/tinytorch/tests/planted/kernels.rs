//! Kernels that compute something else, or in another way than they should.

use super::models::{Impostor, Instead};
use super::{Base, Stage, assert_caught, audit, audit_with, faulty, probe, quantized};
use tinytorch::audit::{AuditOptions, ModelReport, Outcome, Subject};
use tinytorch::models::{Architecture, CnnBlock, CnnConfig, MlpConfig};
use tinytorch::nn::Init;
use tinytorch::quant::{Activations, QuantConfig};
use tinytorch::{Rng, Tensor};
use tinytorch_kernels::Ran;
use tinytorch_kernels::isa::Fault;

#[test]
fn a_float_model_that_runs_in_place_of_the_int8_one() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::boxed(subject.int8, Instead::Float(subject.float.clone()));
    assert_caught(&audit(&subject), "coverage", "`layers.0.weight` never ran");
}

#[test]
#[cfg(target_os = "linux")]
fn floats_that_stay_alive_after_their_first_use() {
    let stage = Stage::enter();
    let options = probe("answer_a_probe_with_a_cache_of_floats");
    let report = audit_with(&stage.mlp().subject(), &options);
    assert_caught(&report, "no_f32_copy", "`layers.");
    assert_caught(&report, "process_memory", "passes of each");
}

/// More passes than a peak needs show it, and no other gate does: nearly all copies of a small model run twice.
#[test]
#[cfg(target_os = "linux")]
fn floats_that_are_first_kept_after_some_passes() {
    let stage = Stage::enter();
    let options = probe("answer_a_probe_with_a_cache_from_the_50th_pass_on");
    let report = audit_with(&stage.mlp().subject(), &options);
    assert_caught(&report, "no_f32_copy", "a float copy of `layers.");
}

#[test]
fn weights_turned_into_floats_for_each_multiplication() {
    let stage = Stage::enter();
    let config = QuantConfig::new(Activations::Float);
    let base = stage.mlp();
    let file = base.quantize("weight-only", base.train.inputs(), &config).unwrap();
    let report = audit(&base.subject_of(file).unwrap());
    assert_caught(&report, "coverage", "`layers.0.weight` ran as");
}

#[test]
fn a_kernel_is_judged_by_what_it_did_and_not_by_its_name() {
    let stage = Stage::enter();
    let report = |kernel: Option<Ran>| {
        let mut subject = stage.mlp().subject();
        if let Some(kernel) = kernel {
            subject.int8 = Impostor::boxed(subject.int8, Instead::Saying(kernel));
        }
        audit(&subject)
    };
    let outcomes = |report: &ModelReport| {
        report.gates.iter().map(|gate| (gate.id, gate.result)).collect::<Vec<_>>()
    };
    let renamed = report(Some(Ran::int8("product_f32_of_its_own")));
    assert_eq!(outcomes(&renamed), outcomes(&report(None)));
    let coverage = renamed.gates.iter().find(|gate| gate.id == "coverage").unwrap();
    assert!(coverage.reason.contains("product_f32_of_its_own"), "{}", coverage.reason);
    let boasting = report(Some(Ran::float("gemm_int8_avx512vnni")));
    assert_caught(&boasting, "coverage", "`layers.0.weight` ran as gemm_int8_avx512vnni");
}

#[test]
fn a_kernel_that_saturates_in_16_bits() {
    let stage = Stage::enter();
    let report = audit_with(&stage.mlp().subject(), &faulty(Fault::SaturatingPairs));
    assert_caught(&report, "determinism", "`layers.0.weight`");
    assert_caught(&report, "output_error", "the kernel of `layers.0.weight`");
}

#[test]
fn a_kernel_that_leaves_out_the_last_inputs() {
    let stage = Stage::enter();
    let report = audit_with(&stage.mlp().subject(), &faulty(Fault::DroppedTail));
    assert_caught(&report, "determinism", "`layers.4.weight` gives other bits on faulty");
    assert_caught(&report, "output_error", "the kernel of `layers.4.weight`");
}

#[test]
fn a_kernel_whose_result_changes_from_run_to_run() {
    let stage = Stage::enter();
    let report = audit_with(&stage.mlp().subject(), &faulty(Fault::Unsteady));
    assert_caught(&report, "determinism", "`layers.0.weight`");
}

/// Weights of one sign side by side sum beyond 16 bits, and this instruction set adds them there: the
/// overflow is real, on the set that adds.
#[test]
fn sums_that_overflow_on_the_instruction_set_that_adds_them() {
    let stage = Stage::enter();
    for (base, layer) in [(stage.mlp(), "layers.1.weight"), (stage.cnn(), "blocks.1.conv.weight")] {
        let report = audit_with(&base.subject(), &faulty(Fault::SaturatingPairs));
        assert_caught(&report, "overflow", &format!("`{layer}` sums to"));
        assert_caught(&report, "overflow", "is exact");
    }
}

/// The int8 model with activations of 16 bits.
pub(super) fn by_words(base: &Base) -> Subject {
    let config = QuantConfig::new(Activations::Dynamic16);
    base.subject_of(base.quantize("words", base.train.inputs(), &config).unwrap()).unwrap()
}

#[test]
fn a_kernel_that_loses_the_sign_of_16_bit_activations() {
    let stage = Stage::enter();
    let report = audit_with(&by_words(stage.mlp()), &faulty(Fault::UnsignedWords));
    assert_caught(&report, "determinism", "`layers.0.weight` gives other bits on faulty");
    assert_caught(&report, "output_error", "the kernel of `layers.0.weight`");
    assert_caught(&report, "overflow", "`layers.0.weight` sums to");
}

#[test]
fn a_kernel_that_keeps_sums_of_16_bit_activations_in_22_bits() {
    let stage = Stage::enter();
    let report = audit_with(&by_words(stage.gpt()), &faulty(Fault::NarrowWords));
    assert_caught(&report, "determinism", "gives other bits on faulty");
    assert_caught(&report, "output_error", "the kernel of `blocks.0.");
    assert_caught(&report, "overflow", "`blocks.0.");
}

/// Hardly any output moves by that, and none by as much as its rounding to 8 bits.
#[test]
fn a_kernel_that_rounds_sums_of_16_bit_activations_to_floats() {
    let stage = Stage::enter();
    let report = audit_with(&by_words(stage.mlp()), &faulty(Fault::RoundedWords));
    assert_caught(&report, "determinism", "`layers.0.weight` gives other bits on faulty");
    assert_caught(&report, "overflow", "`layers.0.weight` sums to");
}

#[test]
fn tiles_that_are_transformed_in_too_few_bits_or_without_their_sign() {
    let stage = Stage::enter();
    for fault in [Fault::NarrowTiles, Fault::UnsignedWords] {
        let report = audit_with(&stage.wide_cnn().subject(), &faulty(fault));
        let place = "`blocks.1.conv.weight`";
        assert_caught(&report, "determinism", &format!("{place} gives other bits on faulty"));
        assert_caught(&report, "output_error", &format!("the kernel of {place}"));
        assert_caught(&report, "overflow", &format!("{place} convolves to"));
        // One channel is too few for tiles.
        for gate in &report.gates {
            assert!(!gate.reason.contains("`blocks.0.conv.weight` gives"), "{}", gate.reason);
        }
    }
}

/// Weights of one sign sum to four times as much in tiles as they do otherwise, at the image that the gate gives them.
#[test]
fn tiles_whose_sums_saturate() {
    let _stage = Stage::enter();
    let blocks = [16, 16].map(|channels| CnnBlock { channels, pool: 1 }).to_vec();
    let sizes = CnnConfig { input: [1, 8, 8], blocks, hidden: vec![], outputs: 2 };
    let mut float = Architecture::Cnn(sizes).build(&mut Init::seed(1)).unwrap();
    for (_, param) in float.named_params_mut() {
        let ones = Tensor::ones(param.shape().dims()).unwrap();
        *param.value_mut().unwrap() = ones;
    }
    let samples = Tensor::rand([32, 1, 8, 8], 0.0, 1.0, &mut Rng::seed(5)).unwrap();
    let report = audit_with(&quantized(float, samples), &faulty(Fault::NarrowWords));
    assert_caught(&report, "overflow", "`blocks.1.conv.weight` convolves to");
    assert_caught(&report, "overflow", "where 4663");
}

/// A row of 40,000 weights of 127 sums to 40,000 times 127 times 255, 1.30e9, and the zero point adds nothing to
/// that; longer ones than 65,793, which alone could exceed 32 bits, are never packed.
#[test]
fn case_9_rows_whose_sum_fits_do_not_overflow() {
    let _stage = Stage::enter();
    let widths = MlpConfig { inputs: 40_000, hidden: vec![], outputs: 2 };
    let mut float = Architecture::Mlp(widths).build(&mut Init::seed(1)).unwrap();
    for (_, param) in float.named_params_mut() {
        let ones = Tensor::ones(param.shape().dims()).unwrap();
        *param.value_mut().unwrap() = ones;
    }
    let samples = Tensor::rand([32, 40_000], -1.0, 1.0, &mut Rng::seed(5)).unwrap();
    let report = audit_with(&quantized(float, samples), &AuditOptions::default());
    let overflow = report.gates.iter().find(|gate| gate.id == "overflow").unwrap();
    assert_eq!(overflow.result, Outcome::Pass, "{}", overflow.reason);
    assert!(overflow.reason.contains("60.32 % of 32 bits"), "{}", overflow.reason);
}
