//! What a plan says about its steps.

mod plan_common;

use plan_common::{cnn, ids, quantize, quantized_transformer, randn, residual, transformers};
use std::time::{Duration, Instant};
use tinytorch::int8::Granularity;
use tinytorch::models::Architecture;
use tinytorch::plan::{Plan, StepTime};
use tinytorch::quant::Activations;
use tinytorch::tensor::Dtype;
use tinytorch_kernels::Isa;

#[test]
fn levels_flow_from_layer_to_layer() {
    let mut model = cnn();
    quantize(&mut model, &[1, 28, 28], Activations::Static, Granularity::PerChannel);
    let mut plan = Plan::compile(&model, &randn(&[1, 1, 28, 28], 1)).unwrap();
    plan.run(&randn(&[1, 1, 28, 28], 1)).unwrap();
    let steps = plan.steps();
    let ops: Vec<&str> = steps.iter().map(|step| step.op).collect();
    let expected =
        ["quantize", "conv2d + relu", "max_pool2d", "conv2d + relu", "max_pool2d", "linear"];
    assert_eq!(ops, expected);
    let outputs: Vec<String> = steps.iter().map(|step| step.output.dtype.to_string()).collect();
    assert_eq!(outputs, ["u8", "u8", "u8", "u8", "u8", "f32"]);
    assert_eq!(steps[3].name, "3.weight");
    assert!(steps[3].kernel.unwrap().int8);
    assert_eq!(steps[5].weight_bytes, 10 * 1568 + 10 * 4 + 10 * 4);
}

#[test]
fn batch_norms_fold_and_relus_fuse_in_a_float_model() {
    let plan = Plan::compile(&residual(), &randn(&[1, 3, 9, 9], 1)).unwrap();
    let ops: Vec<&str> = plan.steps().iter().map(|step| step.op).collect();
    assert!(!ops.contains(&"batch_norm2d"), "{ops:?}");
    assert!(!ops.contains(&"relu"), "{ops:?}");
    assert_eq!(ops.iter().filter(|op| **op == "conv2d + relu").count(), 5, "{ops:?}");
}

#[test]
fn sums_between_int8_convolutions_stay_pixel_by_pixel() {
    let mut model = residual();
    quantize(&mut model, &[3, 9, 9], Activations::Static, Granularity::PerChannel);
    let plan = Plan::compile(&model, &randn(&[1, 3, 9, 9], 1)).unwrap();
    let steps = plan.steps();
    // Global pooling reads channel by channel.
    let turned = steps.iter().filter(|step| step.op == "to_nchw");
    assert_eq!(turned.map(|step| step.output.shape[1]).collect::<Vec<_>>(), [12]);
    // Only the image, what goes into each of the four blocks, which is added as floats too, and the
    // means are quantized on their own: inside a block levels flow.
    let quantized = steps.iter().filter(|step| step.op == "quantize").count();
    assert_eq!(quantized, 1 + 4 + 1, "{steps:#?}");
    let levels = steps.iter().filter(|s| s.op == "conv2d + relu" && s.output.dtype == Dtype::U8);
    assert_eq!(levels.count(), 4, "{steps:#?}");
    // The last convolution of each block adds what goes around it.
    assert_eq!(steps.iter().filter(|step| step.op == "conv2d + add + relu").count(), 4);
    assert!(!steps.iter().any(|step| step.op == "add"), "{steps:#?}");
}

#[test]
fn what_several_layers_quantize_alike_is_quantized_once() {
    for (architecture, layers) in transformers().into_iter().zip([6, 7, 6]) {
        for wide in [false, true] {
            let model = quantized_transformer(&architecture, Activations::Dynamic, wide);
            let mut plan = Plan::compile(&*model, &ids(1, 16)).unwrap();
            plan.run(&ids(1, 16)).unwrap();
            let steps = plan.steps();
            let count = |op: &str| steps.iter().filter(|step| step.op.starts_with(op)).count();
            // Queries, keys and values read one value, and so do both factors of a SwiGLU. A tied
            // output head is the last layer of the decoders.
            let head = usize::from(!matches!(architecture, Architecture::Bert(_)));
            assert_eq!(count("quantize"), 2 * 4 + head, "{steps:#?}");
            assert_eq!(count("linear"), 2 * layers + head);
            let kernel = if wide { "quantize_u16" } else { "quantize_u8" };
            let quantized: Vec<_> = steps.iter().filter(|step| step.op == "quantize").collect();
            assert!(
                quantized[..8].iter().all(|step| step.kernel.unwrap().name == kernel),
                "{quantized:#?}"
            );
        }
    }
}

#[test]
fn a_profile_accounts_for_the_whole_run() {
    let mut model = cnn();
    quantize(&mut model, &[1, 28, 28], Activations::Static, Granularity::PerChannel);
    let x = randn(&[4, 1, 28, 28], 1);
    let mut plan = Plan::compile(&model, &x).unwrap();
    let started = Instant::now();
    let rows = plan.profile(&x).unwrap();
    let wall = started.elapsed();
    assert_eq!(rows.len(), plan.steps().len() + 1);
    assert_eq!(rows.last().unwrap().name, StepTime::OTHER);
    assert!(rows.iter().map(|row| row.time).sum::<Duration>() <= wall);
    for (row, step) in rows.iter().zip(plan.steps()) {
        assert_eq!((row.name.as_str(), row.op), (step.name.as_str(), step.op));
        assert_eq!(Some(row.kernel), step.kernel.map(|ran| ran.name));
    }
}

#[test]
fn a_plan_on_another_instruction_set_has_not_run_yet() {
    let x = randn(&[1, 1, 28, 28], 1);
    let mut plan = Plan::compile(&cnn(), &x).unwrap();
    plan.run(&x).unwrap();
    assert!(plan.steps().iter().all(|step| step.kernel.is_some()));
    let plan = plan.on(Isa::Scalar);
    assert_eq!(plan.isa(), Isa::Scalar);
    assert!(plan.steps().iter().all(|step| step.kernel.is_none()));
}
