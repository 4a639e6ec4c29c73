//! How many bits a weight uses.

use super::Int8Error;
use serde::{Deserialize, Serialize};

/// How many bits the values of a weight use, 2 to 8, of the 8 in which each is stored.
///
/// With `b` bits the values are the integers from `-(2^(b - 1) - 1)` to `2^(b - 1) - 1`. Fewer than 8
/// bits make a weight coarser and not smaller: the kernels multiply int8 whatever its values are.
///
/// ```
/// use tinytorch_core::int8::WeightBits;
/// assert_eq!(WeightBits::default().max(), 127);
/// assert_eq!(WeightBits::new(4)?.max(), 7);
/// assert!(WeightBits::new(1).is_err());
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct WeightBits(u8);

impl WeightBits {
    /// All 8 bits.
    pub const EIGHT: WeightBits = WeightBits(8);

    /// This many bits.
    ///
    /// # Errors
    /// [`Int8Error::Bits`] unless there are 2 to 8.
    pub fn new(bits: u8) -> Result<WeightBits, Int8Error> {
        if (2..=8).contains(&bits) { Ok(WeightBits(bits)) } else { Err(Int8Error::Bits { bits }) }
    }

    /// Their number.
    pub fn count(self) -> u8 {
        self.0
    }

    /// The largest value.
    pub fn max(self) -> i8 {
        i8::MAX >> (8 - self.0)
    }
}

impl Default for WeightBits {
    fn default() -> Self {
        WeightBits::EIGHT
    }
}

impl TryFrom<u8> for WeightBits {
    type Error = Int8Error;

    fn try_from(bits: u8) -> Result<WeightBits, Int8Error> {
        WeightBits::new(bits)
    }
}

impl From<WeightBits> for u8 {
    fn from(bits: WeightBits) -> u8 {
        bits.0
    }
}
