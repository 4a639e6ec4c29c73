//! Faults of a language model, whose token table is looked up and multiplied.

use super::{Stage, assert_caught, audit, audit_with, faulty};
use tinytorch_kernels::isa::Fault;

const DIM: usize = 64;

#[test]
fn tokens_in_another_order() {
    let stage = Stage::enter();
    let subject = stage.gpt().edited(|file| {
        file.change("tokens.weight", |levels: &mut [i8]| levels.rotate_left(DIM));
        file.change("tokens.weight_scale", |scales: &mut [f32]| scales.rotate_left(1));
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`tokens.weight`");
    assert_caught(&report, "output_error", "`tokens.weight`");
    assert_caught(&report, "accuracy", "perplexity");
}

#[test]
fn positions_counted_from_one() {
    let stage = Stage::enter();
    let subject = stage.gpt().edited(|file| {
        file.change("positions.weight", |levels: &mut [i8]| levels.rotate_left(DIM));
        file.change("positions.weight_scale", |scales: &mut [f32]| scales.rotate_left(1));
    });
    assert_caught(&audit(&subject), "structure", "`positions.weight`");
}

#[test]
fn queries_and_keys_swapped() {
    let stage = Stage::enter();
    let subject = stage.gpt().edited(|file| {
        file.swap_layers("blocks.0.attention.q_proj.", "blocks.0.attention.k_proj.");
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.attention.q_proj.weight`");
}

#[test]
fn heads_joined_in_another_order() {
    let stage = Stage::enter();
    let subject = stage.gpt().edited(|file| {
        file.change("blocks.0.attention.out_proj.weight", |levels: &mut [i8]| {
            levels.chunks_mut(DIM).for_each(|row| row.rotate_left(DIM / 2));
        });
    });
    let report = audit(&subject);
    assert_caught(&report, "structure", "`blocks.0.attention.out_proj.weight`");
    assert_caught(&report, "output_error", "`blocks.0.attention.out_proj.weight`");
}

#[test]
fn one_bit_of_a_layer_norm() {
    let stage = Stage::enter();
    let subject = stage.gpt().edited(|file| {
        let flip = |v: &mut [f32]| v[9] = f32::from_bits(v[9].to_bits() ^ 1);
        file.change("blocks.0.norm2.weight", flip);
    });
    assert_caught(&audit(&subject), "structure", "`blocks.0.norm2.weight`");
}

#[test]
fn attention_whose_kernels_saturate() {
    let stage = Stage::enter();
    let report = audit_with(&stage.gpt().subject(), &faulty(Fault::SaturatingPairs));
    assert_caught(&report, "determinism", "`blocks.0.attention.q_proj.weight`");
    assert_caught(&report, "output_error", "the kernel of `blocks.0.attention.q_proj.weight`");
}
