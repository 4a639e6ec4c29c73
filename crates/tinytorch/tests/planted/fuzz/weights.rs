//! Levels of an int8 weight that stand for other values.

use super::drawn::Drawn;
use super::{Listed, Planted};
use tinytorch::Rng;

pub(super) const FAULTS: &[Listed] = &[
    ("one level far off", |d, rng| {
        by_row(d, rng, |row, rng| {
            let at = rng.below(row.len());
            let far = 2 + rng.below(60) as i8;
            row[at] = if row[at] < 0 { row[at] + far } else { row[at] - far };
        })
    }),
    ("a row of zeros", |d, rng| by_row(d, rng, |row, _| row.fill(0))),
    ("a row with the other sign", |d, rng| {
        by_row(d, rng, |row, _| {
            row.iter_mut().for_each(|q| *q = -*q);
        })
    }),
    ("a row turned by one", |d, rng| by_row(d, rng, |row, _| row.rotate_left(1))),
    ("a row backwards", |d, rng| by_row(d, rng, |row, _| row.reverse())),
    ("inputs in pairs the wrong way around", |d, rng| {
        by_row(d, rng, |row, _| {
            row.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        })
    }),
    ("the last inputs left out", |d, rng| {
        by_row(d, rng, |row, _| {
            let (len, last) = (row.len(), row.len() % 4);
            row[len - last.max(1)..].fill(0);
        })
    }),
    ("two rows exchanged", two_rows),
    ("all levels with the other sign", |d, rng| whole(d, rng, |q, _| -q)),
    ("levels one too low in places", |d, rng| {
        whole(d, rng, |q, rng| if rng.below(2) == 0 { q.saturating_sub(1).max(-127) } else { q })
    }),
    ("levels with noise", |d, rng| {
        whole(d, rng, |q, rng| (i32::from(q) + rng.below(7) as i32 - 3).clamp(-127, 127) as i8)
    }),
    ("four bits sold as eight", |d, rng| {
        whole(d, rng, |q, _| (f32::from(q) / 16.0).round() as i8 * 15)
    }),
    ("large levels cut off", |d, rng| whole(d, rng, |q, _| q.clamp(-64, 64))),
    ("small levels thrown away", |d, rng| whole(d, rng, |q, _| if q.abs() < 8 { 0 } else { q })),
    ("signs lost", |d, rng| whole(d, rng, |q, _| q & 0x7f)),
    ("levels read as unsigned", |d, rng| whole(d, rng, |q, _| q.wrapping_add(-128).max(-127))),
];

/// Changes one row of one weight.
fn by_row(drawn: &Drawn, rng: &mut Rng, change: fn(&mut [i8], &mut Rng)) -> Option<Planted> {
    let name = drawn.weight(rng);
    let path = drawn.edited(|file| {
        let rows = file.tensor(&name).shape()[0];
        file.change(&name, |levels: &mut [i8]| {
            let k = levels.len() / rows;
            let row = rng.below(rows);
            change(&mut levels[row * k..(row + 1) * k], rng);
        });
    })?;
    Some(Planted::file(&drawn.base, path, "structure", format!("`{name}`")))
}

fn two_rows(drawn: &Drawn, rng: &mut Rng) -> Option<Planted> {
    let name = drawn.weight(rng);
    let path = drawn.edited(|file| {
        let rows = file.tensor(&name).shape()[0];
        let (a, b) = (rng.below(rows), rng.below(rows));
        file.change(&name, |levels: &mut [i8]| {
            let k = levels.len() / rows;
            (0..k).for_each(|i| levels.swap(a * k + i, b * k + i));
        });
    })?;
    Some(Planted::file(&drawn.base, path, "structure", format!("`{name}`")))
}

/// Changes every level of one weight.
fn whole(drawn: &Drawn, rng: &mut Rng, change: fn(i8, &mut Rng) -> i8) -> Option<Planted> {
    let name = drawn.weight(rng);
    let path = drawn.edited(|file| {
        file.change(&name, |levels: &mut [i8]| {
            levels.iter_mut().for_each(|q| *q = change(*q, rng));
        });
    })?;
    Some(Planted::file(&drawn.base, path, "structure", format!("`{name}`")))
}
