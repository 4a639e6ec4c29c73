//! Numbers as people read them.

/// Up to four significant digits; what is not a number says so.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "not a number".to_string()
    } else if value.is_infinite() {
        if value > 0.0 { "infinite" } else { "minus infinite" }.to_string()
    } else if value == 0.0 {
        "0".to_string()
    } else if !(1e-4..1e7).contains(&size) {
        format!("{value:.2e}")
    } else if value.fract() == 0.0 {
        grouped(&format!("{value:.0}"))
    } else {
        let before = size.log10().floor().max(-4.0) as i32;
        let decimals = usize::try_from(3 - before).unwrap_or(0).min(6);
        let digits = format!("{value:.decimals$}");
        let exact = digits.contains('.');
        grouped(if exact { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits })
    }
}

/// A number with its unit.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_string()
}

/// Three significant digits and a decimal unit.
pub(super) fn bytes(count: usize) -> String {
    scaled(count as f64, &["B", "kB", "MB", "GB", "TB"])
}

/// A duration given in microseconds.
pub(super) fn microseconds(value: f64) -> String {
    scaled(value, &["µs", "ms", "s"])
}

/// `1 gate`, `2 gates`.
pub(super) fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn scaled(value: f64, units: &[&str]) -> String {
    if !value.is_finite() {
        return number(value);
    }
    let (mut value, mut units) = (value, units.iter());
    let mut unit = units.next().unwrap_or(&"");
    while value >= 999.5
        && let Some(next) = units.next()
    {
        (value, unit) = (value / 1000.0, next);
    }
    let decimals = match value {
        _ if value.fract() == 0.0 || value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// With a comma before every third digit.
fn grouped(digits: &str) -> String {
    let whole = digits.find('.').unwrap_or(digits.len());
    let start = usize::from(digits.starts_with('-'));
    let mut out = String::with_capacity(digits.len() + 4);
    for (i, c) in digits.char_indices() {
        if i > start && i < whole && (whole - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_matters() {
        let cases = [
            (0.0, "0"),
            (0.42123, "0.4212"),
            (3.93, "3.93"),
            (99.99999, "100"),
            (99.4444, "99.44"),
            (1234.5, "1,234"),
            (-123_456.0, "-123,456"),
            (2.5e-8, "2.50e-8"),
            (1e30, "1.00e30"),
            (f64::NAN, "not a number"),
            (f64::NEG_INFINITY, "minus infinite"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn sizes_and_times_take_the_unit_that_fits() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(36_864), "36.9 kB");
        assert_eq!(bytes(999_999), "1.00 MB");
        assert_eq!(microseconds(12.34), "12.3 µs");
        assert_eq!(microseconds(2_500_000.0), "2.50 s");
        assert_eq!(microseconds(f64::NAN), "not a number");
        assert_eq!(with_unit(3.0, ""), "3");
    }
}
