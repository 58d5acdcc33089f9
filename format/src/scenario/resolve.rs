//! From keys to a plan: fill what is not written, refuse what cannot work.

use super::demand::Demand;
use super::document::{Places, part};
use super::keys::{FaultKeys, Keys, PhaseKeys, TimerKeys};
use super::{RunOptions, SCHEMA, Scenario};
use super::{address, cluster, inject};
use crate::error::Diagnostic;
use crate::judge::METRICS;
use crate::plan::{
    self, Addresses, Criterion, External, Faults, Peers, PhasePlan, Plan, Rate, SutKind, SutPlan,
    Testbed, Timers, Topology, Traffic,
};
use crate::summary::LAYER;
use crate::unit::Duration;

/// Most servers of a role.
const SERVERS_MAX: u16 = 64;
/// Most cores of a generator server: a probe has 6 bits for the server and 6 for the core.
const GENERATOR_CORES_MAX: u16 = 64;
/// Most cores of a SUT server.
const SUT_CORES_MAX: u16 = 128;
/// Most connections of one generator core: a probe has 28 bits to name one.
const CONNECTIONS_PER_CORE_MAX: u64 = 1 << 28;
/// Longest drain: a TCP probe tells its planned instant only within 4.29 s, 2^26 ticks of 64 ns.
const DRAIN_MAX: Duration = Duration(4_000_000_000);
/// Largest exponent of Zipf's law: the generator's shares of connections are exact enough up to it.
const ZIPF_MAX: f64 = 1.5;
/// Most frames of a batch: four bursts.
const BATCH_MAX: u32 = 128;
/// Most rounds of peers.
const ROUNDS_MAX: u32 = 100;
/// Most repetitions.
const REPEAT_MAX: u32 = 10_000;
/// Time a packet may cost a core in virtual time, in nanoseconds.
const PACKET_COST_NS: std::ops::RangeInclusive<f64> = 1.0..=1e6;
/// Largest seed: the largest integer of TOML.
const SEED_MAX: u64 = i64::MAX as u64;
/// How far shares may miss their sum of 1: more than rounding of decimals, less than a typing
/// error.
const SHARE_ERROR_MAX: f64 = 1e-6;

/// Keys with the places they were written at.
pub(super) struct Check<'a> {
    pub(super) keys: &'a Keys,
    pub(super) places: &'a Places,
}

pub(super) fn resolve(scenario: &Scenario, options: &RunOptions) -> Result<Plan, Diagnostic> {
    let check = Check { keys: &scenario.keys, places: &scenario.places };
    let keys = check.keys;
    if keys.schema != SCHEMA {
        let problem = format!("version {} is not known", keys.schema);
        return Err(check.refuse("schema", problem).expected(SCHEMA.to_string()));
    }
    if keys.question.trim().is_empty() {
        return Err(check.refuse("question", "empty").expected("what the run is to find out"));
    }
    scenario.gate()?;
    let seed = options.seed.unwrap_or(keys.seed);
    if seed > SEED_MAX {
        let problem = format!("{seed} is too large");
        return Err(check.refuse("seed", problem).expected(format!("at most {SEED_MAX}")));
    }
    let repeat = options.repeat.unwrap_or(1);
    if !(1..=REPEAT_MAX).contains(&repeat) {
        let problem = format!("{repeat} repetitions");
        return Err(check.refuse("--repeat", problem).expected(format!("1 to {REPEAT_MAX}")));
    }
    let topology = check.topology()?;
    let traffic = check.traffic(&topology)?;
    let network = cluster::network(keys, check.places)?;
    let replicate = cluster::replicate(keys, check.places)?;
    if topology.sut_stands_for > 1 && !replicate {
        let key = "topology.sut.stands_for";
        let error = check.refuse(key, "these servers do not replicate");
        return Err(error.remedy("Set topology.sut.servers to 2 or more krononat servers."));
    }
    let phases = check.phases(&topology, &traffic)?;
    let fewest = inject::walk(check.places, &topology, &phases, repeat)?;
    let timers = check.timers()?;
    let half_open_max = check.quota("half_open_max")?;
    let mut demand = Demand::of(&phases, &timers, traffic.udp_share, traffic.zipf);
    demand.tracked_peak += check.flooded(&phases, half_open_max);
    check.phases_make_sense(&phases, &demand, &timers, traffic.udp_share)?;
    check.connections_per_core(&topology, &demand)?;
    let addresses = address::derive(keys, check.places, &topology, demand.tracked_peak)?;
    check.attackers(&phases, &topology, &addresses)?;
    let entries = entries_needed(&demand, &topology, fewest, replicate);
    Ok(Plan {
        schema: plan::SCHEMA,
        question: keys.question.clone(),
        scenario: scenario.name.clone(),
        scenario_hash: scenario.hash.clone(),
        seed,
        testbed: options.testbed.clone(),
        repeat,
        network,
        addresses,
        sut: SutPlan {
            table_entries: check.table_entries(entries)?,
            subscriber_connections_max: check.quota("subscriber_connections_max")?,
            half_open_max,
            setups_per_s_max: check.setups_per_s_max()?,
            packet_cost_ps: check.packet_cost_ps(&options.testbed)?,
            replicate,
            shards_per_core: cluster::shards_per_core(keys, check.places, &addresses)?,
            timers,
        },
        topology,
        traffic,
        peers: check.peers(&phases)?,
        external: check.external()?,
        phases,
        faults: keys.faults.as_ref().map(|faults| check.faults(faults, seed)).transpose()?,
        pass: check.pass()?,
    })
}

fn is_station(text: &str) -> bool {
    let byte = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(byte)
}

impl Check<'_> {
    pub(super) fn refuse(&self, key: &str, problem: impl Into<Box<str>>) -> Diagnostic {
        Diagnostic::new(self.places.of(key), key, problem)
    }

    fn topology(&self) -> Result<Topology, Diagnostic> {
        let (generators, sut) = (self.keys.topology.generators, self.keys.topology.sut);
        let limits = [
            ("topology.generators.servers", generators.servers, SERVERS_MAX),
            ("topology.generators.cores", generators.cores, GENERATOR_CORES_MAX),
            ("topology.sut.servers", sut.servers, SERVERS_MAX),
            ("topology.sut.cores", sut.cores, SUT_CORES_MAX),
            ("topology.sut.stands_for", sut.stands_for, SUT_CORES_MAX / sut.cores.max(1)),
        ];
        for (key, found, max) in limits {
            if found == 0 || found > max {
                let error = self.refuse(key, format!("{found} is out of range"));
                return Err(error.expected(format!("1 to {max}")));
            }
        }
        if sut.servers > 1 && !matches!(sut.kind, SutKind::Krononat | SutKind::Forwarder) {
            let problem = format!("{} servers of {}", sut.servers, sut.kind);
            return Err(self
                .refuse("topology.sut.servers", problem)
                .expected("1: only krononat runs on several"));
        }
        Ok(Topology {
            generator_servers: generators.servers,
            generator_cores: generators.cores,
            sut_servers: sut.servers,
            sut_cores: sut.cores,
            sut_stands_for: sut.stands_for,
            sut_kind: sut.kind,
            polling: self.keys.topology.polling,
        })
    }

    fn peers(&self, phases: &[PhasePlan]) -> Result<Option<Peers>, Diagnostic> {
        let keys = &self.keys.peers;
        let (kinds, rounds) = (keys.kinds.clone(), keys.rounds);
        for (at, &kind) in kinds.iter().enumerate() {
            if kind == self.keys.topology.sut.kind || kinds[..at].contains(&kind) {
                let error = self.refuse("peers.kinds", format!("`{kind}` is run twice"));
                return Err(error.expected("each system once, that of topology.sut left out"));
            }
        }
        if !(1..=ROUNDS_MAX).contains(&rounds) {
            let error = self.refuse("peers.rounds", format!("{rounds} rounds"));
            return Err(error.expected(format!("1 to {ROUNDS_MAX}")));
        }
        if kinds.is_empty() {
            return Ok(None);
        }
        if phases.iter().any(|phase| phase.injection.is_some()) {
            let error = self.refuse("peers.kinds", "a phase injects a failure");
            return Err(error.remedy("Compare by scenarios without `inject`."));
        }
        if self.keys.topology.sut.servers > 1 {
            let error = self.refuse("peers.kinds", "the SUT has several servers");
            return Err(error.expected("one server of each system"));
        }
        Ok(Some(Peers { kinds, rounds }))
    }

    /// Whether it is known where the device is, exactly if one is to be tested.
    fn external(&self) -> Result<Option<External>, Diagnostic> {
        let kinds = [&[self.keys.topology.sut.kind], &self.keys.peers.kinds[..]].concat();
        match (&self.keys.external, kinds.contains(&SutKind::External)) {
            (None, true) => {
                let error = self.refuse("external", "missing: `external` is to be tested");
                Err(error.expected("interface and mac of the device"))
            }
            (Some(_), false) => {
                let error = self.refuse("external", "nobody tests it");
                Err(error.remedy("Name `external` in topology.sut.kind or peers.kinds."))
            }
            (Some(External { mac, .. }), true) if !is_station(mac) => {
                let error = self.refuse("external.mac", format!("`{mac}` is no station"));
                Err(error.expected("six bytes such as 52:54:00:12:34:56"))
            }
            (external, _) => Ok(external.clone()),
        }
    }

    fn traffic(&self, topology: &Topology) -> Result<Traffic, Diagnostic> {
        let keys = &self.keys.traffic;
        let sizes = keys.genome.sequence();
        let sizes = sizes.map_err(|error| self.refuse("traffic.genome", error.to_string()))?;
        let pairs = topology.pairs();
        if keys.connections < pairs {
            let found = format!("{} connections", keys.connections);
            let error = self.refuse("traffic.connections", found);
            return Err(error.expected(format!(
                "at least {pairs}, one for each pair of a SUT core and a generator core"
            )));
        }
        self.shares("traffic.direction", [keys.direction.up, keys.direction.down])?;
        self.shares("traffic.protocol", [keys.protocol.udp, keys.protocol.tcp])?;
        if !(1..=BATCH_MAX).contains(&keys.batch) {
            let error = self.refuse("traffic.batch", format!("{} frames", keys.batch));
            return Err(error.expected(format!("1 to {BATCH_MAX}")));
        }
        if !(0.0..=1.0).contains(&keys.reset) {
            let error = self.refuse("traffic.reset", format!("{}", keys.reset));
            return Err(error.expected("a share from 0 to 1"));
        }
        if !(0.0..=ZIPF_MAX).contains(&keys.zipf) {
            let error = self.refuse("traffic.zipf", format!("{}", keys.zipf));
            return Err(error.expected(format!("an exponent from 0 to {ZIPF_MAX}")));
        }
        if keys.deadline.0 == 0 {
            return Err(self.refuse("traffic.deadline", "0s").expected("a time above 0"));
        }
        if keys.drain < keys.deadline {
            let problem = format!("{} ends before the deadline of {}", keys.drain, keys.deadline);
            return Err(self
                .refuse("traffic.drain", problem)
                .remedy("Set traffic.drain to at least traffic.deadline."));
        }
        if keys.drain > DRAIN_MAX {
            let error = self.refuse("traffic.drain", format!("{} is too long", keys.drain));
            return Err(error.expected(format!("at most {DRAIN_MAX}, the age a probe can tell")));
        }
        let sum: f64 = sizes.iter().map(|&size| f64::from(size)).sum();
        Ok(Traffic {
            genome: keys.genome.name(),
            genome_layer: LAYER.to_owned(),
            mean_frame_bytes: sum / sizes.len() as f64,
            sizes,
            connections: keys.connections,
            up_share: keys.direction.up,
            udp_share: keys.protocol.udp,
            reset_share: keys.reset,
            zipf: keys.zipf,
            deadline_ns: keys.deadline.0,
            drain_ns: keys.drain.0,
            batch: keys.batch,
        })
    }

    fn shares(&self, key: &str, shares: [f64; 2]) -> Result<(), Diagnostic> {
        let [a, b] = shares;
        let sound = shares.iter().all(|share| (0.0..=1.0).contains(share));
        if sound && (a + b - 1.0).abs() <= SHARE_ERROR_MAX {
            return Ok(());
        }
        let error = self.refuse(key, format!("shares {a} and {b} sum to {}", a + b));
        Err(error.expected("two shares from 0 to 1 that sum to 1"))
    }

    fn timers(&self) -> Result<Timers, Diagnostic> {
        let TimerKeys { udp, tcp_established, tcp_half_open, tcp_transitory, icmp } =
            self.keys.sut.timers;
        let all = [
            ("udp", udp),
            ("tcp_established", tcp_established),
            ("tcp_half_open", tcp_half_open),
            ("tcp_transitory", tcp_transitory),
            ("icmp", icmp),
        ];
        if let Some((name, _)) = all.iter().find(|(_, timer)| timer.0 == 0) {
            let error = self.refuse(&format!("sut.timers.{name}"), "0s");
            return Err(error.expected("a time above 0"));
        }
        Ok(Timers {
            udp_ns: udp.0,
            tcp_established_ns: tcp_established.0,
            tcp_half_open_ns: tcp_half_open.0,
            tcp_transitory_ns: tcp_transitory.0,
            icmp_ns: icmp.0,
        })
    }

    /// Half-open connections that floods can hold at once.
    fn flooded(&self, phases: &[PhasePlan], half_open_max: u32) -> u64 {
        let attackers = phases.iter().map(|phase| phase.attack.attackers).max().unwrap_or(0);
        u64::from(attackers) * u64::from(half_open_max)
    }

    /// As many attackers as there are subscribers to be dealt out evenly.
    fn attackers(
        &self,
        phases: &[PhasePlan],
        topology: &Topology,
        addresses: &Addresses,
    ) -> Result<(), Diagnostic> {
        let per_core = u64::from(addresses.subscribers_per_pair) * u64::from(topology.suts());
        let room = per_core * u64::from(topology.generators());
        for (keys, phase) in self.keys.phases.iter().zip(phases) {
            if u64::from(phase.attack.attackers) > room {
                let problem = format!("{} of {room} subscribers", phase.attack.attackers);
                return Err(self
                    .refuse(&phase_key(keys, "attackers"), problem)
                    .expected(format!("at most {room}")));
            }
        }
        Ok(())
    }

    /// Traffic needs connections to run over, and connections need traffic to stay alive.
    fn phases_make_sense(
        &self,
        phases: &[PhasePlan],
        demand: &Demand,
        timers: &Timers,
        udp_share: f64,
    ) -> Result<(), Diagnostic> {
        let used = [
            ("udp", timers.udp_ns, udp_share > 0.0),
            ("tcp_established", timers.tcp_established_ns, udp_share < 1.0),
        ];
        for ((keys, phase), asked) in self.keys.phases.iter().zip(phases).zip(&demand.phases) {
            if phase.rate != Rate::None && asked.held_before == 0.0 && phase.open_per_s == 0.0 {
                let problem = "no connection is held that packets could use";
                return Err(self
                    .refuse(&phase_key(keys, "rate"), problem)
                    .remedy("Put a phase with `open` and without `for` before it."));
            }
            for (timer, ns, used) in used {
                if used && asked.idle_s * 1e9 > ns as f64 {
                    let idle_s = asked.idle_s;
                    let problem = format!(
                        "ends while connections are in use: in phase `{}` they stay idle for up \
                         to {idle_s:.3} s",
                        phase.name
                    );
                    return Err(self
                        .refuse(&format!("sut.timers.{timer}"), problem)
                        .remedy("Set a longer timer, fewer connections, or a faster phase."));
                }
            }
        }
        Ok(())
    }

    fn connections_per_core(&self, to: &Topology, demand: &Demand) -> Result<(), Diagnostic> {
        let per_core = demand.held_peak.div_ceil(u64::from(to.generators()));
        if per_core <= CONNECTIONS_PER_CORE_MAX {
            return Ok(());
        }
        let error = self.refuse("traffic.connections", format!("{per_core} per generator core"));
        Err(error.expected(format!("at most {CONNECTIONS_PER_CORE_MAX}; take more cores")))
    }

    fn table_entries(&self, needed: u64) -> Result<u64, Diagnostic> {
        match self.keys.sut.table_entries {
            None => Ok((needed + needed / 4).next_power_of_two()),
            Some(0) => {
                let error = self.refuse("sut.table_entries", "0 entries");
                Err(error.expected("at least 1 on each SUT core"))
            }
            Some(entries) if entries >= needed || self.keys.sut.overcommit => Ok(entries),
            Some(entries) => {
                let error = self.refuse("sut.table_entries", format!("{entries} are too few"));
                Err(error.expected(format!(
                    "at least {needed} on each SUT core, closed connections included until their \
                     timers end; or overcommit = true"
                )))
            }
        }
    }

    /// The most a subscriber may hold, of what the key says.
    fn quota(&self, key: &str) -> Result<u32, Diagnostic> {
        let sut = &self.keys.sut;
        let (given, default) = match key {
            "half_open_max" => (sut.half_open_max, sut.port_block / 2),
            _ => (sut.subscriber_connections_max, sut.port_block.saturating_mul(4)),
        };
        match given.unwrap_or(default) {
            0 => {
                let error = self.refuse(&format!("sut.{key}"), "0 connections");
                Err(error.expected("at least 1 for each subscriber"))
            }
            most => Ok(most),
        }
    }

    fn setups_per_s_max(&self) -> Result<Option<u32>, Diagnostic> {
        match self.keys.sut.setups_per_s_max {
            Some(0) => {
                let error = self.refuse("sut.setups_per_s_max", "0 connections a second");
                Err(error.expected("at least 1 on each SUT core"))
            }
            given => Ok(given),
        }
    }

    fn packet_cost_ps(&self, testbed: &Testbed) -> Result<Option<u64>, Diagnostic> {
        let key = "sut.packet_cost_ns";
        let Some(ns) = self.keys.sut.packet_cost_ns else { return Ok(None) };
        if !PACKET_COST_NS.contains(&ns) {
            let error = self.refuse(key, format!("{ns} ns for a packet"));
            return Err(error.expected("1 to 1000000"));
        }
        if *testbed != Testbed::Sim {
            let error =
                self.refuse(key, format!("the testbed {testbed} measures what a packet costs"));
            return Err(error.remedy("Use --testbed sim, or leave the key out."));
        }
        Ok(Some((ns * 1e3).round() as u64))
    }

    fn faults(&self, keys: &FaultKeys, seed: u64) -> Result<Faults, Diagnostic> {
        let seed = keys.seed.unwrap_or(seed);
        if seed > SEED_MAX {
            let error = self.refuse("faults.seed", format!("{seed} is too large"));
            return Err(error.expected(format!("at most {SEED_MAX}")));
        }
        let FaultKeys { drop, duplicate, delay, reorder, corrupt, .. } = *keys;
        let FaultKeys { mistranslate, misdeliver, misroute, .. } = *keys;
        Ok(Faults {
            seed,
            drop,
            duplicate,
            delay,
            reorder,
            corrupt,
            mistranslate,
            misdeliver,
            misroute,
        })
    }

    fn pass(&self) -> Result<Vec<Criterion>, Diagnostic> {
        let mut criteria = Vec::new();
        for (name, limit) in &self.keys.pass {
            let key = format!("pass.{}", part(name));
            if !METRICS.contains(&name.as_str()) {
                return Err(self.refuse(&key, "no value of the summary").among(name, METRICS));
            }
            let ends: Vec<f64> = [limit.min, limit.max].into_iter().flatten().collect();
            if ends.is_empty() || ends.iter().any(|end| end.is_nan()) {
                return Err(self.refuse(&key, "no limit").expected("min, max or both"));
            }
            if let (Some(min), Some(max)) = (limit.min, limit.max)
                && min > max
            {
                return Err(self.refuse(&key, format!("min {min} is above max {max}")));
            }
            criteria.push(Criterion { name: name.clone(), min: limit.min, max: limit.max });
        }
        Ok(criteria)
    }
}

/// Entries each SUT core needs while the `fewest` servers run. With replication every connection is
/// held twice, by master and slave, as long as there is a server to hold it.
fn entries_needed(demand: &Demand, topology: &Topology, fewest: u16, replicate: bool) -> u64 {
    let copies = if replicate && fewest > 1 { 2 } else { 1 };
    let cores = u64::from(fewest) * u64::from(topology.sut_cores);
    (copies * demand.tracked_peak).div_ceil(cores)
}

pub(super) fn phase_key(phase: &PhaseKeys, key: &str) -> String {
    format!("phase.{}.{key}", part(&phase.name))
}
