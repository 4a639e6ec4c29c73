//! Kernels that compute something else, or in another way than they should.

use super::models::{Impostor, Instead};
use super::{Stage, assert_caught, audit, audit_with, faulty, probe, quantized};
use tinytorch::Tensor;
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::Init;
use tinytorch::quant::{Activations, QuantConfig};
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
    assert_caught(&report, "process_memory", "after 100 passes");
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
    assert_caught(&report, "determinism", "`layers.4.weight`");
    assert_caught(&report, "output_error", "the kernel of `layers.4.weight`");
}

#[test]
fn a_kernel_whose_result_changes_from_run_to_run() {
    let stage = Stage::enter();
    let report = audit_with(&stage.mlp().subject(), &faulty(Fault::Unsteady));
    assert_caught(&report, "determinism", "`layers.0.weight`");
}

#[test]
fn rows_so_long_that_their_sum_overflows() {
    let _stage = Stage::enter();
    let widths = MlpConfig { inputs: 40_000, hidden: vec![], outputs: 2 };
    let mut float = Architecture::Mlp(widths).build(&mut Init::seed(1)).unwrap();
    for (_, param) in float.named_params_mut() {
        let ones = Tensor::ones(param.shape().dims()).unwrap();
        *param.value_mut().unwrap() = ones;
    }
    let subject = quantized(float, 40_000);
    assert_caught(&audit(&subject), "overflow", "`layers.0.weight`");
}
