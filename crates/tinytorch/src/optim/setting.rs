//! Hyper-parameters and the ranges in which they make sense.

use super::OptimError;
use crate::Result;

/// A hyper-parameter: its name, its value, and the range in which it makes sense.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: f64,
    /// The range in words, such as `above 0`.
    pub expected: &'static str,
    /// Whether the value lies in the range.
    pub valid: bool,
}

impl Setting {
    /// A number that is not negative and finite as f32.
    pub fn not_negative(name: &'static str, value: f64) -> Setting {
        let valid = (value as f32).is_finite() && value >= 0.0;
        Setting { name, value, expected: "at least 0 and a finite f32", valid }
    }

    /// A number above 0, as f32 too.
    pub fn positive(name: &'static str, value: f64) -> Setting {
        let valid = (value as f32).is_finite() && value as f32 > 0.0;
        Setting { name, value, expected: "above 0 and a finite f32", valid }
    }

    /// A share: from 0 to 1, without 1.
    pub fn below_one(name: &'static str, value: f64) -> Setting {
        let valid = (0.0..1.0).contains(&value);
        Setting { name, value, expected: "from 0 to 1, exclusive", valid }
    }

    /// Refuses the first of the settings of `optimizer` that is not valid.
    pub(super) fn check_all(optimizer: &'static str, settings: &[Setting]) -> Result<()> {
        match settings.iter().find(|setting| !setting.valid) {
            None => Ok(()),
            Some(&Setting { name: setting, value, expected, .. }) => {
                Err(OptimError::Setting { optimizer, setting, value, expected }.into())
            }
        }
    }
}
