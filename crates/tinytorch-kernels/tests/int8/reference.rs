//! Seeded numbers, and the plainest possible int8 product to compare kernels with.

use half::f16;
use tinytorch_kernels::int8::{Epilogue, QParams, RowParams, Scales};

/// A small generator of repeatable numbers (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Extreme levels are as likely as all others together.
    pub(crate) fn u8s(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| [0, 255, self.next() as u8, self.next() as u8][self.next() as usize % 4])
            .collect()
    }

    /// Levels of 16 bits, the extreme ones as likely as all others together.
    pub(crate) fn words(&mut self, len: usize) -> Vec<i16> {
        let any = |r: &mut Numbers| (r.next() as i16).max(-i16::MAX);
        let value = |r: &mut Numbers| [i16::MAX, -i16::MAX, any(r), any(r)][r.next() as usize % 4];
        (0..len).map(|_| value(self)).collect()
    }

    pub(crate) fn i8s(&mut self, len: usize) -> Vec<i8> {
        let value =
            |r: &mut Numbers| [127, -128, r.next() as i8, r.next() as i8][r.next() as usize % 4];
        (0..len).map(|_| value(self)).collect()
    }

    /// Levels that stand for 0 in a weight, 0 in all rows unless that is `off_center`.
    pub(crate) fn zero_points(&mut self, rows: usize, off_center: bool) -> Vec<i8> {
        if off_center { self.i8s(rows) } else { vec![0; rows] }
    }

    pub(crate) fn f32s(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.unit() * 2.0 - 1.0).collect()
    }

    pub(crate) fn scales(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| 0.001 + self.unit() * 0.01).collect()
    }
}

/// `(row, k)` of the activations and `(column, k)` of the weights in, the float result out. Activations of 16
/// bits are summed over at most 512 values.
pub(crate) fn reference(
    m: usize,
    n: usize,
    k: usize,
    a: impl Fn(usize, usize) -> i64,
    w: impl Fn(usize, usize) -> i64,
    params: &RowParams<'_>,
    epilogue: &Epilogue<'_>,
) -> Vec<f32> {
    let mut out = Vec::new();
    let is_wide = params.level_bytes() > 1;
    for row in 0..m {
        let params = match params {
            RowParams::Tensor(params) | RowParams::Tensor16(params) => *params,
            RowParams::PerRow(all) | RowParams::PerRow16(all) => all[row],
        };
        let dot = |column: usize, from: usize, to: usize| -> f32 {
            let sum: i64 =
                (from..to).map(|i| (a(row, i) - i64::from(params.zero_point)) * w(column, i)).sum();
            i32::try_from(sum).expect("sums stay inside 32 bits") as f32
        };
        for column in 0..n {
            let whole = || match is_wide {
                true => {
                    (0..k).step_by(512).fold(0.0, |sum, i| sum + dot(column, i, k.min(i + 512)))
                }
                false => dot(column, 0, k),
            };
            let scaled = match epilogue.scales {
                Scales::PerTensor(scale) => whole() * (params.scale * scale),
                Scales::PerChannel(scales) => whole() * (params.scale * scales[column]),
                Scales::Blocks { size, scales } => {
                    let blocks = k.div_ceil(size);
                    let sum = (0..blocks).fold(0.0, |sum, block| {
                        let scale = f16::to_f32(scales[column * blocks + block]);
                        sum + dot(column, block * size, k.min((block + 1) * size)) * scale
                    });
                    sum * params.scale
                }
            };
            let y = scaled + epilogue.bias.map_or(0.0, |bias| bias[column]);
            out.push(if !epilogue.relu || y > 0.0 { y } else { 0.0 });
        }
    }
    out
}

/// What the same result is as `u8`.
pub(crate) fn levels(y: &[f32], params: QParams) -> Vec<u8> {
    y.iter().map(|y| params.quantize(*y)).collect()
}
