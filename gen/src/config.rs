//! Configuration of one generator server: what `kronogen --config FILE` reads and what the testbeds
//! of `krono` make from a plan.
//!
//! Everything is resolved here: rates are per core, sizes a plain sequence, addresses given. Nothing
//! is derived from a scenario; that is the plan's business.

mod network;

pub use network::{Network, Router};

use crate::attack::Attack;
use crate::mix::Mix;
use crate::popularity::EXPONENT_MAX;
use crate::sample::{RING_MAX, SAMPLE_MAX, SPAN_MAX};
use crate::stamp::Source;
use crate::tuple::{ID_BITS, SHARDS_MAX};
use dataplane::burst::BURST;
use dataplane::clock::Nanos;
use dataplane::frame::{CAPACITY, FCS, SHORTEST};
use dataplane::identity::{Identity, Mac};
use dataplane::port::dpdk::PortKind;
use dataplane::run::Idle;
use dataplane::worker::{CoreId, ServerId};
use format::plan::Shape;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Largest number of frames a core sends in one step.
pub const BATCH_MAX: usize = 128;

/// One generator server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// This server, below 64.
    pub server: ServerId,
    /// Seed of tuples, order of connections, directions and phases of the schedules.
    pub seed: u64,
    /// Frame sizes in bytes with frame check sequence, repeated in this order.
    pub sizes: Vec<u16>,
    /// Share of data packets that go from subscribers to the Internet, 0 to 1.
    pub up_share: f64,
    /// Share of connections that are UDP, 0 to 1; the others are TCP.
    pub udp_share: f64,
    /// Share of TCP connections that are closed by RST, 0 to 1; the others are by FIN.
    #[serde(default, skip_serializing_if = "Config::is_zero")]
    pub reset_share: f64,
    /// Exponent of Zipf's law by which data packets go to the connections of a core, 0 to 1.5; 0 is to
    /// all alike. See [`crate::popularity`].
    #[serde(default, skip_serializing_if = "Config::is_zero")]
    pub zipf: f64,
    /// Whether the system under test translates. What then comes out with its subscriber's own
    /// address is mistranslated, and opens nothing.
    #[serde(default, skip_serializing_if = "Config::is_false")]
    pub translated: bool,
    /// Latency beyond which a packet is late, in ns.
    pub deadline_ns: u64,
    /// Time after the last packet of a phase in which packets are still awaited, in ns.
    pub drain_ns: u64,
    /// Most frames sent in one step, 1 to 128. More of them cost latency and burstiness and save
    /// cycles.
    #[serde(default = "Config::batch_default")]
    pub batch: usize,
    /// Most packets under way at rate `max`, and in a phase until so many connections are held; at
    /// least twice the batch, and 64. A port that cannot tell its room must hold twice as many.
    #[serde(default = "Config::window_default")]
    pub window: u32,
    /// Time after which an opening that did not complete is tried again, in ns.
    #[serde(default = "Config::retry_ns_default")]
    pub retry_ns: u64,
    /// Times an opening is tried before the connection counts as failed.
    #[serde(default = "Config::attempts_default")]
    pub attempts: u8,
    /// Time for which a closed connection is still recognised, in ns.
    #[serde(default = "Config::linger_ns_default")]
    pub linger_ns: u64,
    /// What cores do when there is nothing to do.
    #[serde(default)]
    pub idle: Idle,
    /// The cores, each a router of its own.
    pub cores: Vec<CoreConfig>,
    /// What happens, in this order; each phase is a trial with a ledger of its own.
    pub phases: Vec<Phase>,
    /// The network, where this server plays it as well: its one core is then a switch with a port to
    /// each core of the system under test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// One core of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoreConfig {
    /// This core, below 64.
    pub core: CoreId,
    /// Processor the core's thread is pinned to; not pinned where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<usize>,
    /// Most connections this core holds at a time; an opening beyond is not sent.
    pub connections: u32,
    /// Addresses on the Internet side of this core; no other core has them.
    pub servers: Ipv4Net,
    /// Next hop towards each core of the system under test, in the order of `subscribers`.
    pub gateways: Vec<Mac>,
    /// What the core is on the network.
    pub identity: Identity,
    /// This core's subscribers, one range per core of the system under test.
    pub subscribers: Vec<Range>,
    /// Ports, a lane each; empty where the caller joins the core to an in-memory network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortKind>,
}

/// Consecutive addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// First address.
    pub first: Ipv4Addr,
    /// Number of addresses, a power of two.
    pub count: u32,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Name in records and plots.
    pub name: String,
    /// Connections this core opens per second.
    #[serde(default)]
    pub open_per_s: f64,
    /// Connections this core closes per second, oldest first.
    #[serde(default)]
    pub close_per_s: f64,
    /// Data packets.
    #[serde(default)]
    pub rate: Rate,
    /// How their rate rises and falls around its mean; only with packets per second and a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Attacks beside it.
    #[serde(default)]
    pub attack: Attack,
    /// When the phase ends.
    pub until: Until,
    /// Connections of this core that the data packets go to, one after another, each up and down
    /// alternately; absent or 0, to all. They are established ones, evenly from all shards and from
    /// the oldest to the newest but for those that the phase closes. Each gets a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
}

/// Rate of data packets of one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rate {
    /// No data.
    #[default]
    None,
    /// As many as the port takes without refusing any.
    Max,
    /// Packets per second, by an open loop.
    Pps(f64),
}

/// End of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// This core holds so many connections, each established or given up.
    Held(u32),
    /// So many nanoseconds have passed since the common start.
    For(u64),
    /// Each connection held has been sent one packet down.
    Validated,
}

/// A configuration that cannot be run: which key, which value, and what is expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{key}` is {value}: expected {expected}")]
pub struct ConfigError {
    /// Path of the key, such as `cores[1].gateways`.
    pub key: String,
    /// The value as given.
    pub value: String,
    /// What it must be.
    pub expected: &'static str,
}

fn require(
    holds: bool,
    key: impl Into<String>,
    value: impl std::fmt::Debug,
    expected: &'static str,
) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError { key: key.into(), value: format!("{value:?}"), expected })
    }
}

impl Config {
    fn batch_default() -> usize {
        32
    }
    fn is_zero(value: &f64) -> bool {
        *value == 0.0
    }
    fn is_false(value: &bool) -> bool {
        !*value
    }
    fn window_default() -> u32 {
        1024
    }
    fn retry_ns_default() -> u64 {
        100_000_000
    }
    fn attempts_default() -> u8 {
        5
    }
    fn linger_ns_default() -> u64 {
        100_000_000
    }

    /// Checks every value that the types allow and a core cannot work with.
    ///
    /// # Errors
    /// The first such value, with its key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let longest = CAPACITY + FCS;
        let fits = |&size: &u16| (SHORTEST + FCS..=longest).contains(&usize::from(size));
        let sizes = !self.sizes.is_empty() && self.sizes.iter().all(fits);
        require(sizes, "sizes", &self.sizes, "at least one frame size, each from 64 to 2112")?;
        let share = |share: f64| (0.0..=1.0).contains(&share);
        require(share(self.up_share), "up_share", self.up_share, "a share from 0 to 1")?;
        require(share(self.udp_share), "udp_share", self.udp_share, "a share from 0 to 1")?;
        let resets = share(self.reset_share);
        require(resets, "reset_share", self.reset_share, "a share from 0 to 1")?;
        let zipf = (0.0..=EXPONENT_MAX).contains(&self.zipf);
        require(zipf, "zipf", self.zipf, "an exponent from 0 to 1.5")?;
        let batch = (1..=BATCH_MAX).contains(&self.batch);
        require(batch, "batch", self.batch, "1 to 128 frames")?;
        let window = self.window as usize >= 2 * self.batch.max(BURST);
        require(window, "window", self.window, "at least twice the batch, and 64")?;
        let oldest = 4_000_000_000;
        let waits = self.deadline_ns <= self.drain_ns && self.drain_ns <= oldest;
        require(waits, "drain_ns", self.drain_ns, "at least deadline_ns and at most 4 s")?;
        require(self.retry_ns > 0, "retry_ns", self.retry_ns, "more than 0")?;
        let attempts = (1..=100).contains(&self.attempts);
        require(attempts, "attempts", self.attempts, "1 to 100")?;
        require(!self.cores.is_empty(), "cores", "empty", "at least one core")?;
        for (index, core) in self.cores.iter().enumerate() {
            core.validate(self.server, &format!("cores[{index}]"))?;
        }
        if let Some(network) = &self.network {
            let cores = self.cores.len();
            require(cores == 1, "cores", cores, "one core where there is a network")?;
            network.validate(self.cores[0].ports.len())?;
        }
        let phases = (1..=255).contains(&self.phases.len());
        require(phases, "phases", self.phases.len(), "1 to 255 phases")?;
        self.phases.iter().enumerate().try_for_each(|(index, phase)| {
            let most = self.cores.iter().map(|core| core.connections).min().unwrap_or(0);
            let attackers = self.cores.iter().map(CoreConfig::attackers_max).min().unwrap_or(0);
            let at = format!("phases[{index}]");
            phase.validate(most, attackers, &at)?;
            phase.validate_shape(&at)?;
            phase.validate_sample(most, Nanos(self.drain_ns), &at)
        })
    }

    /// Connection records one core needs: those held, and those closed that still linger.
    pub fn records(&self, core: &CoreConfig) -> usize {
        let close = self.phases.iter().map(|phase| phase.close_per_s).fold(0.0, f64::max);
        // Twice the linger time: marks of age are coarse, and a stalled core catches up in bursts.
        let lingering = close * Nanos(2 * self.linger_ns).as_secs_f64();
        (core.connections as usize + lingering as usize + 64).next_power_of_two()
    }

    /// The walk over frame sizes, from the place that `seed` draws.
    pub fn mix(&self, seed: u64) -> Mix {
        Mix::new(&self.sizes, seed)
    }
}

impl CoreConfig {
    /// Most subscribers that can flood, as many from each range.
    fn attackers_max(&self) -> u32 {
        let least = self.subscribers.iter().map(|range| range.count).min().unwrap_or(0);
        least.saturating_mul(self.subscribers.len() as u32)
    }

    fn validate(&self, server: ServerId, at: &str) -> Result<(), ConfigError> {
        let source = Source::new(server, self.core).is_some();
        let both = (server.0, self.core.0);
        require(source, format!("{at}.core"), both, "server and core below 64")?;
        let shards = self.subscribers.len();
        let key = format!("{at}.subscribers");
        require((1..=SHARDS_MAX).contains(&shards), &key, shards, "1 to 4096 ranges")?;
        for range in &self.subscribers {
            let fits = u32::from(range.first).checked_add(range.count.wrapping_sub(1)).is_some();
            let whole = range.count.is_power_of_two() && fits;
            require(whole, &key, range, "ranges of a power of two addresses")?;
        }
        let gateways = self.gateways.len();
        let key = format!("{at}.gateways");
        require(gateways == shards, key, gateways, "as many as ranges of subscribers")?;
        let held = (1..1 << (ID_BITS - 1)).contains(&self.connections);
        require(held, format!("{at}.connections"), self.connections, "1 to 134,217,727")
    }
}

impl Phase {
    /// Size of the sample, its rate per second, and for how long, where there is one.
    pub(crate) fn sampled(&self) -> Option<(u32, f64, Nanos)> {
        match (self.sample, self.rate, self.until) {
            (Some(size), Rate::Pps(pps), Until::For(span)) if size > 0 => {
                Some((size, pps, Nanos(span)))
            }
            _ => None,
        }
    }

    fn validate_shape(&self, at: &str) -> Result<(), ConfigError> {
        let Some(shape) = self.shape else { return Ok(()) };
        let key = format!("{at}.shape");
        let (Rate::Pps(_), Until::For(span)) = (self.rate, self.until) else {
            return require(false, key, shape, "packets per second for a time where there is one");
        };
        let expected = shape.problem(span).unwrap_or_default();
        require(expected.is_empty(), key, shape, expected)?;
        let expected = "no sample where there is a shape";
        require(self.sampled().is_none(), format!("{at}.sample"), self.sample, expected)
    }

    fn validate_sample(&self, connections: u32, drain: Nanos, at: &str) -> Result<(), ConfigError> {
        let Some(size) = self.sample.filter(|&size| size > 0) else { return Ok(()) };
        let key = |name: &str| format!("{at}.{name}");
        let Rate::Pps(pps) = self.rate else {
            let expected = "packets per second where there is a sample";
            return require(false, key("rate"), self.rate, expected);
        };
        let Until::For(span) = self.until else {
            let expected = "a time where there is a sample";
            return require(false, key("until"), self.until, expected);
        };
        let expected = "at most 60 s where there is a sample: each millisecond is counted apart";
        require(span <= SPAN_MAX.0, key("until"), span, expected)?;
        let expected = "at most 65,535, and at most the connections of every core";
        require(size <= connections.min(SAMPLE_MAX), key("sample"), size, expected)?;
        let expected = "at most half as many as the phase has packets: one each way for each";
        let packets = pps * Nanos(span).as_secs_f64();
        require(packets >= 2.0 * f64::from(size), key("sample"), size, expected)?;
        let expected = "at most 67,108,864 packets within drain_ns where there is a sample";
        require(pps * drain.as_secs_f64() <= RING_MAX as f64, key("rate"), pps, expected)
    }

    fn validate(&self, connections: u32, attackers: u32, at: &str) -> Result<(), ConfigError> {
        let rate = |rate: f64| (0.0..=1e9).contains(&rate);
        let key = |name: &str| format!("{at}.{name}");
        let expected = "a rate from 0 to 10⁹ per second";
        require(rate(self.open_per_s), key("open_per_s"), self.open_per_s, expected)?;
        require(rate(self.close_per_s), key("close_per_s"), self.close_per_s, expected)?;
        if let Rate::Pps(pps) = self.rate {
            require(rate(pps), key("rate"), pps, expected)?;
        }
        if self.until == Until::Validated {
            let moves = self.open_per_s + self.close_per_s;
            require(moves == 0.0, key("open_per_s"), moves, "0 while connections are validated")?;
            let rate = format!("{:?}", self.rate);
            require(self.rate != Rate::None, key("rate"), rate, "a rate at which to validate")?;
        }
        let Attack { syn_flood_per_s: flood, scan_per_s: scan, .. } = self.attack;
        require(rate(flood), key("attack.syn_flood_per_s"), flood, expected)?;
        require(rate(scan), key("attack.scan_per_s"), scan, expected)?;
        let enough = flood == 0.0 || (1..=attackers).contains(&self.attack.attackers);
        let some = "1 to as many as a core has subscribers";
        require(enough, key("attack.attackers"), self.attack.attackers, some)?;
        if let Until::Held(held) = self.until {
            let expected = "at most the connections of every core";
            require(held <= connections, key("until"), held, expected)?;
            let moves = self.open_per_s + self.close_per_s > 0.0;
            require(
                moves,
                key("open_per_s"),
                self.open_per_s,
                "more than 0 until so many are held",
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A core whose gateway is itself: for a loop.
    pub(crate) fn core() -> CoreConfig {
        let mac = Mac::of(1, 0, 0);
        CoreConfig {
            core: CoreId(0),
            cpu: None,
            connections: 1000,
            servers: "198.18.0.0/24".parse().expect("a network"),
            gateways: vec![mac],
            identity: Identity {
                mac,
                vlan: None,
                ip: Ipv4Addr::new(10, 0, 0, 1),
                asn: None,
                gateway: mac,
            },
            subscribers: vec![Range { first: Ipv4Addr::new(100, 64, 0, 0), count: 64 }],
            ports: Vec::new(),
        }
    }

    pub(crate) fn config() -> Config {
        Config {
            server: ServerId(0),
            seed: 24301,
            sizes: vec![64, 570, 1518],
            up_share: 0.5,
            udp_share: 0.5,
            reset_share: 0.0,
            zipf: 0.0,
            translated: true,
            deadline_ns: 1_000_000,
            drain_ns: 10_000_000,
            batch: 32,
            window: 1024,
            retry_ns: 100_000_000,
            attempts: 5,
            linger_ns: 100_000_000,
            idle: dataplane::run::Idle::Spin,
            cores: vec![core()],
            phases: vec![
                Phase {
                    name: "fill".into(),
                    open_per_s: 1e6,
                    close_per_s: 0.0,
                    rate: Rate::None,
                    shape: None,
                    attack: Attack::default(),
                    until: Until::Held(1000),
                    sample: None,
                },
                Phase {
                    name: "steady".into(),
                    open_per_s: 0.0,
                    close_per_s: 0.0,
                    rate: Rate::Pps(1e6),
                    shape: None,
                    attack: Attack::default(),
                    until: Until::For(1_000_000_000),
                    sample: None,
                },
            ],
            network: None,
        }
    }

    /// A phase of a second, with a sample of 1000.
    fn sampled(config: &mut Config) -> &mut Phase {
        let phase = &mut config.phases[1];
        phase.sample = Some(1000);
        phase
    }

    #[test]
    fn a_configuration_survives_its_text_form() {
        let text = toml::to_string(&config()).expect("serialises");
        assert_eq!(toml::from_str::<Config>(&text).expect(&text), config());
        assert_eq!(config().validate(), Ok(()));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = format!("colour = 1\n{}", toml::to_string(&config()).expect("serialises"));
        let error = toml::from_str::<Config>(&text).expect_err("an unknown key").to_string();
        assert!(error.contains("colour"), "{error}");
    }

    #[test]
    fn values_a_core_cannot_work_with_are_named() {
        type Change = fn(&mut Config);
        let table: [(&str, Change); 23] = [
            ("sizes", |c| c.sizes = vec![63]),
            ("up_share", |c| c.up_share = 1.1),
            ("reset_share", |c| c.reset_share = -0.1),
            ("zipf", |c| c.zipf = 1.6),
            ("zipf", |c| c.zipf = f64::NAN),
            ("batch", |c| c.batch = 0),
            ("drain_ns", |c| c.drain_ns = 1),
            ("cores[0].core", |c| c.cores[0].core = CoreId(64)),
            ("cores[0].subscribers", |c| c.cores[0].subscribers[0].count = 3),
            ("cores[0].gateways", |c| c.cores[0].gateways.clear()),
            ("phases[0].until", |c| c.phases[0].until = Until::Held(1001)),
            ("phases[1].attack.attackers", |c| c.phases[1].attack.syn_flood_per_s = 1.0),
            ("phases[1].attack.scan_per_s", |c| c.phases[1].attack.scan_per_s = -1.0),
            ("phases[1].rate", |c| c.phases[1].rate = Rate::Pps(f64::NAN)),
            ("phases[1].rate", |c| sampled(c).rate = Rate::Max),
            ("phases[1].rate", |c| (sampled(c).rate, c.drain_ns) = (Rate::Pps(1e8), 1_000_000_000)),
            ("phases[0].shape", |c| c.phases[0].shape = Some(Shape::Ramp { from: 0.0 })),
            ("phases[1].shape", |c| c.phases[1].shape = Some(Shape::Ramp { from: 2.1 })),
            ("phases[1].sample", |c| sampled(c).shape = Some(Shape::Ramp { from: 0.5 })),
            ("phases[1].until", |c| sampled(c).until = Until::Validated),
            ("phases[1].until", |c| sampled(c).until = Until::For(60_000_000_001)),
            ("phases[1].sample", |c| sampled(c).sample = Some(1001)),
            ("phases[1].sample", |c| sampled(c).rate = Rate::Pps(1999.0)),
        ];
        for (key, change) in table {
            let mut config = config();
            change(&mut config);
            assert_eq!(config.validate().map_err(|error| error.key), Err(key.to_owned()));
        }
    }
}
