//! The audit, audited: each test plants one fault in a sound model, and the audit has to fail the right
//! gate and to name the layer or tensor at fault.

mod planted;

use planted::contents::Contents;
use planted::models::{Impostor, Instead};
use planted::{Base, Stage, assert_caught, audit, audit_with, faulty};
use std::io::BufRead;
use std::sync::OnceLock;
use tinytorch::Tensor;
use tinytorch::audit::{Means, Outcome, Probe};
use tinytorch::io::load_model;
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::Init;
use tinytorch::profile::process::{ProbeRequest, run, run_with};
use tinytorch::quant::{Activations, QuantConfig};
use tinytorch_kernels::isa::Fault;
use tinytorch_kernels::os::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Starts this binary anew, to run only the test of this name, which answers a probe.
fn probe(answering: &str) -> Means {
    let args = ["--exact", answering, "--ignored", "--nocapture", "--test-threads=1"];
    let args = args.map(String::from).to_vec();
    let probe = Some(Probe { program: std::env::current_exe().unwrap(), args });
    Means { probe, ..Means::default() }
}

fn request() -> ProbeRequest {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe() {
    // The test runner has begun a line of its own.
    println!("\n{}", serde_json::to_string(&run(&request()).unwrap()).unwrap());
}

#[test]
#[ignore = "answers the other tests, which start it in a process of its own"]
fn answer_a_probe_with_a_cache_of_floats() {
    let frame = |architecture: &Architecture| {
        let model = architecture.build(&mut Init::absent())?;
        Ok(Impostor::new(model, Instead::Cache(OnceLock::new())))
    };
    println!("\n{}", serde_json::to_string(&run_with(&request(), &frame).unwrap()).unwrap());
}

#[test]
fn a_sound_model_passes_every_gate() {
    let stage = Stage::enter();
    // Written again by the editor of files, so that what tests find is not the editing.
    let report = audit_with(&stage.mlp().edited(|_| ()), &probe("answer_a_probe"));
    for gate in &report.gates {
        assert_eq!(gate.result, Outcome::Pass, "{}: {}", gate.id, gate.reason);
    }
    assert_eq!(report.verdict, Outcome::Pass);
}

#[test]
fn sound_models_fail_no_gate() {
    let stage = Stage::enter();
    for subject in [stage.mlp().subject(), stage.cnn().subject(), stage.cnn().edited(|_| ())] {
        for gate in audit(&subject).gates {
            assert_ne!(gate.result, Outcome::Fail, "{}: {}", gate.id, gate.reason);
        }
    }
}

#[test]
fn scales_along_the_wrong_axis() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        let (floats, _) = dequantized(file, "layers.1.weight");
        let magnitude = |j: usize| (0..128).map(|i| floats[i * 128 + j].abs()).fold(0.0, f32::max);
        let scales: Vec<f32> = (0..128).map(|j| magnitude(j) / 127.0).collect();
        file.change("layers.1.weight", |levels: &mut [i8]| {
            for (at, level) in levels.iter_mut().enumerate() {
                *level = (floats[at] / scales[at % 128]).round() as i8;
            }
        });
        file.change("layers.1.weight_scale", |to: &mut [f32]| to.copy_from_slice(&scales));
    });
    assert_caught(&audit(&subject), "structure", "`layers.1.weight`");
}

#[test]
fn scales_of_two_channels_swapped() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("blocks.1.conv.weight_scale", |scales: &mut [f32]| scales.swap(2, 9));
    });
    assert_caught(&audit(&subject), "structure", "`blocks.1.conv.weight`");
}

#[test]
fn scales_off_by_a_tenth() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.2.weight_scale", |s: &mut [f32]| s.iter_mut().for_each(|s| *s *= 1.1));
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.2.weight`");
    assert_caught(&report, "output_error", "`layers.2.weight`");
}

#[test]
fn a_zero_point_clipped_to_zero() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.0.input_zero_point", |zero: &mut [u8]| zero[0] = 0);
    });
    assert_caught(&audit(&subject), "output_error", "`layers.0.weight`");
}

#[test]
fn a_zero_point_for_signed_values_where_there_are_none() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("blocks.1.conv.input_zero_point", |zero: &mut [u8]| zero[0] = 128);
    });
    assert_caught(&audit(&subject), "output_error", "`blocks.1.conv.weight`");
}

#[test]
fn a_layer_left_in_float_without_a_reason() {
    let stage = Stage::enter();
    let config = QuantConfig { skip: vec!["layers.4.weight".into()], ..QuantConfig::default() };
    let base = stage.mlp();
    let file = base.quantize("skipped", base.train.inputs(), &config).unwrap();
    let mut subject = base.subject_of(file).unwrap();
    let asked_for = audit(&subject);
    let coverage = |r: &tinytorch::audit::ModelReport| {
        r.gates.iter().find(|gate| gate.id == "coverage").unwrap().result
    };
    assert_eq!(coverage(&asked_for), Outcome::Pass, "1 % of the weights, on request");
    subject.config.skip.clear();
    assert_caught(&audit(&subject), "coverage", "`layers.4.weight`");
}

#[test]
fn a_float_model_that_runs_in_place_of_the_int8_one() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::new(subject.int8, Instead::Float(subject.float.clone()));
    assert_caught(&audit(&subject), "coverage", "`layers.0.weight` never ran");
}

#[cfg(target_os = "linux")]
#[test]
fn floats_that_stay_alive_after_their_first_use() {
    let stage = Stage::enter();
    let means = probe("answer_a_probe_with_a_cache_of_floats");
    let report = audit_with(&stage.mlp().subject(), &means);
    assert_caught(&report, "no_f32_copy", "`layers.");
    assert_caught(&report, "process_memory", "after 100 passes");
}

#[test]
fn weights_turned_into_floats_for_each_multiplication() {
    let stage = Stage::enter();
    let config = QuantConfig { activations: Activations::Float, ..QuantConfig::default() };
    let base = stage.mlp();
    let file = base.quantize("weight-only", base.train.inputs(), &config).unwrap();
    let report = audit(&base.subject_of(file).unwrap());
    assert_caught(&report, "coverage", "`layers.0.weight` ran as");
}

#[test]
fn ranges_calibrated_on_dimmer_images() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let images = base.train.inputs();
    let dim: Vec<f32> = images.to_vec::<f32>().unwrap().into_iter().map(|v| v * 0.4).collect();
    let dim = Tensor::from_vec(dim, *images.shape()).unwrap();
    let file = base.quantize("stale", &dim, &QuantConfig::default()).unwrap();
    let report = audit(&base.subject_of(file).unwrap());
    assert_caught(&report, "output_error", "`layers.0.weight`");
}

#[test]
fn ranges_far_wider_than_what_they_hold() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("head.layers.0.input_scale", |scale: &mut [f32]| scale[0] *= 20.0);
    });
    assert_caught(&audit(&subject), "output_error", "`head.layers.0.weight`");
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
fn a_truncated_file() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let bytes = std::fs::read(base.int8()).unwrap();
    let path = base.int8().with_file_name("truncated.safetensors");
    std::fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    let error = base.subject_of(path).err().unwrap().to_string();
    assert!(error.contains("truncated") && error.contains("\"layers.4.weight\""), "{error}");
}

#[test]
fn a_scale_that_is_not_a_number() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let path = base.edited_file(|file| {
        file.change("layers.1.weight_scale", |scales: &mut [f32]| scales[7] = f32::NAN);
    });
    let error = base.subject_of(path).err().unwrap().to_string();
    assert!(error.contains("layers.1.weight_scale") && error.contains("NaN"), "{error}");
}

#[test]
fn one_bit_of_a_bias() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.2.bias", |b: &mut [f32]| b[5] = f32::from_bits(b[5].to_bits() ^ 1));
    });
    assert_caught(&audit(&subject), "structure", "`layers.2.bias`");
}

#[test]
fn one_bit_of_a_bias_that_took_in_a_batch_norm() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        let flip = |b: &mut [f32]| b[3] = f32::from_bits(b[3].to_bits() ^ 1);
        file.change("blocks.0.conv.bias", flip);
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.conv.bias`");
}

#[test]
fn one_bit_of_a_folded_batch_norm() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        let flip = |v: &mut [f32]| v[0] = f32::from_bits(v[0].to_bits() ^ 1);
        file.change("blocks.1.norm.running_var", flip);
    });
    assert_caught(&audit(&subject), "structure", "`blocks.1.norm.running_var`");
}

#[test]
fn biases_rounded_to_16_bits() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.0.bias", |bias: &mut [f32]| {
            bias.iter_mut().for_each(|b| *b = f32::from_bits(b.to_bits() & 0xffff_0000));
        });
    });
    assert_caught(&audit(&subject), "structure", "`layers.0.bias`");
}

#[test]
fn two_layers_swapped() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| file.swap_layers("layers.1.", "layers.2."));
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.1.weight`");
    assert_caught(&report, "structure", "`layers.1.bias`");
}

#[test]
fn layers_run_in_another_order() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::new(subject.int8, Instead::Order(vec![0, 2, 1, 3, 4]));
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.2.weight` ran where");
}

#[test]
fn a_layer_that_is_passed_over() {
    let stage = Stage::enter();
    let mut subject = stage.mlp().subject();
    subject.int8 = Impostor::new(subject.int8, Instead::Order(vec![0, 2, 3, 4]));
    assert_caught(&audit(&subject), "coverage", "`layers.1.weight` never ran");
}

#[test]
fn a_batch_norm_that_is_folded_and_does_not_say_so() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.rewrite("flags", |flags| {
            let without = flags.replace("\"blocks.0.norm.folded\",", "");
            assert_ne!(without, flags);
            without
        });
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.norm`");
}

#[test]
fn a_batch_norm_folded_into_the_weights_and_not_into_the_bias() {
    let stage = Stage::enter();
    let base = stage.cnn();
    let float = base.floats().values::<f32>("blocks.1.conv.bias");
    let subject = base.edited(|file| {
        file.change("blocks.1.conv.bias", |bias: &mut [f32]| bias.copy_from_slice(&float));
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`blocks.1.conv.bias`");
    assert_caught(&report, "output_error", "`blocks.1.conv.weight`");
}

#[test]
fn a_batch_norm_folded_without_its_variance() {
    let stage = Stage::enter();
    let base = stage.cnn();
    let variance = base.floats().values::<f32>("blocks.0.norm.running_var");
    let subject = base.edited(|file| {
        file.change("blocks.0.conv.weight_scale", |scales: &mut [f32]| {
            scales.iter_mut().zip(&variance).for_each(|(s, v)| *s *= v.sqrt());
        });
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.conv.weight`");
}

#[test]
fn a_transposed_weight() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.1.weight", |levels: &mut [i8]| {
            for i in 0..128 {
                for j in 0..i {
                    levels.swap(i * 128 + j, j * 128 + i);
                }
            }
        });
    });
    assert_caught(&audit(&subject), "structure", "`layers.1.weight`");
}

#[test]
fn the_int8_form_of_another_training() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let architecture = load_model(base.float()).unwrap().model.architecture();
    let other = Base::train(architecture, 1, 1).unwrap();
    let report = audit(&base.subject_of(other.int8()).unwrap());
    assert_caught(&report, "structure", "not the one that was quantized");
    assert_caught(&report, "structure", "`layers.0.weight`");
}

#[test]
fn classes_in_another_order() {
    let stage = Stage::enter();
    let subject = stage.mlp().edited(|file| {
        file.change("layers.4.weight", |levels: &mut [i8]| levels.rotate_left(63));
        file.change("layers.4.weight_scale", |scales: &mut [f32]| scales.rotate_left(1));
        file.change("layers.4.bias", |bias: &mut [f32]| bias.rotate_left(1));
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`layers.4.weight`");
    assert_caught(&report, "accuracy", "");
    assert_caught(&report, "agreement", "");
}

#[test]
fn weights_rounded_down_and_not_to_the_nearest_level() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let mut float = base.floats();
    let floats = float.values::<f32>("layers.1.weight");
    let subject = base.edited(|file| {
        let scales = file.values::<f32>("layers.1.weight_scale");
        file.change("layers.1.weight", |levels: &mut [i8]| {
            for (at, level) in levels.iter_mut().enumerate() {
                *level = (floats[at] / scales[at / 128]).floor().clamp(-127.0, 127.0) as i8;
            }
        });
    });
    assert_caught(&audit(&subject), "output_error", "`layers.1.weight`");
}

#[test]
fn four_bits_sold_as_eight() {
    let stage = Stage::enter();
    let subject = stage.cnn().edited(|file| {
        file.change("head.layers.0.weight", |levels: &mut [i8]| {
            levels.iter_mut().for_each(|q| *q = (f32::from(*q) / 16.0).round() as i8 * 15);
        });
    });
    assert_caught(&audit(&subject), "output_error", "`head.layers.0.weight`");
}

#[test]
fn a_float_copy_in_the_file() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let copy = base.floats().tensor("layers.1.weight").clone();
    let subject = base.edited(|file| file.tensors.push(("@layers.1.weight".into(), copy)));
    let report = audit(&subject);
    assert_caught(&report, "file_bytes", "`@layers.1.weight`");
    assert_caught(&report, "round_trip", "another file");
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
    let subject = planted::quantized(float, 40_000);
    assert_caught(&audit(&subject), "overflow", "`layers.0.weight`");
}

#[test]
fn a_float_model_that_has_learned_nothing() {
    let stage = Stage::enter();
    let architecture = load_model(stage.mlp().float()).unwrap().model.architecture();
    let untrained = Base::train(architecture, 0, 3).unwrap();
    assert_caught(&audit(&untrained.subject()), "f32_floor", "");
}

/// The floats that the levels of a weight stand for, and its scales, one for each row.
fn dequantized(file: &mut Contents, name: &str) -> (Vec<f32>, Vec<f32>) {
    let levels = file.values::<i8>(name);
    let scales = file.values::<f32>(&format!("{name}_scale"));
    let k = levels.len() / scales.len();
    let floats = levels.iter().enumerate().map(|(at, &q)| f32::from(q) * scales[at / k]);
    (floats.collect(), scales)
}
