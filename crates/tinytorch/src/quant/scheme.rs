//! How one weight, and what it multiplies, are quantized.

use crate::int8::{Granularity, WeightBits};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the activations of quantized layers are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activations {
    /// 8 bits, one range per layer, fixed by calibration.
    #[default]
    Static,
    /// 8 bits, each row over its own range, found when it arrives; needs no calibration.
    Dynamic,
    /// As [`Activations::Dynamic`] with 16 bits instead of 8: as fast on AVX2, at twice the products of 8 bits on
    /// AVX-512. Depthwise convolutions take 8.
    #[serde(rename = "dynamic-16")]
    Dynamic16,
    /// Float: only the weight is int8.
    Float,
}

/// How one weight, and what it multiplies, are quantized.
///
/// ```
/// use tinytorch::quant::{Activations, Scheme};
/// assert_eq!(Scheme::default(), Scheme::from(Activations::Static));
/// assert_eq!(Scheme::DYNAMIC_BLOCKS.to_string(), "dynamic a8 in blocks");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// The weight stays float, and so does what it multiplies.
    #[serde(rename = "f32")]
    Float,
    /// The weight is stored and multiplied as int8.
    Int8 {
        /// How many weights share a scale.
        granularity: Granularity,
        /// How many of the 8 bits in which a weight is stored its values use.
        #[serde(default)]
        weight_bits: WeightBits,
        /// How what it multiplies is handled.
        activations: Activations,
    },
}

impl Default for Scheme {
    /// A scale per output channel, and 8-bit activations over calibrated ranges.
    fn default() -> Scheme {
        Scheme::STATIC
    }
}

impl From<Activations> for Scheme {
    /// A scale per output channel.
    fn from(activations: Activations) -> Scheme {
        Scheme::new(Granularity::PerChannel, activations)
    }
}

impl Scheme {
    /// A scale per output channel, and 8-bit activations with one range, fixed by calibration.
    pub const STATIC: Scheme = Scheme::new(Granularity::PerChannel, Activations::Static);
    /// A scale per output channel, and 8-bit activations, each row over its own range.
    pub const DYNAMIC: Scheme = Scheme::new(Granularity::PerChannel, Activations::Dynamic);
    /// A scale for every 32 weights along the input, and activations as in [`Scheme::DYNAMIC`].
    pub const DYNAMIC_BLOCKS: Scheme = Scheme::new(Granularity::Blocks, Activations::Dynamic);
    /// Weights as in [`Scheme::DYNAMIC_BLOCKS`], and 16-bit activations, each row as far as its largest value.
    pub const DYNAMIC16_BLOCKS: Scheme = Scheme::new(Granularity::Blocks, Activations::Dynamic16);

    /// An int8 weight with all of its 8 bits in use.
    pub const fn new(granularity: Granularity, activations: Activations) -> Scheme {
        Scheme::Int8 { granularity, weight_bits: WeightBits::EIGHT, activations }
    }

    /// The same scheme with as many scales as `granularity` says; float stays float.
    pub fn with_granularity(self, granularity: Granularity) -> Scheme {
        match self {
            Scheme::Float => Scheme::Float,
            Scheme::Int8 { weight_bits, activations, .. } => {
                Scheme::Int8 { granularity, weight_bits, activations }
            }
        }
    }

    /// The same scheme with weights of so many bits; float stays float.
    pub fn with_bits(self, weight_bits: WeightBits) -> Scheme {
        match self {
            Scheme::Float => Scheme::Float,
            Scheme::Int8 { granularity, activations, .. } => {
                Scheme::Int8 { granularity, weight_bits, activations }
            }
        }
    }

    /// The same scheme with its activations handled like this; float stays float.
    pub fn with_activations(self, activations: Activations) -> Scheme {
        match self {
            Scheme::Float => Scheme::Float,
            Scheme::Int8 { granularity, weight_bits, .. } => {
                Scheme::Int8 { granularity, weight_bits, activations }
            }
        }
    }

    /// Whether the weight stays float.
    pub fn is_float(self) -> bool {
        self == Scheme::Float
    }

    /// How activations are handled.
    pub fn activations(self) -> Activations {
        match self {
            Scheme::Float => Activations::Float,
            Scheme::Int8 { activations, .. } => activations,
        }
    }

    /// How many weights share a scale; per channel, as by default, for one that stays float.
    pub fn granularity(self) -> Granularity {
        match self {
            Scheme::Float => Granularity::default(),
            Scheme::Int8 { granularity, .. } => granularity,
        }
    }

    /// The bits of the weight's values, all 8 for one that stays float.
    pub fn weight_bits(self) -> WeightBits {
        match self {
            Scheme::Float => WeightBits::EIGHT,
            Scheme::Int8 { weight_bits, .. } => weight_bits,
        }
    }

    /// Whether calibration has to find a range for what the weight multiplies.
    pub fn is_static(self) -> bool {
        self.activations() == Activations::Static
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scheme::Int8 { granularity, weight_bits, activations } = self else {
            return f.write_str("f32");
        };
        f.write_str(match activations {
            Activations::Static => "static a8",
            Activations::Dynamic => "dynamic a8",
            Activations::Dynamic16 => "dynamic a16",
            Activations::Float => "int8 weights",
        })?;
        f.write_str(match granularity {
            Granularity::PerTensor => " per tensor",
            Granularity::PerChannel => "",
            Granularity::Blocks => " in blocks",
        })?;
        if *weight_bits != WeightBits::EIGHT {
            write!(f, ", {}-bit weights", weight_bits.count())?;
        }
        Ok(())
    }
}
