//! Files that are damaged, padded, of another model or quantized in another way than they say.

use super::drawn::{Drawn, config_of};
use super::{Listed, Planted};
use std::path::PathBuf;
use tinytorch::quant::{Activations, QuantConfig, Scheme};

pub(super) const FAULTS: &[Listed] = &[
    ("a truncated file", |d, rng| {
        let path = damaged(d, |bytes| bytes.truncate(bytes.len() - 1 - rng.below(64)));
        Some(Planted::file(&d.base, path, "", "truncated"))
    }),
    ("one bit of the values", |d, rng| {
        let path = damaged(d, |bytes| {
            let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize + 8;
            let at = header + rng.below(bytes.len() - header);
            bytes[at] ^= 1 << rng.below(8);
        });
        Some(Planted::file(&d.base, path, "", "damaged"))
    }),
    ("one bit of the header", |d, rng| {
        let path = damaged(d, |bytes| {
            let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            // Blanks at the end of a header mean nothing.
            let end = 8 + bytes[8..8 + header].trim_ascii_end().len();
            bytes[8 + rng.below(end - 8)] ^= 1 << rng.below(8);
        });
        Some(Planted::file(&d.base, path, "", ""))
    }),
    ("the int8 form of another training", |d, _| {
        let path = d.base.int8().with_file_name("another.safetensors");
        std::fs::copy(d.another().int8(), &path).unwrap();
        Some(Planted::file(&d.base, path, "structure", "not the one that was quantized"))
    }),
    ("a float copy in the file", |d, rng| {
        let name = d.weight(rng);
        let copy = d.base.floats().tensor(&name).clone();
        let path = d.edited(|file| file.tensors.push((format!("@{name}"), copy)))?;
        Some(Planted::file(&d.base, path, "round_trip", "another file"))
    }),
    ("a note that is longer than the weights", |d, _| {
        let path = d.edited(|file| file.note("a diary", "word ".repeat(40_000)))?;
        Some(Planted::file(&d.base, path, "file_bytes", "bytes in float"))
    }),
    ("a layer left in float", |d, rng| {
        let name = d.weight(rng);
        let config = config_of(d.kind).with(&name, Scheme::Float);
        let path = d.base.quantize("skipped", d.base.train.inputs(), &config).unwrap();
        let mut subject = d.base.subject_of(path).unwrap();
        subject.config.patterns.clear();
        Some(Planted::new(Ok(subject), "coverage", format!("`{name}`")))
    }),
    ("weights that become floats again", |d, _| {
        let config = QuantConfig::new(Activations::Float);
        let path = d.base.quantize("weight-only", d.base.train.inputs(), &config).unwrap();
        Some(Planted::file(&d.base, path, "coverage", "ran as"))
    }),
    ("two bits that the record admits", |d, rng| {
        let name = d.weight(rng);
        let path = d.edited(|file| {
            file.change(&format!("{name}_scale"), |scales: &mut [f32]| {
                scales.iter_mut().for_each(|scale| *scale *= 1.1);
            });
            file.rewrite("quantization", |record| {
                record.replace("\"weight_bits\":8", "\"weight_bits\":2")
            });
        })?;
        Some(Planted::file(&d.base, path, "structure", format!("`{name}`")))
    }),
];

/// A copy of the int8 file with other bytes, and its checksums as they were.
fn damaged(drawn: &Drawn, damage: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(drawn.base.int8()).unwrap();
    damage(&mut bytes);
    let path = drawn.base.int8().with_file_name("damaged.safetensors");
    std::fs::write(&path, bytes).unwrap();
    path
}
