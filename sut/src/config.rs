//! Configuration of one Krononat server, as `krononat --config FILE` reads it.
//!
//! Everything is decided here and at start-up: addresses, limits and timers do not change while
//! packets flow. Unknown keys and impossible values are refused with the key and the remedy.

mod cluster;

pub use cluster::{Bgp, Cluster, Duty, Key, Mark, ShardConfig};

use crate::connections::{Quota, Room};
use crate::firewall6::{self, PREFIXES_MAX};
use crate::ports::PORT_MIN;
use crate::shard::Territory;
use dataplane::identity::Identity;
use dataplane::port::dpdk::PortKind;
use dataplane::worker::{CoreId, ServerId};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One server: what all its cores have in common, and each core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of the server among the servers of the cluster.
    pub server: ServerId,
    /// Seed of the keyed hash and of the choice of ports.
    pub seed: u64,
    /// What the server does with a packet.
    #[serde(default)]
    pub kind: Kind,
    /// Socket of the store, for [`Kind::RemoteState`] and for that alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// External ports of each subscriber: a power of two.
    pub port_block: u32,
    /// Connections each core has room for.
    pub connections_max: u32,
    /// Room for connections that share their external port with others of their subscriber's, to
    /// other remotes: an eighth of `connections_max` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_sessions_max: Option<u32>,
    /// Connections one subscriber may hold, to whatever remotes from its ports: four times
    /// `port_block` if absent (RFC 6888 REQ-5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriber_connections_max: Option<u32>,
    /// TCP connections whose handshake is not complete that one subscriber may hold: half of
    /// `port_block` if absent, so that a flood of SYNs leaves it the other half of its ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_open_max: Option<u32>,
    /// Which remotes may answer.
    #[serde(default)]
    pub filtering: Filtering,
    /// Connections of IPv6 each core has room for, where it has `subscribers6`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub connections6_max: u32,
    /// Connections each core opens per second; without limit if absent. What comes faster is dropped
    /// as `setup_limit` and may be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setups_per_s_max: Option<u32>,
    /// How long connections may be silent.
    #[serde(default)]
    pub timers: Timers,
    /// How the servers of a cluster keep each other's connections; absent for a server alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// The cores, each an independent router.
    #[serde(rename = "core")]
    pub cores: Vec<CoreConfig>,
}

/// What a server does with a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// NAT44 and stateful firewall.
    #[default]
    Krononat,
    /// Forwards every packet as it is: the cost of receiving and sending alone.
    Forwarder,
    /// The same NAT with one table for all cores, under a lock. A baseline.
    LockedNat,
    /// The same under a reader-writer lock. A baseline.
    RwlockNat,
    /// A stateless balancer, which is no NAT. A baseline.
    Maglev,
    /// A NAT whose state is in a Redis or Valkey server. A baseline.
    RemoteState,
}

/// Which remotes may send to a mapping, by the names of RFC 4787 §5 (for TCP: RFC 5382 §4.3). A
/// session is kept for each remote that this tells apart, so under the first two the TCP connections
/// of one mapping, or of one mapping with one address, share their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Any, once the subscriber has sent from the mapping to anybody.
    EndpointIndependent,
    /// Those whose address the subscriber has sent to.
    AddressDependent,
    /// Those whose address and port the subscriber has sent to.
    #[default]
    AddressAndPortDependent,
}

/// One core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreConfig {
    /// Number of the core on its server.
    pub core: CoreId,
    /// Processor to run on; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
    /// What the core is on the network.
    pub identity: Identity,
    /// Prefixes of the subscribers whose connections this core tracks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribers: Vec<Ipv4Net>,
    /// External addresses the subscribers share. In a cluster both are given by shard instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Ipv4Net>,
    /// Shards of a cluster that this core has a part in.
    #[serde(default, rename = "shard", skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardConfig>,
    /// IPv6 prefixes behind this core's firewall; none if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subscribers6: Vec<Ipv6Net>,
    /// The core's own IPv6 address: answers neighbour solicitations and ICMP echo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip6: Option<Ipv6Addr>,
    /// Ports, a lane each; empty where the caller joins the core to an in-memory network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortKind>,
}

/// How long connections may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// UDP, in milliseconds. RFC 4787 REQ-5: not below 2 minutes, 5 recommended.
    pub udp_ms: u64,
    /// ICMP echo, in milliseconds. RFC 5508 REQ-2: not below 60 s.
    pub icmp_ms: u64,
    /// TCP opening, in milliseconds. RFC 7857 §2.1 recommends 4 minutes and lets a NAT that finds
    /// them too long for its security take less.
    pub tcp_half_open_ms: u64,
    /// TCP closing, in milliseconds. RFC 5382 REQ-5: not below 4 minutes.
    pub tcp_transitory_ms: u64,
    /// TCP established, in milliseconds. RFC 5382 REQ-5: not below 2 hours 4 minutes.
    pub tcp_established_ms: u64,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            udp_ms: 300_000,
            icmp_ms: 60_000,
            // A SYN is sent again after 1, 3, 7, 15 and 31 s (RFC 6298 §2.1 and 5.5), which starts
            // the timer anew; Linux waits 60 s for the rest of a handshake that has an answer.
            tcp_half_open_ms: 60_000,
            tcp_transitory_ms: 240_000,
            tcp_established_ms: 7_440_000,
        }
    }
}

/// Longest timer: half the range of a 16-bit deadline in steps of 250 ms, less the time a sweep may
/// take to find it.
pub const TIMER_MAX: Duration = Duration::from_secs(8_000);

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is no configuration.
    #[error("{}:{line}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line of the error, from 1.
        line: usize,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A value cannot work.
    #[error("{key} = {value}: {remedy}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What was expected.
        remedy: String,
    },
}

impl ConfigError {
    fn value(key: &str, value: impl ToString, remedy: impl Into<String>) -> ConfigError {
        let (key, value) = (key.to_owned(), value.to_string());
        ConfigError::Value { key, value, remedy: remedy.into() }
    }
}

impl Config {
    /// How many connections each core has room for.
    pub fn room(&self) -> Room {
        let shared = self.shared_sessions_max.unwrap_or((self.connections_max / 8).max(64));
        Room { mappings: self.connections_max, shared_sessions: shared, quota: self.quota() }
    }

    /// The most that each subscriber may hold.
    pub fn quota(&self) -> Quota {
        Quota {
            connections: self.subscriber_connections_max.unwrap_or(4 * self.port_block),
            half_open: self.half_open_max.unwrap_or(self.port_block / 2),
        }
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read, is no configuration, or asks for what cannot be.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Unreadable { file: file.to_owned(), source })?;
        Config::parse(&text, file)
    }

    /// Reads and checks the text of `file`, which is named in messages.
    ///
    /// # Errors
    /// When it is no configuration, or asks for what cannot be.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
            let content = text.lines().nth(line - 1).unwrap_or_default().trim();
            let message = format!("`{content}`: {}", error.message());
            ConfigError::Syntax { file: file.to_owned(), line, message }
        })?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types alone cannot say.
    ///
    /// # Errors
    /// Names the key, the value and the remedy.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.port_block.is_power_of_two() || !(64..=32_768).contains(&self.port_block) {
            let remedy = "expected a power of two from 64 to 32768 ports per subscriber";
            return Err(ConfigError::value("port_block", self.port_block, remedy));
        }
        if (self.kind == Kind::RemoteState) != self.store.is_some() {
            let store = self.store.as_deref().unwrap_or(Path::new(""));
            let remedy =
                "expected the socket of a store where kind = \"remote-state\", and only there";
            return Err(ConfigError::value("store", store.display(), remedy));
        }
        if self.connections_max == 0 || self.connections_max > 1 << 30 {
            let remedy = "expected 1 to 2^30 connections per core";
            return Err(ConfigError::value("connections_max", self.connections_max, remedy));
        }
        for (key, ms) in [
            ("timers.udp_ms", self.timers.udp_ms),
            ("timers.icmp_ms", self.timers.icmp_ms),
            ("timers.tcp_half_open_ms", self.timers.tcp_half_open_ms),
            ("timers.tcp_transitory_ms", self.timers.tcp_transitory_ms),
            ("timers.tcp_established_ms", self.timers.tcp_established_ms),
        ] {
            if ms == 0 || Duration::from_millis(ms) > TIMER_MAX {
                let most = TIMER_MAX.as_millis();
                return Err(ConfigError::value(key, ms, format!("expected 1 to {most} ms")));
            }
        }
        if self.setups_per_s_max == Some(0) {
            let remedy = "expected at least 1 for each core; leave it out for no limit";
            return Err(ConfigError::value("setups_per_s_max", 0, remedy));
        }
        for (key, most) in [
            ("subscriber_connections_max", self.subscriber_connections_max),
            ("half_open_max", self.half_open_max),
        ] {
            if let Some(0) = most {
                let remedy = "expected at least 1 per subscriber; leave it out for the default";
                return Err(ConfigError::value(key, 0, remedy));
            }
        }
        if self.cores.is_empty() {
            return Err(ConfigError::value("core", "[]", "expected at least one [[core]]"));
        }
        self.cores.iter().enumerate().try_for_each(|(at, core)| {
            self.check_core(at, core)?;
            self.check_core6(at, core)
        })
    }

    fn check_core(&self, at: usize, core: &CoreConfig) -> Result<(), ConfigError> {
        let key = |name: &str| format!("core[{at}].{name}");
        match (&self.cluster, core.external) {
            (Some(cluster), None) if core.subscribers.is_empty() => cluster.check(at, core)?,
            (Some(_), _) => {
                let remedy = "in a cluster subscribers and external belong to a [[core.shard]]";
                return Err(ConfigError::value(&key("external"), "given", remedy));
            }
            (None, _) if !core.shards.is_empty() => {
                let remedy = "shards are shared by the servers of a [cluster], which is missing";
                return Err(ConfigError::value(&key("shard"), core.shards.len(), remedy));
            }
            (None, None) => {
                let remedy = "missing: expected the prefix that the subscribers share";
                return Err(ConfigError::value(&key("external"), "", remedy));
            }
            (None, Some(_)) => {}
        }
        for territory in core.territories() {
            self.check_room(&key, &territory)?;
        }
        let mine = core.prefixes();
        for (i, a) in mine.iter().enumerate() {
            if let Some(b) = mine[..i].iter().find(|b| overlap(a, b)) {
                let remedy = format!("overlaps {b}: each address has one meaning");
                return Err(ConfigError::value(&key("subscribers"), a, remedy));
            }
        }
        for other in &self.cores[..at] {
            for a in &mine {
                if let Some(b) = other.prefixes().iter().find(|b| overlap(a, b)) {
                    let remedy = format!("overlaps {b} of core {}", other.core);
                    return Err(ConfigError::value(&key("subscribers"), a, remedy));
                }
            }
        }
        Ok(())
    }

    /// Whether the external addresses have a port block for each subscriber.
    fn check_room(&self, key: &dyn Fn(&str) -> String, of: &Territory) -> Result<(), ConfigError> {
        if of.subscribers.is_empty() {
            let remedy = "expected at least one prefix of subscribers";
            return Err(ConfigError::value(&key("subscribers"), "[]", remedy));
        }
        let count: u64 = of.subscribers.iter().map(|net| addresses(*net)).sum();
        let blocks = addresses(of.external) * u64::from(blocks_per_address(self.port_block));
        if count > blocks {
            let remedy = format!(
                "{count} subscribers need {count} blocks of {} ports, these addresses have \
                 {blocks}: enlarge the prefix or lower port_block",
                self.port_block
            );
            return Err(ConfigError::value(&key("external"), of.external, remedy));
        }
        Ok(())
    }
}

impl Config {
    /// The same server as if all its cores were one, with room for the connections of all.
    pub(crate) fn joined(&self) -> Config {
        let cores = u32::try_from(self.cores.len()).unwrap_or(u32::MAX);
        let times = |room: u32| room.saturating_mul(cores).min(1 << 30);
        Config {
            connections_max: times(self.connections_max),
            shared_sessions_max: self.shared_sessions_max.map(times),
            cluster: None,
            ..self.clone()
        }
    }
}

impl CoreConfig {
    /// The addresses of the core's shards: of a core alone, the one it serves from the start.
    pub fn territories(&self) -> Vec<Territory> {
        let alone = self.external.map(|external| Territory {
            subscribers: self.subscribers.clone(),
            external,
            served: true,
        });
        alone.into_iter().chain(self.shards.iter().map(ShardConfig::territory)).collect()
    }

    /// All prefixes that the core has to do with.
    fn prefixes(&self) -> Vec<Ipv4Net> {
        let of = |it: Territory| it.subscribers.into_iter().chain([it.external]);
        self.territories().into_iter().flat_map(of).collect()
    }
}

impl Config {
    fn check_core6(&self, at: usize, core: &CoreConfig) -> Result<(), ConfigError> {
        let key = |name: &str| format!("core[{at}].{name}");
        let nets = &core.subscribers6;
        if !nets.is_empty() && !(1..=1 << 30).contains(&self.connections6_max) {
            let remedy = "expected 1 to 2^30 connections per core, since a core has subscribers6";
            return Err(ConfigError::value("connections6_max", self.connections6_max, remedy));
        }
        let count = Ipv6Net::aggregate(nets).len();
        if count > PREFIXES_MAX {
            let remedy = format!("at most {PREFIXES_MAX} separate prefixes are possible");
            return Err(ConfigError::value(&key("subscribers6"), count, remedy));
        }
        for (i, net) in nets.iter().enumerate() {
            if !firewall6::is_global(net.network()) {
                let remedy = "is not forwarded on the public Internet (RFC 6092 REC-3 and REC-7): \
                              expected global unicast; 2001:2::/48 is for benchmarks (RFC 5180)";
                return Err(ConfigError::value(&key("subscribers6"), net, remedy));
            }
            if let Some(other) = nets[..i].iter().find(|other| overlap6(net, other)) {
                let remedy = format!("overlaps {other}: each address has one meaning");
                return Err(ConfigError::value(&key("subscribers6"), net, remedy));
            }
            for other in &self.cores[..at] {
                if let Some(taken) = other.subscribers6.iter().find(|taken| overlap6(net, taken)) {
                    let remedy = format!("overlaps {taken} of core {}", other.core);
                    return Err(ConfigError::value(&key("subscribers6"), net, remedy));
                }
            }
        }
        match core.ip6 {
            Some(ip) if ip.is_multicast() || ip.is_unspecified() || ip.is_loopback() => {
                Err(ConfigError::value(&key("ip6"), ip, "expected a unicast address"))
            }
            Some(ip) if nets.iter().any(|net| net.contains(&ip)) => {
                let remedy = "belongs to subscribers6: each address has one meaning";
                Err(ConfigError::value(&key("ip6"), ip, remedy))
            }
            _ => Ok(()),
        }
    }
}

fn overlap6(a: &Ipv6Net, b: &Ipv6Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Addresses of a prefix.
pub(crate) fn addresses(net: Ipv4Net) -> u64 {
    1 << (32 - net.prefix_len())
}

/// Whole port blocks that one external address offers above the system ports.
pub fn blocks_per_address(port_block: u32) -> u32 {
    (1 << 16) / port_block - u32::from(PORT_MIN).div_ceil(port_block)
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        server = 0
        seed = 1
        port_block = 64
        connections_max = 64512
        [[core]]
        core = 0
        identity = { mac = "02:01:00:00:00:00", ip = "10.255.0.1", gateway = "02:09:00:00:00:00" }
        subscribers = ["100.64.0.0/22"]
        external = "198.18.0.0/31"
    "#;

    fn error(text: &str) -> String {
        let file = tempfile(text);
        Config::load(file.path()).unwrap_err().to_string()
    }

    fn tempfile(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_good_file_loads_and_survives_a_round_trip() {
        let config = Config::load(tempfile(GOOD).path()).unwrap();
        assert_eq!(config.timers, Timers::default());
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), config);
    }

    #[test]
    fn what_a_subscriber_may_hold_follows_from_its_ports() {
        let config = Config::load(tempfile(GOOD).path()).unwrap();
        assert_eq!(config.quota(), Quota { connections: 256, half_open: 32 });
        let text = "half_open_max = 3\nsubscriber_connections_max = 9\n".to_owned() + GOOD;
        let config = Config::load(tempfile(&text).path()).unwrap();
        assert_eq!(config.quota(), Quota { connections: 9, half_open: 3 });
    }

    const GOOD6: &str = "subscribers6 = [\"2001:2:0:1::/64\", \"2a00::/32\"]\nip6 = \"fe80::1\"";

    #[test]
    fn a_core_may_have_ipv6() {
        let text = GOOD.replace("seed = 1", "seed = 1\nconnections6_max = 9") + GOOD6;
        let config = Config::load(tempfile(&text).path()).unwrap();
        assert_eq!((config.connections6_max, config.cores[0].subscribers6.len()), (9, 2));
        let again = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<Config>(&again).unwrap(), config);
        for (from, to, parts) in [
            ("_max = 9", "_max = 0", vec!["connections6_max = 0", "subscribers6"]),
            ("2a00::/32", "2001:2::/48", vec!["core[0].subscribers6 = 2001:2::/48", "overlaps"]),
            ("2a00::/32", "2001:db8::/48", vec!["2001:db8::/48", "REC-3", "2001:2::/48"]),
            ("2a00::/32", "fd00::/48", vec!["fd00::/48", "REC-7"]),
            ("2a00::/32", "2a00::/129", vec![":12:", "2a00::/129"]),
            ("fe80::1", "2a00::1", vec!["core[0].ip6 = 2a00::1", "belongs to subscribers6"]),
            ("fe80::1", "ff02::1", vec!["core[0].ip6 = ff02::1", "unicast"]),
        ] {
            let message = error(&text.replace(from, to));
            for part in parts {
                assert!(message.contains(part), "{message} lacks {part}");
            }
        }
    }

    #[test]
    fn bad_files_are_refused_with_key_value_and_remedy() {
        for (from, to, parts) in [
            ("port_block = 64", "port_block = 65", vec!["port_block = 65", "power of two"]),
            ("seed = 1", "sead = 1", vec![":3:", "sead"]),
            ("64512", "0", vec!["connections_max = 0"]),
            ("/22", "/16", vec!["core[0].external", "65536 subscribers", "enlarge"]),
            ("198.18.0.0/31", "100.64.1.0/24", vec!["overlaps 100.64.0.0/22"]),
            ("100.64.0.0/22", "100.64.0.0/33", vec![":9:", "subscribers", "100.64.0.0/33"]),
            ("[[core]]", "timers.udp_ms = 9000000\n[[core]]", vec!["timers.udp_ms = 9000000"]),
            ("[[core]]", "half_open_max = 0\n[[core]]", vec!["half_open_max = 0", "at least 1"]),
        ] {
            let message = error(&GOOD.replace(from, to));
            for part in parts {
                assert!(message.contains(part), "{message} lacks {part}");
            }
        }
        let missing = Config::load(Path::new("/nowhere/krononat.toml")).unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/krononat.toml: cannot be read"), "{missing}");
    }
}
