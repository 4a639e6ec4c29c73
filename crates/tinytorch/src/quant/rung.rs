use super::{Activations, QuantConfig};
use crate::autograd::Role;
use crate::int8::Granularity;
use serde::{Deserialize, Serialize};

/// How one weight and what it multiplies are quantized: the rungs of the [ladder](super::quantize_within),
/// from fast to precise.
///
/// ```
/// use tinytorch::quant::Rung;
/// assert!(Rung::StaticA8 < Rung::A16);
/// assert_eq!(Rung::BlockedA8.to_string(), "a8 in blocks");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// A scale per output channel, and 8-bit activations with one range, fixed by calibration.
    StaticA8,
    /// A scale per output channel, and 8-bit activations, each row over its own range.
    DynamicA8,
    /// A scale for every 32 weights along the input, and activations as in [`Rung::DynamicA8`].
    BlockedA8,
    /// Weights as in [`Rung::BlockedA8`], and 16-bit activations, each row over its own range. For what
    /// multiplies rows; convolutions do without.
    A16,
    /// The weight stays float.
    F32,
}

impl std::fmt::Display for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Rung::StaticA8 => "static a8",
            Rung::DynamicA8 => "dynamic a8",
            Rung::BlockedA8 => "a8 in blocks",
            Rung::A16 => "a16",
            Rung::F32 => "f32",
        })
    }
}

impl Rung {
    /// All rungs, from fast to precise.
    pub const ALL: [Rung; 5] =
        [Rung::StaticA8, Rung::DynamicA8, Rung::BlockedA8, Rung::A16, Rung::F32];

    /// Whether a parameter of this role can stand on the rung.
    pub(super) fn suits(self, role: Role) -> bool {
        self != Rung::A16 || matches!(role, Role::LinearWeight | Role::Embedding)
    }
}

/// How one weight is quantized, with all that a configuration says of it.
pub(super) struct Way {
    pub(super) granularity: Granularity,
    pub(super) activations: Activations,
    /// Whether dynamic activations take 16 bits.
    pub(super) wide: bool,
}

impl QuantConfig {
    /// Whether the weight of this name stays float.
    pub fn keeps_float(&self, name: &str) -> bool {
        self.skip.iter().any(|skipped| skipped == name) || self.layers.get(name) == Some(&Rung::F32)
    }

    /// How a weight that becomes int8 is quantized.
    pub(super) fn way(&self, name: &str) -> Way {
        let (granularity, activations, wide) = match self.layers.get(name) {
            Some(Rung::StaticA8) => (Granularity::PerChannel, Activations::Static, false),
            Some(Rung::DynamicA8) => (Granularity::PerChannel, Activations::Dynamic, false),
            Some(Rung::BlockedA8) => (Granularity::Blocks, Activations::Dynamic, false),
            Some(Rung::A16) => (Granularity::Blocks, Activations::Dynamic, true),
            Some(Rung::F32) | None => {
                let wide = self.wide.iter().any(|end| name.ends_with(end.as_str()));
                (self.granularity, self.activations, wide)
            }
        };
        Way { granularity, activations, wide }
    }

    /// Whether any weight multiplies activations whose range calibration fixes.
    pub(super) fn is_static_anywhere(&self) -> bool {
        self.activations == Activations::Static
            || self.layers.values().any(|rung| *rung == Rung::StaticA8)
    }
}
