//! What a server of a cluster must know: the secret of the cluster, the router that watches its
//! cores, and for each core the shards it has a part in and who has the other.

use super::{ConfigError, CoreConfig};
use crate::shard::{SHARDS_MAX, Territory};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// How the servers of a cluster keep each other's connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Secret of the cluster, 32 hexadecimal digits: who does not know it cannot write state.
    pub key: Key,
    /// The router that watches every core by BFD and steers around a silent one; without it a core
    /// never knows that it is cut off, and is for tests alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Ipv4Addr>,
    /// Time between two BFD packets, in microseconds.
    #[serde(default = "Cluster::default_bfd_interval_us")]
    pub bfd_interval_us: u64,
    /// BFD packets in a row whose absence means that a core is down (RFC 5880 §6.8.4).
    #[serde(default = "Cluster::default_bfd_multiplier")]
    pub bfd_multiplier: u8,
    /// Longest time between two messages of a core to the other one of a shard, in microseconds. A
    /// core is silent after three.
    #[serde(default = "Cluster::default_beat_us")]
    pub beat_us: u64,
    /// How long a core that has handed a shard over still serves what is on its way to it, in
    /// milliseconds.
    #[serde(default = "Cluster::default_drain_ms")]
    pub drain_ms: u64,
}

/// What a core is for a shard when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// It serves the shard.
    Master,
    /// It holds a copy and takes over.
    Slave,
}

/// A shard of a cluster, as one of its two cores knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardConfig {
    /// Number of the shard in the cluster.
    pub id: u32,
    /// Prefixes of its subscribers.
    pub subscribers: Vec<Ipv4Net>,
    /// External addresses they share.
    pub external: Ipv4Net,
    /// What this core is for it.
    pub duty: Duty,
    /// Address of the other core.
    pub peer: Ipv4Addr,
}

impl ShardConfig {
    pub(super) fn territory(&self) -> Territory {
        // Nothing is served before a core knows that nobody else does.
        let Self { subscribers, external, .. } = self;
        Territory { subscribers: subscribers.clone(), external: *external, served: false }
    }
}

/// A key of 128 bits, as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key(pub [u8; 16]);

impl fmt::Debug for Key {
    /// A secret is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Text that is no key.
#[derive(Debug, thiserror::Error)]
#[error("a text of {0} characters is no key: expected 32 hexadecimal digits")]
pub struct NotAKey(usize);

impl FromStr for Key {
    type Err = NotAKey;
    fn from_str(text: &str) -> Result<Key, NotAKey> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(|number| Key(number.to_be_bytes())).ok_or(NotAKey(text.len()))
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Cluster {
    fn default_bfd_interval_us() -> u64 {
        3_300
    }

    fn default_bfd_multiplier() -> u8 {
        3
    }

    fn default_beat_us() -> u64 {
        1_000
    }

    fn default_drain_ms() -> u64 {
        20
    }

    pub(super) fn check(&self, at: usize, core: &CoreConfig) -> Result<(), ConfigError> {
        for (key, value, most) in [
            ("cluster.bfd_interval_us", self.bfd_interval_us, 1_000_000),
            ("cluster.beat_us", self.beat_us, 100_000),
            ("cluster.drain_ms", self.drain_ms, 10_000),
            ("cluster.bfd_multiplier", u64::from(self.bfd_multiplier), 50),
        ] {
            if !(1..=most).contains(&value) {
                return Err(ConfigError::value(key, value, format!("expected 1 to {most}")));
            }
        }
        let key = format!("core[{at}].shard");
        let shards = &core.shards;
        if shards.is_empty() || shards.len() > SHARDS_MAX {
            let remedy = format!("expected 1 to {SHARDS_MAX} shards for each core of a cluster");
            return Err(ConfigError::value(&key, shards.len(), remedy));
        }
        for (index, shard) in shards.iter().enumerate() {
            if shards[..index].iter().any(|other| other.id == shard.id) {
                let remedy = "is there twice: a core is master or slave of a shard, not both";
                return Err(ConfigError::value(&format!("{key}.id"), shard.id, remedy));
            }
            if shard.peer == core.identity.ip {
                let remedy = "is this core: a copy on the same core protects nothing";
                return Err(ConfigError::value(&format!("{key}.peer"), shard.peer, remedy));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Duty};
    use std::path::Path;

    const GOOD: &str = r#"
        server = 0
        seed = 1
        port_block = 64
        connections_max = 64512
        [cluster]
        key = "000102030405060708090a0b0c0d0e0f"
        router = "10.9.0.1"
        [[core]]
        core = 0
        identity = { mac = "02:01:00:00:00:00", ip = "10.1.0.0", gateway = "02:09:00:00:00:00" }
        [[core.shard]]
        id = 0
        subscribers = ["100.64.0.0/24"]
        external = "198.18.0.0/32"
        duty = "master"
        peer = "10.1.1.0"
        [[core.shard]]
        id = 1
        subscribers = ["100.64.1.0/24"]
        external = "198.18.0.1/32"
        duty = "slave"
        peer = "10.1.2.0"
    "#;

    fn error(text: &str) -> String {
        Config::parse(text, Path::new("c.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_core_of_a_cluster_has_shards() {
        let config = Config::parse(GOOD, Path::new("c.toml")).unwrap();
        assert_eq!(config.cores[0].shards[1].duty, Duty::Slave);
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
        assert!(!format!("{config:?}").contains("0e0f"), "the key is printed");
    }

    #[test]
    fn what_cannot_be_is_refused_with_key_value_and_remedy() {
        for (from, to, parts) in [
            ("0f\"", "0\"", vec!["c.toml:7", "key", "32 hexadecimal digits"]),
            ("id = 1", "id = 0", vec!["core[0].shard.id = 0", "twice"]),
            ("10.1.2.0", "10.1.0.0", vec!["shard.peer = 10.1.0.0", "this core"]),
            ("198.18.0.1/32", "198.18.0.0/31", vec!["overlaps 198.18.0.0/32"]),
            ("100.64.1.0/24", "100.64.4.0/22", vec!["external = 198.18.0.1/32", "1024"]),
            ("router", "beat_us = 0\nrouter", vec!["cluster.beat_us = 0", "1 to 100000"]),
            (
                "[[core.shard]]",
                "external = \"192.0.2.0/24\"\n[[core.shard]]",
                vec!["core[0].external", "[[core.shard]]"],
            ),
        ] {
            let message = error(&GOOD.replacen(from, to, 1));
            for part in parts {
                assert!(message.contains(part), "{message} lacks {part}");
            }
        }
        let alone = GOOD.replace("[cluster]", "").replace("key =", "#").replace("router =", "#");
        assert!(error(&alone).contains("[cluster], which is missing"), "{}", error(&alone));
    }
}
