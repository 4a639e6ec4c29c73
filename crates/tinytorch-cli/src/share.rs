use std::str::FromStr;

/// A share of a whole, written as a fraction (`0.01`) or in percent (`1%`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let (number, unit) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (text, 1.0),
        };
        match number.parse::<f64>().map(|value| value / unit) {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Share(share)),
            _ => Err("a share lies between 0 and 1, or 0% and 100%".to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_and_percentages_are_read_alike() {
        assert_eq!("1%".parse(), Ok(Share(0.01)));
        assert_eq!("0.01".parse(), Ok(Share(0.01)));
        assert_eq!("98.5 %".parse(), Ok(Share(0.985)));
        for bad in ["", "%", "2", "101%", "-1%", "NaN", "inf", "one"] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }
}
