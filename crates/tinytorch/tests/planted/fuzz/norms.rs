//! Batch norms that were folded wrongly, and the parts of a decoder in the wrong place.

use super::drawn::{Drawn, Kind};
use super::{Listed, Planted};
use tinytorch::Rng;

pub(super) const FAULTS: &[Listed] = &[
    ("a folded norm that does not say so", |d, rng| {
        let block = block(d, rng)?;
        let path = d.edited(|file| {
            file.rewrite("flags", |flags| {
                let entry = format!("\"{block}.norm.folded\"");
                flags.replace(&format!("{entry},"), "").replace(&format!(",{entry}"), "")
            });
        })?;
        Some(Planted::file(&d.base, path, "structure", format!("`{block}.norm`")))
    }),
    ("a norm folded without the bias", |d, rng| {
        let block = block(d, rng)?;
        let name = format!("{block}.conv.bias");
        let float = d.base.floats().values::<f32>(&name);
        let path = d.edited(|file| {
            file.change(&name, |bias: &mut [f32]| bias.copy_from_slice(&float));
        })?;
        Some(Planted::file(&d.base, path, "structure", format!("`{name}`")))
    }),
    ("a norm folded without its variance", |d, rng| {
        let block = block(d, rng)?;
        let variance = d.base.floats().values::<f32>(&format!("{block}.norm.running_var"));
        let path = d.edited(|file| {
            file.change(&format!("{block}.conv.weight_scale"), |scales: &mut [f32]| {
                scales.iter_mut().zip(&variance).for_each(|(s, v)| *s *= v.sqrt());
            });
        })?;
        Some(Planted::file(&d.base, path, "structure", format!("`{block}.conv.weight`")))
    }),
    ("a norm folded twice", |d, rng| {
        let block = block(d, rng)?;
        let mut float = d.base.floats();
        let weight = float.values::<f32>(&format!("{block}.norm.weight"));
        let variance = float.values::<f32>(&format!("{block}.norm.running_var"));
        let path = d.edited(|file| {
            file.change(&format!("{block}.conv.weight_scale"), |scales: &mut [f32]| {
                let norm = weight.iter().zip(&variance).map(|(w, v)| (w / v.sqrt()).abs());
                scales.iter_mut().zip(norm).for_each(|(s, norm)| *s *= norm);
            });
        })?;
        Some(Planted::file(&d.base, path, "structure", format!("`{block}.conv.weight`")))
    }),
    ("tokens in another order", |d, _| turned(d, "tokens.weight")),
    ("positions counted from one", |d, _| turned(d, "positions.weight")),
    ("heads joined in another order", |d, _| {
        let name = "blocks.0.attention.out_proj.weight";
        is_gpt(d)?;
        let path = d.edited(|file| {
            let k = file.tensor(name).shape()[1];
            file.change(name, |levels: &mut [i8]| {
                levels.chunks_mut(k).for_each(|row| row.rotate_left(k / 2));
            });
        })?;
        Some(Planted::file(&d.base, path, "structure", format!("`{name}`")))
    }),
    ("queries, keys and values mixed up", |d, rng| {
        is_gpt(d)?;
        let pairs = [["q", "k"], ["q", "v"], ["k", "v"]];
        let [a, b] = pairs[rng.below(3)].map(|part| format!("blocks.0.attention.{part}_proj."));
        let path = d.edited(|file| file.swap_layers(&a, &b))?;
        Some(Planted::file(&d.base, path, "structure", format!("`{a}weight`")))
    }),
    ("two layers exchanged", |d, _| {
        if d.kind != Kind::Mlp {
            return None;
        }
        // Both are as wide as the layer before them only if there are three of one width.
        let shapes = |file: &mut super::super::contents::Contents| {
            ["layers.1.weight", "layers.2.weight"].map(|name| *file.tensor(name).shape())
        };
        let [a, b] = shapes(&mut d.contents());
        if a != b {
            return None;
        }
        let path = d.edited(|file| file.swap_layers("layers.1.", "layers.2."))?;
        Some(Planted::file(&d.base, path, "structure", "`layers.1.weight`"))
    }),
];

/// A block of a convolutional network, whose batch norm is folded.
fn block(drawn: &Drawn, rng: &mut Rng) -> Option<String> {
    (drawn.kind == Kind::Cnn).then(|| format!("blocks.{}", rng.below(2)))
}

fn is_gpt(drawn: &Drawn) -> Option<()> {
    (drawn.kind == Kind::Gpt).then_some(())
}

/// Every row of a table is that of the next entry.
fn turned(drawn: &Drawn, name: &str) -> Option<Planted> {
    is_gpt(drawn)?;
    let path = drawn.edited(|file| {
        let dim = file.tensor(name).shape()[1];
        file.change(name, |levels: &mut [i8]| levels.rotate_left(dim));
        file.change(&format!("{name}_scale"), |scales: &mut [f32]| scales.rotate_left(1));
    })?;
    Some(Planted::file(&drawn.base, path, "structure", format!("`{name}`")))
}
