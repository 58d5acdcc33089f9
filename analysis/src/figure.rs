//! Numbers as printed: thousands separators, significant digits, no rounding to a false zero.
//!
//! A value that is not a finite number is printed as [`MISSING`], never as `NaN`. A small value
//! keeps its digits: 0.0000003 is not 0, and a reader of a loss figure must see the difference.

use format::summary::Estimate;

/// Printed in the place of a value that could not be had.
pub const MISSING: &str = "not available";

/// Below this a plain decimal is longer than anyone reads.
const TINY: f64 = 1e-9;

/// A count: `1,032,192`.
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// Inserts thousands separators into a string of digits.
fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A value rounded to `digits` significant digits, but never to fewer than its whole part has:
/// `14.2`, `0.0000003`, `1,234,567`.
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return MISSING.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < TINY {
        return format!("{value:.*e}", digits.saturating_sub(1));
    }
    // From the rounded value: 9.996 has four digits of whole part once it is 10.00.
    let exponent = exponent_of(value, digits);
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if value < 0.0 { "−" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", grouped(whole))
}

/// A value of unknown kind: whole numbers as counts, others to four significant digits.
pub fn value(value: f64) -> String {
    // Up to 2⁵³ a float holds every whole number.
    if value.fract() == 0.0 && (0.0..9e15).contains(&value) {
        return count(value as u64);
    }
    significant(value, 4)
}

/// Decimal exponent of a value after rounding to `digits` significant digits.
fn exponent_of(value: f64, digits: usize) -> i32 {
    let text = format!("{:.*e}", digits.saturating_sub(1), value);
    text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// As [`significant`], without zeros at the end of a fraction: `37.25`, `61`, `0.007`.
pub fn trimmed(value: f64, digits: usize) -> String {
    let text = significant(value, digits);
    // Not of 100 or of 1e-10, whose last zeros mean something.
    if text.contains('.') && !text.contains('e') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// A share (0 to 1) as a percentage: `0.0000003 %`, `98.4 %`, `0 %`. All but all is not all: where
/// three digits would round up to 100, more are printed.
pub fn percent(share: f64) -> String {
    if !share.is_finite() {
        return MISSING.to_owned();
    }
    let percent = share * 100.0;
    let rounds_up = |digits: &usize| percent < 100.0 && trimmed(percent, *digits) == "100";
    let digits = (3..16).find(|digits| !rounds_up(digits)).unwrap_or(3);
    format!("{} %", trimmed(percent, digits))
}

/// A share of a whole as a percentage, [`MISSING`] of nothing.
pub fn percent_of(part: u64, whole: u64) -> String {
    if whole == 0 { MISSING.into() } else { percent(part as f64 / whole as f64) }
}

/// A size: `3.2 KiB`, `16 GiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut scaled, mut unit) = (value as f64, "bytes");
    for larger in UNITS {
        if scaled < 1024.0 {
            break;
        }
        (scaled, unit) = (scaled / 1024.0, larger);
    }
    let digits = if scaled.fract() == 0.0 { 1 } else { 3 };
    format!("{} {unit}", significant(scaled, digits))
}

/// Value and interval with as many digits as it takes to tell the ends apart, five at most:
/// `14.2 (95 % interval 14.0–14.4)`. The unit goes between the two.
pub fn estimate(estimate: &Estimate, unit: &str) -> String {
    let digits = digits_of(estimate);
    let value = significant(estimate.value, digits);
    match interval(estimate) {
        Some(interval) => format!("{value} {unit} ({interval})"),
        None => format!("{value} {unit}"),
    }
}

/// The interval alone: `95 % interval 14.0–14.4`. `None` if there is none.
pub fn interval(estimate: &Estimate) -> Option<String> {
    let (low, high) = estimate.low.zip(estimate.high)?;
    if !(low.is_finite() && high.is_finite()) {
        return None;
    }
    let digits = digits_of(estimate);
    let ends = format!("{}–{}", significant(low, digits), significant(high, digits));
    Some(match estimate.confidence.filter(|confidence| confidence.is_finite()) {
        Some(confidence) => {
            let percent = format!("{:.2}", confidence * 100.0);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            format!("{percent} % interval {ends}")
        }
        None => format!("range {ends}"),
    })
}

fn digits_of(estimate: &Estimate) -> usize {
    let Some((low, high)) = estimate.low.zip(estimate.high) else { return 3 };
    let told_apart = |digits: usize| {
        let text = |value| significant(value, digits);
        text(low) != text(estimate.value) && text(high) != text(estimate.value)
    };
    (3..5).find(|&digits| told_apart(digits)).unwrap_or(if low == high { 3 } else { 5 })
}

/// A value and the bound of its error: `20.6 ± 1.2`. Of the error two digits say enough.
pub fn plus_minus(value: f64, error: f64, digits: usize) -> String {
    format!("{} ± {}", trimmed(value, digits), trimmed(error, 2))
}

/// `1 core`, `2 cores`: a count with its noun.
pub fn plural(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", self::count(count as u64), if count == 1 { "" } else { "s" })
}

/// A size mix for people: `imix-7-4-1` is `IMIX 7:4:1`; any other name stays as it is.
pub fn genome(name: &str) -> String {
    match name.strip_prefix("imix-") {
        Some(weights) if weights.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
            format!("IMIX {}", weights.replace('-', ":"))
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_as_a_reader_expects() {
        let table = [
            (14.213, "14.2"),
            (14.0, "14.0"),
            (9.996, "10.0"),
            (0.0, "0"),
            (-0.0, "0"),
            (0.000_000_3, "0.000000300"),
            (1_234_567.8, "1,234,568"),
            (-1234.4, "−1,234"),
            (f64::NAN, MISSING),
            (f64::INFINITY, MISSING),
        ];
        for (value, text) in table {
            assert_eq!(significant(value, 3), text, "{value}");
        }
        assert!(significant(1e-12, 3).contains('e'));
        assert_eq!(count(142_000_000), "142,000,000");
        assert_eq!((percent(0.984), percent(0.0)), ("98.4 %".into(), "0 %".into()));
        assert_eq!((percent(1.0), percent(0.999_993)), ("100 %".into(), "99.999 %".into()));
        assert_eq!((trimmed(61.0, 4), trimmed(100.0, 2)), ("61".into(), "100".into()));
        assert_eq!((bytes(17_179_869_184), bytes(100)), ("16 GiB".into(), "100 bytes".into()));
        assert_eq!(genome("imix-7-4-1"), "IMIX 7:4:1");
        assert_eq!(genome("imix-tiny"), "imix-tiny");
    }

    #[test]
    fn an_error_stands_beside_its_value() {
        assert_eq!(plus_minus(20.61, 1.234, 3), "20.6 ± 1.2");
        assert_eq!(plus_minus(412.0, 0.0712, 3), "412 ± 0.071");
        assert_eq!(plus_minus(4.0, f64::NAN, 3), "4 ± not available");
    }

    #[test]
    fn an_interval_has_the_digits_it_needs() {
        let at = |low, high| Estimate {
            value: 14.2,
            low: Some(low),
            high: Some(high),
            confidence: Some(0.95),
        };
        assert_eq!(estimate(&at(14.0, 14.4), "Mpps"), "14.2 Mpps (95 % interval 14.0–14.4)");
        assert_eq!(estimate(&at(14.19, 14.21), "Mpps"), "14.20 Mpps (95 % interval 14.19–14.21)");
        let alone = Estimate { value: 14.2, low: None, high: None, confidence: None };
        assert_eq!(estimate(&alone, "Mpps"), "14.2 Mpps");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_the_number(value in -1e12..1e12f64) {
            let text = significant(value, 4).replace(',', "").replace('−', "-");
            let read: f64 = text.parse().expect("a number");
            prop_assert!((read - value).abs() <= value.abs() * 5.1e-4, "{} as {}", value, text);
        }

        #[test]
        fn separators_change_no_digit(value: u64) {
            prop_assert_eq!(count(value).replace(',', ""), value.to_string());
            prop_assert!(count(value).split(',').skip(1).all(|group| group.len() == 3));
        }

        #[test]
        fn only_zero_is_printed_as_zero(value in prop::num::f64::NORMAL) {
            let text = significant(value, 3);
            let counts = text.bytes().any(|b| (b'1'..=b'9').contains(&b));
            prop_assert!(counts, "{} as {}", value, text);
        }
    }
}
