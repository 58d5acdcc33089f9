//! Quantities with their units, as users write them: `"1M/s"`, `"10Mpps"`, `"40Gbps"`, `"3.3ms"`.
//!
//! A quantity is a string with a unit that the key asks for; a bare number is refused, because
//! nobody can tell what it counts. Decimal prefixes only (k = 1,000, M, G); underscores may group
//! digits. Every refusal says what was expected. Values are finite, not negative and bounded, so
//! that nothing later overflows.

use crate::plan::{OneIn, Target};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Preamble, start of frame and gap that each Ethernet frame takes on the wire, in bytes
/// (IEEE 802.3): what makes an L1 bit rate out of L2 frames.
pub const WIRE_OVERHEAD_BYTES: f64 = 20.0;

/// Largest rate accepted, per second: a thousand times what a 400 Gbit/s port carries.
const RATE_MAX_PER_S: f64 = 1e12;

/// Text that is no quantity of the unit asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not understood; expected {expected}")]
pub struct NotAQuantity {
    found: String,
    expected: &'static str,
}

/// A type written as a string with a unit.
trait Quantity: FromStr<Err: fmt::Display> {
    /// What to write, with an example; also the words of the refusal.
    const EXPECTED: &'static str;
    /// Kind of the value in one or two words, for the JSON schema and the table of keys.
    const TITLE: &'static str;
    /// Regular expression of the text, for the JSON schema.
    const PATTERN: &'static str;

    fn refuse(found: &str) -> NotAQuantity {
        NotAQuantity { found: found.to_owned(), expected: Self::EXPECTED }
    }
}

/// Events per second, such as connections opened: `"1M/s"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerSecond(pub f64);

impl Quantity for PerSecond {
    const EXPECTED: &'static str = "a number per second such as \"1M/s\", \"80k/s\" or \"0/s\"";
    const TITLE: &'static str = "number per second";
    const PATTERN: &'static str = r"^[0-9][0-9_]*(\.[0-9]+)? ?[kMG]?/s$";
}

impl FromStr for PerSecond {
    type Err = NotAQuantity;
    fn from_str(text: &str) -> Result<PerSecond, NotAQuantity> {
        split(text)
            .and_then(|(number, unit)| Some(number * prefix(unit.strip_suffix("/s")?)?))
            .filter(|&per_s| per_s <= RATE_MAX_PER_S)
            .map(PerSecond)
            .ok_or_else(|| PerSecond::refuse(text))
    }
}

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// A rate of packets: `"max"`, `"10Mpps"` or `"40Gbps"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PacketRate {
    /// As fast as the generator can.
    Max,
    /// Packets per second.
    Pps(f64),
    /// Bits per second at L1: frame plus [`WIRE_OVERHEAD_BYTES`].
    Bps(f64),
}

impl PacketRate {
    /// Packets per second for frames of `mean_frame_bytes` at L2; `None` for `max`.
    pub fn pps(self, mean_frame_bytes: f64) -> Option<f64> {
        match self {
            PacketRate::Max => None,
            PacketRate::Pps(pps) => Some(pps),
            PacketRate::Bps(bps) => Some(bps / 8.0 / (mean_frame_bytes + WIRE_OVERHEAD_BYTES)),
        }
    }
}

impl Quantity for PacketRate {
    const EXPECTED: &'static str = "\"max\", packets per second such as \"10Mpps\", or bits per \
                                    second on the wire such as \"40Gbps\"";
    const TITLE: &'static str = "packet rate";
    const PATTERN: &'static str = r"^(max|[0-9][0-9_]*(\.[0-9]+)? ?[kMG]?(pps|bps))$";
}

impl FromStr for PacketRate {
    type Err = NotAQuantity;
    fn from_str(text: &str) -> Result<PacketRate, NotAQuantity> {
        if text == "max" {
            return Ok(PacketRate::Max);
        }
        let rate = split(text).and_then(|(number, unit)| {
            if let Some(before) = unit.strip_suffix("pps") {
                Some(PacketRate::Pps(number * prefix(before)?))
            } else {
                Some(PacketRate::Bps(number * prefix(unit.strip_suffix("bps")?)?))
            }
        });
        rate.filter(|rate| rate.pps(64.0).is_some_and(|pps| pps <= RATE_MAX_PER_S))
            .ok_or_else(|| PacketRate::refuse(text))
    }
}

impl fmt::Display for PacketRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketRate::Max => f.write_str("max"),
            PacketRate::Pps(pps) => write!(f, "{pps}pps"),
            PacketRate::Bps(bps) => write!(f, "{bps}bps"),
        }
    }
}

/// A length of time in nanoseconds: `"10s"`, `"3.3ms"`, `"500us"`; at most 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub u64);

impl Duration {
    /// Longest accepted, in seconds.
    const MAX_S: f64 = 30.0 * 86_400.0;
}

impl Quantity for Duration {
    const EXPECTED: &'static str =
        "a time such as \"10s\", \"3.3ms\" or \"500us\" (ns, us, ms, s, min, h), at most 720h";
    const TITLE: &'static str = "time";
    const PATTERN: &'static str = r"^[0-9][0-9_]*(\.[0-9]+)? ?(ns|us|ms|s|min|h)$";
}

impl FromStr for Duration {
    type Err = NotAQuantity;
    fn from_str(text: &str) -> Result<Duration, NotAQuantity> {
        let ns = split(text).and_then(|(number, unit)| {
            let unit_ns = match unit {
                "ns" => 1.0,
                "us" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "min" => 60e9,
                "h" => 3_600e9,
                _ => return None,
            };
            Some(number * unit_ns).filter(|&ns| ns <= Self::MAX_S * 1e9)
        });
        ns.map(|ns| Duration(ns.round() as u64)).ok_or_else(|| Duration::refuse(text))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        match ns {
            0 => f.write_str("0s"),
            _ if ns.is_multiple_of(1_000_000_000) => write!(f, "{}s", ns / 1_000_000_000),
            _ if ns.is_multiple_of(1_000_000) => write!(f, "{}ms", ns / 1_000_000),
            _ if ns.is_multiple_of(1_000) => write!(f, "{}us", ns / 1_000),
            _ => write!(f, "{ns}ns"),
        }
    }
}

/// An instant of a phase, from its begin: `"1s"`, or anywhere in `"1s..1.1s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// Earliest.
    pub earliest: Duration,
    /// Latest; the same where the instant is fixed.
    pub latest: Duration,
}

impl Quantity for Instant {
    const EXPECTED: &'static str = "an instant of the phase such as \"1s\", or a range to draw it \
                                    from such as \"1s..1.1s\"";
    const TITLE: &'static str = "time or range of times";
    const PATTERN: &'static str = "^[0-9][0-9_]*(\\.[0-9]+)? ?(ns|us|ms|s|min|h)\
                                   (\\.\\.[0-9][0-9_]*(\\.[0-9]+)? ?(ns|us|ms|s|min|h))?$";
}

impl FromStr for Instant {
    type Err = NotAQuantity;
    fn from_str(text: &str) -> Result<Instant, NotAQuantity> {
        let (earliest, latest) = text.split_once("..").unwrap_or((text, text));
        match (earliest.parse(), latest.parse()) {
            (Ok(earliest), Ok(latest)) if earliest <= latest => Ok(Instant { earliest, latest }),
            _ => Err(Instant::refuse(text)),
        }
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.earliest == self.latest {
            true => write!(f, "{}", self.earliest),
            false => write!(f, "{}..{}", self.earliest, self.latest),
        }
    }
}

impl Quantity for Target {
    const EXPECTED: &'static str =
        "a server or core of the SUT such as \"sut.server[1]\" or \"sut.server[1].core[0]\"";
    const TITLE: &'static str = "target";
    const PATTERN: &'static str = r"^sut\.server\[[0-9]+\](\.core\[[0-9]+\])?$";
}

impl Quantity for OneIn {
    const EXPECTED: &'static str = "one frame in so many, such as \"1/1000\"";
    const TITLE: &'static str = "share of frames";
    const PATTERN: &'static str = r"^1/[0-9][0-9_]*$";
}

/// The number a text starts with, and the rest; `None` unless it starts with a digit.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')?;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.replace('_', "").parse().ok()?;
    (text.starts_with(|c: char| c.is_ascii_digit()) && number.is_finite())
        .then(|| (number, unit.strip_prefix(' ').unwrap_or(unit)))
}

/// The factor of a decimal prefix.
fn prefix(text: &str) -> Option<f64> {
    match text {
        "" => Some(1.0),
        "k" => Some(1e3),
        "M" => Some(1e6),
        "G" => Some(1e9),
        _ => None,
    }
}

/// Reads a string, and names the unit when it meets anything else.
struct Text<Q>(PhantomData<Q>);

impl<Q: Quantity> Visitor<'_> for Text<Q> {
    type Value = Q;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Q::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Q, E> {
        text.parse().map_err(E::custom)
    }
}

/// Ties a quantity to serde and to the JSON schema: a string on both sides.
macro_rules! written_as_text {
    ($($quantity:ident),*) => {$(
        impl<'de> Deserialize<'de> for $quantity {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Text(PhantomData))
            }
        }

        impl Serialize for $quantity {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl JsonSchema for $quantity {
            fn schema_name() -> Cow<'static, str> {
                stringify!($quantity).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "title": $quantity::TITLE,
                    "pattern": $quantity::PATTERN,
                    "description": $quantity::EXPECTED,
                })
            }
        }
    )*};
}

written_as_text!(PerSecond, PacketRate, Duration, Instant, OneIn, Target);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_mean_what_they_say() {
        let per_s = |text: &str| text.parse::<PerSecond>().ok().map(|rate| rate.0);
        assert_eq!(per_s("1M/s"), Some(1e6));
        assert_eq!(per_s("0/s"), Some(0.0));
        assert_eq!(per_s("1_500 k/s"), Some(1.5e6));
        let rate = |text: &str| text.parse::<PacketRate>().ok();
        assert_eq!(rate("10Mpps"), Some(PacketRate::Pps(10e6)));
        assert_eq!(rate("max"), Some(PacketRate::Max));
        // 10 Gbit/s of 64-byte frames is the 14.88 Mpps of every data sheet.
        let line_rate = rate("10Gbps").and_then(|rate| rate.pps(64.0));
        assert_eq!(line_rate.map(|pps| pps.round()), Some(14_880_952.0));
        let ns = |text: &str| text.parse::<Duration>().ok().map(|time| time.0);
        assert_eq!(ns("3.3ms"), Some(3_300_000));
        assert_eq!(ns("500us"), Some(500_000));
        assert_eq!(ns("7440s"), ns("124min"));
    }

    #[test]
    fn a_wrong_unit_is_told_what_was_expected() {
        for text in ["1M", "1m/s", "-1/s", "/s", "1e6/s", "1..2/s", "5Mpps", "", "9999G/s"] {
            let error = text.parse::<PerSecond>().expect_err(text).to_string();
            assert!(error.contains("\"1M/s\""), "{error}");
        }
        for text in ["10", "10Mps", "10 MB/s", "Max", "inf", "9999Gpps"] {
            assert!(text.parse::<PacketRate>().is_err(), "{text}");
        }
        for text in ["10", "10S", "10 sec", "1d", "721h", "-1s"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_is_a_time_or_a_range() {
        let ns = |text: &str| {
            let instant: Option<Instant> = text.parse().ok();
            instant.map(|instant| (instant.earliest.0, instant.latest.0))
        };
        assert_eq!(ns("1s"), Some((1_000_000_000, 1_000_000_000)));
        assert_eq!(ns("1.5s..1600ms"), Some((1_500_000_000, 1_600_000_000)));
        for text in ["", "..", "1s..", "..1s", "2s..1s", "1..2s", "1s..2s..3s", "1s...2s"] {
            assert_eq!(ns(text), None, "{text}");
        }
        for text in ["1s", "1500ms..1600ms"] {
            let instant: Option<Instant> = text.parse().ok();
            assert_eq!(instant.map(|instant| instant.to_string()).as_deref(), Some(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<PerSecond>();
            let _ = text.parse::<PacketRate>();
            let _ = text.parse::<Duration>();
            let _ = text.parse::<OneIn>();
            let _ = text.parse::<Instant>();
            let _ = text.parse::<Target>();
        }

        #[test]
        fn times_survive_their_text_form(ns in 0..=2_592_000_000_000_000u64) {
            prop_assert_eq!(Duration(ns).to_string().parse::<Duration>(), Ok(Duration(ns)));
        }
    }
}
