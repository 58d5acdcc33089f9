//! Where a plan runs, as named on the command line and in the files.
//!
//! Only names: what a testbed is made of is the business of whoever runs one.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a plan runs. Text form as on the command line: `embedded`, `hosts:rack.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Testbed {
    /// Virtual time, one thread, seeded.
    Sim,
    /// One process, pinned threads, in-memory links, real clock.
    #[default]
    Embedded,
    /// Each server its own process.
    Process,
    /// Linux network namespaces.
    Netns,
    /// Servers over ssh, described in this file.
    Hosts(String),
}

impl fmt::Display for Testbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Testbed::Sim => f.write_str("sim"),
            Testbed::Embedded => f.write_str("embedded"),
            Testbed::Process => f.write_str("process"),
            Testbed::Netns => f.write_str("netns"),
            Testbed::Hosts(file) => write!(f, "hosts:{file}"),
        }
    }
}

/// Text that names no testbed.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no testbed: expected sim, embedded, process, netns or hosts:FILE")]
pub struct NotATestbed(String);

impl FromStr for Testbed {
    type Err = NotATestbed;
    fn from_str(text: &str) -> Result<Testbed, NotATestbed> {
        match text {
            "sim" => Ok(Testbed::Sim),
            "embedded" => Ok(Testbed::Embedded),
            "process" => Ok(Testbed::Process),
            "netns" => Ok(Testbed::Netns),
            other => match other.strip_prefix("hosts:") {
                Some(file) if !file.is_empty() => Ok(Testbed::Hosts(file.to_owned())),
                _ => Err(NotATestbed(other.to_owned())),
            },
        }
    }
}

impl Serialize for Testbed {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Testbed {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Testbed, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_text_form() {
        for text in ["sim", "embedded", "process", "netns", "hosts:rack.toml"] {
            let testbed: Option<Testbed> = text.parse().ok();
            assert_eq!(testbed.map(|bed| bed.to_string()).as_deref(), Some(text));
        }
        for text in ["", "hosts:", "Sim", "hosts"] {
            assert!(text.parse::<Testbed>().is_err(), "{text}");
        }
    }
}
