//! Files that are damaged, padded or of another model.

use super::{Stage, assert_caught, audit};

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
fn the_int8_form_of_another_training() {
    let stage = Stage::enter();
    let base = stage.mlp();
    let other = stage.another_mlp(1, 1);
    let report = audit(&base.subject_of(other.int8()).unwrap());
    assert_caught(&report, "structure", "not the one that was quantized");
    assert_caught(&report, "structure", "`layers.0.weight`");
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
fn a_float_model_that_has_learned_nothing() {
    let stage = Stage::enter();
    let untrained = stage.another_mlp(0, 3);
    assert_caught(&audit(&untrained.subject()), "f32_floor", "");
}
