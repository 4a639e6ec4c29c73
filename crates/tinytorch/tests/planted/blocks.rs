//! Weights whose values share a scale of 16 bits in blocks of 32.

use super::{Base, Stage, assert_caught, audit};
use half::f16;
use tinytorch::audit::{Outcome, Subject};
use tinytorch::autograd::Stored;
use tinytorch::int8::{Encoding, Int8Weight, QWeight, Scales};
use tinytorch::quant::{QuantConfig, Scheme};

const WEIGHT: &str = "layers.1.weight";

/// A row of the weight: 128 levels, and the scales of its four blocks.
type Row = ([i8; 128], [f16; 4]);

/// The model with a weight in blocks whose rows were changed.
fn in_blocks(base: &Base, change: impl FnOnce(&mut [Row])) -> Subject {
    let config = QuantConfig::default().with(WEIGHT, Scheme::DYNAMIC_BLOCKS);
    let path = base.quantize("blocks", base.train.inputs(), &config).unwrap();
    let mut subject = base.subject_of(path).unwrap();
    let mut params = subject.int8.named_params_mut().into_iter();
    let (_, param) = params.find(|(name, _)| name == WEIGHT).unwrap();
    let weight = param.int8().unwrap();
    let Scales::Blocks(scales) = weight.scales() else { panic!("scales in blocks") };
    let mut rows: Vec<Row> = scales
        .chunks(4)
        .enumerate()
        .map(|(i, scales)| {
            let mut levels = [0; 128];
            weight.row_into(i, &mut levels).unwrap();
            (levels, scales.try_into().unwrap())
        })
        .collect();
    change(&mut rows);
    let scales = Scales::Blocks(rows.iter().flat_map(|(_, scales)| *scales).collect());
    let changed = QWeight::from_rows(weight.shape(), scales, |i, out| {
        out.copy_from_slice(&rows[i].0);
        Ok(())
    });
    param.store(Stored::Int8(Int8Weight::new(changed.unwrap(), Encoding::PerRow)));
    // What is judged is the model, and not the file that it came from.
    subject.delivered = None;
    subject
}

#[test]
fn scales_of_blocks_that_are_others() {
    let stage = Stage::enter();
    let sound = audit(&in_blocks(stage.mlp(), |_| ()));
    let failed: Vec<_> = sound.gates.iter().filter(|gate| gate.result == Outcome::Fail).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let faults: [fn(&mut [Row]); 4] = [
        // Those of the next block in each row.
        |rows| rows.iter_mut().for_each(|(_, scales)| scales.rotate_left(1)),
        // Those of the next row.
        |rows| {
            let first = rows[0].1;
            (0..rows.len() - 1).for_each(|i| rows[i].1 = rows[i + 1].1);
            rows[127].1 = first;
        },
        // One bit of one exponent.
        |rows| rows[1].1[1] = f16::from_bits(rows[1].1[1].to_bits() ^ 0x0400),
        // As many bits of the fraction as the other float of 16 bits has.
        |rows| {
            let scales = rows.iter_mut().flat_map(|(_, scales)| scales);
            scales.for_each(|s| *s = f16::from_bits(s.to_bits() & 0xfff8));
        },
    ];
    for fault in faults {
        let report = audit(&in_blocks(stage.mlp(), fault));
        assert_caught(&report, "structure", "`layers.1.weight`");
    }
}

#[test]
fn blocks_that_have_changed_places() {
    let stage = Stage::enter();
    let report = audit(&in_blocks(stage.mlp(), |rows| {
        let (head, tail) = rows[0].0.split_at_mut(32);
        head.swap_with_slice(&mut tail[..32]);
    }));
    assert_caught(&report, "structure", "`layers.1.weight` does not stand for its floats");
}
