//! The rate of a phase: one for all of it, or one that rises and falls.

use crate::plan::Shape;
use crate::unit::{Duration, PacketRate};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A rate as a scenario gives it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RateKeys {
    /// The same all the time.
    Level(PacketRate),
    /// One that changes.
    Course(CourseKeys),
}

/// A rate that changes: `from` and `to`; or `mean`, `swing` and `period`; or `burst`, `on` and
/// `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CourseKeys {
    /// Rate at the begin of the phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PacketRate>,
    /// Rate at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<PacketRate>,
    /// Mean rate of a sine, which begins at its lowest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<PacketRate>,
    /// How far it goes above and below its mean, as a share of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swing: Option<f64>,
    /// From one lowest rate to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Duration>,
    /// Rate of bursts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<PacketRate>,
    /// Length of a burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Duration>,
    /// Time after it in which nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<Duration>,
}

impl RateKeys {
    /// Mean in packets per second, infinite for `max`, and the shape around it; for frames of
    /// `mean_frame_bytes`. `None` where the keys of a course do not go together.
    pub fn resolve(&self, mean_frame_bytes: f64) -> Option<(f64, Option<Shape>)> {
        let pps = |rate: PacketRate| rate.pps(mean_frame_bytes);
        let course = match self {
            RateKeys::Level(rate) => return Some((pps(*rate).unwrap_or(f64::INFINITY), None)),
            RateKeys::Course(course) => course,
        };
        match *course {
            CourseKeys {
                from: Some(from),
                to: Some(to),
                mean: None,
                swing: None,
                period: None,
                burst: None,
                on: None,
                off: None,
            } => {
                let (from, to) = (pps(from)?, pps(to)?);
                let mean = (from + to) / 2.0;
                let even = from == to;
                Some((mean, (!even).then(|| Shape::Ramp { from: from / mean })))
            }
            CourseKeys {
                mean: Some(mean),
                swing: Some(swing),
                period: Some(period),
                from: None,
                to: None,
                burst: None,
                on: None,
                off: None,
            } => Some((pps(mean)?, Some(Shape::Wave { swing, period_ns: period.0 }))),
            CourseKeys {
                burst: Some(burst),
                on: Some(Duration(on_ns)),
                off: Some(Duration(off_ns)),
                from: None,
                to: None,
                mean: None,
                swing: None,
                period: None,
            } => {
                let share = on_ns as f64 / (on_ns as f64 + off_ns as f64).max(1.0);
                Some((pps(burst)? * share, Some(Shape::Bursts { on_ns, off_ns })))
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for RateKeys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<RateKeys, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = RateKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"max\", packets per second such as \"10Mpps\", or { from, to }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RateKeys, E> {
                text.parse().map(RateKeys::Level).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RateKeys, A::Error> {
                CourseKeys::deserialize(MapAccessDeserializer::new(map)).map(RateKeys::Course)
            }
        }

        from.deserialize_any(Any)
    }
}
