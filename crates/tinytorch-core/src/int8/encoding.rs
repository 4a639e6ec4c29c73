//! How the numbers on an edge are stored, and the weight that multiplies them.

use super::{QParams, QWeight, Scales};
use std::ops::Deref;
use std::sync::Arc;

/// How the numbers on an edge between two layers are stored.
///
/// ```
/// use tinytorch_core::int8::{Encoding, QParams};
/// let levels = Encoding::Static(QParams { scale: 0.1, zero_point: 0 });
/// assert_eq!([Encoding::F32, levels, Encoding::PerRow16].map(Encoding::bytes), [4, 1, 2]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Encoding {
    /// As 32-bit floats. Of a layer's input: the weight is int8, what it multiplies stays float.
    F32,
    /// As 8-bit levels over one range that is fixed beforehand, by calibration.
    Static(QParams),
    /// As 8-bit levels, each row (of images: each image) over its own range, found when it arrives.
    PerRow,
    /// As 16-bit levels around 0, each row (of images: each image) as far as its largest value: activations that
    /// cost no accuracy, at half as many products an instruction as of 8 bits.
    PerRow16,
}

impl Encoding {
    /// Bytes of a number.
    pub fn bytes(self) -> usize {
        match self {
            Encoding::F32 => 4,
            Encoding::Static(_) | Encoding::PerRow => 1,
            Encoding::PerRow16 => 2,
        }
    }
}

/// An int8 weight as a layer holds it: its values, and how what it multiplies is encoded. Clones share the
/// values.
///
/// ```
/// use tinytorch_core::{Tensor, int8::{Encoding, Granularity, Int8Weight, QWeight}};
/// let weight = QWeight::quantize(&Tensor::ones([8, 4])?, Granularity::PerChannel)?;
/// let held = Int8Weight::new(weight, Encoding::PerRow);
/// assert_eq!((held.shape().dims(), held.input()), (&[8, 4][..], Encoding::PerRow));
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Weight {
    values: Arc<QWeight>,
    input: Encoding,
}

impl Int8Weight {
    /// `weight` for a layer whose input is encoded like this. Where a zero point other than 0 has to be
    /// taken off, long rows keep their sums, see [`Panels::with_sums`](tinytorch_kernels::int8::Panels::with_sums).
    pub fn new(weight: QWeight, input: Encoding) -> Int8Weight {
        let needs_sums = match (weight.scales(), input) {
            (Scales::Blocks(_), _) | (_, Encoding::F32 | Encoding::PerRow16) => false,
            (_, Encoding::Static(params)) => params.zero_point != 0,
            (_, Encoding::PerRow) => true,
        };
        Int8Weight { values: Arc::new(weight.with_sums(needs_sums)), input }
    }

    /// How the layer's input is encoded.
    pub fn input(&self) -> Encoding {
        self.input
    }

    /// Whether both are the same values in memory.
    pub fn shares(&self, other: &Int8Weight) -> bool {
        Arc::ptr_eq(&self.values, &other.values)
    }

    /// How many clones hold the values, this one included.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.values)
    }
}

impl Deref for Int8Weight {
    type Target = QWeight;

    fn deref(&self) -> &QWeight {
        &self.values
    }
}
