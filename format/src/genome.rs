//! What size the next frame has: names, RFC 6985 strings and weights become one repeating sequence.
//!
//! Sizes are L2 frames with FCS, in bytes, from 64 to 1,518. A sequence is at most 1,000 frames
//! long, holds each size in exactly its share, and spreads it evenly, so that any stretch of
//! traffic looks like the whole and a short trial is as fair as a long one. Results of different
//! genomes are not comparable: 7:4:1 and the mix of 278 bytes are both presets, named for what they
//! are.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Smallest Ethernet frame, in bytes with FCS.
pub const FRAME_BYTES_MIN: u16 = 64;
/// Largest untagged Ethernet frame, in bytes with FCS.
pub const FRAME_BYTES_MAX: u16 = 1518;
/// Longest repeating sequence.
pub const SEQUENCE_MAX: usize = 1000;

/// The presets: name, then (size in bytes, weight).
pub const PRESETS: [(&str, &[(u16, u32)]); 2] = [
    // The "simple IMIX" of many testers, here in frames with FCS: mean 361.83 bytes.
    ("imix-7-4-1", &[(64, 7), (594, 4), (1518, 1)]),
    // Ours, for figures published at about 278 bytes a packet: mean 278.38 bytes.
    ("imix-278", &[(64, 67), (570, 28), (1518, 5)]),
];

/// A size mix as a scenario gives it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Genome {
    /// A preset (`imix-7-4-1`, `imix-278`), a size (`"64"`), or an RFC 6985 string such as
    /// `"aaag"`: a = 64, b = 128, c = 256, d = 512, e = 1,024, f = 1,280, g = 1,518 bytes.
    Name(String),
    /// Every frame has this size, in bytes.
    Fixed(u64),
    /// Sizes with weights.
    Mix(Mix),
}

/// Sizes with weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Frame sizes in bytes, L2 with FCS.
    pub sizes: Vec<u64>,
    /// Parts of each size; whole numbers, as many as sizes.
    pub weights: Vec<u64>,
}

/// Why a genome is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGenome {
    /// Neither a preset nor a size nor an RFC 6985 string.
    #[error("`{0}` is no size mix; expected a preset ({presets}), a frame size, an RFC 6985 \
             string of the letters a to g, or {{ sizes, weights }}", presets = preset_names())]
    Unknown(String),
    /// A letter of RFC 6985 that names a size Ethernet without jumbo frames does not have.
    #[error(
        "letter `{0}` of RFC 6985 means {1}, more than the {FRAME_BYTES_MAX} bytes of an \
             untagged Ethernet frame; jumbo frames are not available in this version"
    )]
    Jumbo(char, &'static str),
    /// A size out of range.
    #[error(
        "{0} bytes is no frame size; expected {FRAME_BYTES_MIN} to {FRAME_BYTES_MAX} (L2 \
             with FCS; jumbo frames are not available in this version)"
    )]
    Size(u64),
    /// Sizes and weights do not match.
    #[error("{sizes} sizes and {weights} weights; expected as many of each, at least one")]
    Unequal {
        /// Sizes given.
        sizes: usize,
        /// Weights given.
        weights: usize,
    },
    /// A weight of zero, or weights too fine.
    #[error(
        "the sequence would have {0} frames; expected 1 to {SEQUENCE_MAX}, every weight at \
             least 1"
    )]
    Length(u64),
}

impl Genome {
    /// The name under which results report this mix.
    pub fn name(&self) -> String {
        match self {
            Genome::Name(name) => name.clone(),
            Genome::Fixed(size) => size.to_string(),
            Genome::Mix(mix) => {
                let parts = mix.sizes.iter().zip(&mix.weights);
                let parts: Vec<_> =
                    parts.map(|(size, weight)| format!("{weight}x{size}")).collect();
                parts.join("+")
            }
        }
    }

    /// The repeating sequence of frame sizes, in bytes.
    ///
    /// # Errors
    /// A mix that is unknown, out of range or too long.
    pub fn sequence(&self) -> Result<Vec<u16>, BadGenome> {
        match self {
            Genome::Name(name) => named(name),
            Genome::Fixed(size) => Ok(vec![frame_size(*size)?]),
            Genome::Mix(Mix { sizes, weights }) => {
                if sizes.len() != weights.len() || sizes.is_empty() {
                    let (sizes, weights) = (sizes.len(), weights.len());
                    return Err(BadGenome::Unequal { sizes, weights });
                }
                let parts = sizes.iter().zip(weights);
                let parts: Result<Vec<_>, _> =
                    parts.map(|(&size, &weight)| Ok((frame_size(size)?, weight))).collect();
                interleave(&parts?)
            }
        }
    }
}

fn preset_names() -> String {
    PRESETS.map(|(name, _)| name).join(", ")
}

/// The sequence of a preset, of a size written as text, or of an RFC 6985 string.
fn named(name: &str) -> Result<Vec<u16>, BadGenome> {
    if let Some((_, parts)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
        let parts: Vec<_> = parts.iter().map(|&(size, weight)| (size, weight.into())).collect();
        return interleave(&parts);
    }
    if let Ok(size) = name.parse() {
        return Ok(vec![frame_size(size)?]);
    }
    if name.is_empty() || !name.bytes().all(|letter| matches!(letter, b'a'..=b'j' | b'z')) {
        return Err(BadGenome::Unknown(name.to_owned()));
    }
    if name.len() > SEQUENCE_MAX {
        return Err(BadGenome::Length(name.len() as u64));
    }
    name.chars().map(letter_size).collect()
}

/// The size a letter stands for (RFC 6985 section 4). The order of letters is the order sent.
fn letter_size(letter: char) -> Result<u16, BadGenome> {
    Ok(match letter {
        'a' => 64,
        'b' => 128,
        'c' => 256,
        'd' => 512,
        'e' => 1024,
        'f' => 1280,
        'g' => 1518,
        'h' => return Err(BadGenome::Jumbo(letter, "2,112 bytes")),
        'i' => return Err(BadGenome::Jumbo(letter, "9,000 bytes")),
        'j' => return Err(BadGenome::Jumbo(letter, "16,000 bytes")),
        'z' => return Err(BadGenome::Jumbo(letter, "the MTU, which may be")),
        other => return Err(BadGenome::Unknown(other.to_string())),
    })
}

fn frame_size(size: u64) -> Result<u16, BadGenome> {
    u16::try_from(size)
        .ok()
        .filter(|size| (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(size))
        .ok_or(BadGenome::Size(size))
}

/// Spreads each size evenly over the sequence: at every place the size that is furthest behind
/// its share comes next, the first listed on a tie.
fn interleave(parts: &[(u16, u64)]) -> Result<Vec<u16>, BadGenome> {
    let divisor = parts.iter().fold(0, |divisor, &(_, weight)| gcd(divisor, weight)).max(1);
    let total = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.1 / divisor));
    if parts.iter().any(|part| part.1 == 0) {
        return Err(BadGenome::Length(0));
    }
    if total > SEQUENCE_MAX as u64 {
        return Err(BadGenome::Length(total));
    }
    let weights: Vec<i64> = parts.iter().map(|part| (part.1 / divisor) as i64).collect();
    let mut behind = vec![0i64; parts.len()];
    let mut sequence = Vec::with_capacity(total as usize);
    for _ in 0..total {
        let mut next = 0;
        for part in 0..parts.len() {
            behind[part] += weights[part];
            if behind[part] > behind[next] {
                next = part;
            }
        }
        behind[next] -= total as i64;
        sequence.push(parts[next].0);
    }
    Ok(sequence)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl<'de> Deserialize<'de> for Genome {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Genome, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Genome;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size mix such as \"imix-7-4-1\", 64 or { sizes, weights }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Genome, E> {
                Ok(Genome::Name(text.to_owned()))
            }

            fn visit_i64<E: Error>(self, size: i64) -> Result<Genome, E> {
                let size = u64::try_from(size);
                size.map(Genome::Fixed).map_err(|_| E::custom("a frame size is not negative"))
            }

            fn visit_u64<E: Error>(self, size: u64) -> Result<Genome, E> {
                Ok(Genome::Fixed(size))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Genome, A::Error> {
                Mix::deserialize(MapAccessDeserializer::new(map)).map(Genome::Mix)
            }
        }

        from.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mean(sequence: &[u16]) -> f64 {
        sequence.iter().map(|&size| f64::from(size)).sum::<f64>() / sequence.len() as f64
    }

    #[test]
    fn presets_have_the_means_they_are_named_for() {
        let imix = named("imix-7-4-1").expect("a preset");
        assert_eq!((imix.len(), (mean(&imix) * 100.0).round()), (12, 36_183.0));
        let ours = named("imix-278").expect("a preset");
        assert_eq!((ours.len(), (mean(&ours) * 100.0).round()), (100, 27_838.0));
    }

    #[test]
    fn rfc_6985_strings_keep_their_order() {
        assert_eq!(named("agbf"), Ok(vec![64, 1518, 128, 1280]));
        assert_eq!(named("128"), Ok(vec![128]));
        assert!(matches!(named("aaj"), Err(BadGenome::Jumbo('j', _))));
        assert!(matches!(named("imix"), Err(BadGenome::Unknown(_))));
        assert_eq!(named("63"), Err(BadGenome::Size(63)));
        assert_eq!(named("1519"), Err(BadGenome::Size(1519)));
    }

    proptest! {
        #[test]
        fn every_stretch_looks_like_the_whole(weights in prop::collection::vec(1u64..60, 1..8)) {
            let parts: Vec<_> = weights.iter().zip(100u16..).map(|(&w, s)| (s, w)).collect();
            let sequence = interleave(&parts).expect("at most 480 frames");
            let total: u64 = weights.iter().sum();
            for (size, weight) in parts {
                let mut seen = 0.0;
                for (place, &found) in sequence.iter().enumerate() {
                    seen += f64::from(u8::from(found == size));
                    let share = weight as f64 / total as f64 * (place + 1) as f64;
                    prop_assert!((seen - share).abs() < weights.len() as f64, "{size} at {place}");
                }
                let exact = sequence.len() as f64 * weight as f64 / total as f64;
                prop_assert_eq!(seen, exact);
            }
        }

        #[test]
        fn no_mix_panics(sizes: Vec<u64>, weights: Vec<u64>, name: String) {
            let _ = Genome::Mix(Mix { sizes, weights }).sequence();
            let _ = Genome::Name(name).sequence();
        }
    }
}
