//! What a server of a cluster must know: the secret of the cluster, the router that watches its
//! cores, and for each core the shards it has a part in and who has the other.

use super::{ConfigError, CoreConfig};
use crate::route::bgp::Community;
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
    /// How the cores tell the router which packets they want; absent where its routes are fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bgp: Option<Bgp>,
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

/// BGP with the router. Each core has a session of its own, with the `asn` of its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bgp {
    /// The router's AS number, which is not that of a core.
    pub asn: u32,
    /// Hold time to propose, in seconds: 0 for none, or at least 3. BFD is faster in any case.
    #[serde(default = "Bgp::default_hold_s")]
    pub hold_s: u16,
    /// Whether the router must send with a time to live of 255 (RFC 5082), as it does where it is
    /// told to use TTL security. The cores always do.
    #[serde(default)]
    pub ttl_security: bool,
    /// Community, such as `65001:2`, with which subscribers' prefixes are announced as well, for the
    /// router to put them into the table that it looks up by source. Absent: external prefixes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<Mark>,
}

impl Bgp {
    fn default_hold_s() -> u16 {
        90
    }
}

/// A community (RFC 1997), written as two numbers of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub Community);

/// Text that is no community.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no community: expected two numbers up to 65535, such as 65001:2")]
pub struct NotAMark(String);

impl FromStr for Mark {
    type Err = NotAMark;
    fn from_str(text: &str) -> Result<Mark, NotAMark> {
        let numbers = text
            .split_once(':')
            .and_then(|(high, low)| Some((high.parse::<u16>().ok()?, low.parse::<u16>().ok()?)));
        let (high, low) = numbers.ok_or_else(|| NotAMark(text.to_owned()))?;
        Ok(Mark(Community(u32::from(high) << 16 | u32::from(low))))
    }
}

impl Serialize for Mark {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Mark(Community(bits)) = self;
        to.serialize_str(&format!("{}:{}", bits >> 16, bits & 0xffff))
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Mark, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
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
        self.check_bgp(at, core)?;
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

    fn check_bgp(&self, at: usize, core: &CoreConfig) -> Result<(), ConfigError> {
        let Some(bgp) = &self.bgp else { return Ok(()) };
        if self.router.is_none() {
            let remedy = "missing: expected the router that the cores speak BGP with";
            return Err(ConfigError::value("cluster.router", "", remedy));
        }
        if matches!(bgp.hold_s, 1 | 2) {
            let remedy = "expected 0 or at least 3 s (RFC 4271)";
            return Err(ConfigError::value("cluster.bgp.hold_s", bgp.hold_s, remedy));
        }
        // RFC 7607: 0 is nobody's; a session within one AS would be another kind.
        if bgp.asn == 0 {
            return Err(ConfigError::value("cluster.bgp.asn", 0, "expected 1 or more"));
        }
        let key = format!("core[{at}].identity.asn");
        match core.identity.asn {
            Some(asn) if asn != 0 && asn != bgp.asn => Ok(()),
            Some(asn) => {
                let remedy = "expected an AS number that is not 0 and not the router's";
                Err(ConfigError::value(&key, asn, remedy))
            }
            None => {
                let remedy = "missing: expected the AS number that the core speaks BGP with";
                Err(ConfigError::value(&key, "", remedy))
            }
        }
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
    fn a_core_speaks_bgp_as_an_as_of_its_own() {
        let bgp = "[cluster.bgp]\nasn = 65000\nsubscribers = \"65001:2\"\n[[core]]";
        let asn = "asn = 4200000001, gateway =";
        let text = GOOD.replace("[[core]]", bgp).replace("gateway =", asn);
        let config = Config::parse(&text, Path::new("c.toml")).unwrap();
        let bgp = config.cluster.as_ref().unwrap().bgp.as_ref().unwrap();
        assert_eq!((bgp.hold_s, bgp.subscribers.unwrap().0.0), (90, 65_001 << 16 | 2));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
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
        let bgp = "[cluster.bgp]\nasn = 65000\n[[core]]";
        for (from, to, part) in [
            ("", "", "core[0].identity.asn = : missing"),
            ("gateway =", "asn = 65000, gateway =", "core[0].identity.asn = 65000"),
            ("router =", "# router =", "cluster.router = : missing"),
            ("asn = 65000\n", "asn = 0\n", "cluster.bgp.asn = 0"),
            ("asn = 65000\n", "asn = 65000\nhold_s = 2\n", "cluster.bgp.hold_s = 2"),
            ("asn = 65000\n", "asn = 65000\nsubscribers = \"7\"\n", "`7` is no community"),
        ] {
            let message = error(&GOOD.replace("[[core]]", bgp).replacen(from, to, 1));
            assert!(message.contains(part), "{message} lacks {part}");
        }
        let alone = GOOD.replace("[cluster]", "").replace("key =", "#").replace("router =", "#");
        assert!(error(&alone).contains("[cluster], which is missing"), "{}", error(&alone));
    }
}
