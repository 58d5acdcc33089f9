//! RFC 9693: how fast connections are set up and torn down, how many there is room for, and what
//! happens beyond.
//!
//! Two phases. The first opens all-different tuples, drawn without repeats, at a planned rate. The
//! second sends one packet from the Internet over every tuple: only what comes back was established.
//! Each elementary test starts with a system under test that has just been made, its table empty.

use super::bench::{Base, Bench, Ended};
use super::settings::Rules;
use super::throughput::{blank, fill, lasting};
use super::trial::{Judge, spread};
use crate::cli::Part;
use crate::exit::Refusal;
use crate::scenario::Loaded;
use crate::testbed::References;
use format::plan::{Polling, SutKind};
use format::scenario::keys::{Keys, PhaseKeys, RateKeys};
use format::suite::{Overflow, Policy, Searched, Stateful, Teardown, Trial};
use format::unit::{PacketRate, PerSecond};
use kronogen::search::bisect::{self, Bracket};
use kronogen::search::{Range, capacity};

const ESTABLISH: &str = "establish";
const VALIDATE: &str = "validate";
const CLOSE: &str = "close";

/// Share of what the generator opens by itself that it is asked for at most.
const HEADROOM: f64 = 0.8;
/// Connections with which that is found out, at least: fewer are opened in no time.
const ALONE: u64 = 131_072;
/// Connections opened per second for it, more than any generator can.
const ALONE_PER_S: f64 = 1e8;
/// Longest time an elementary test opens connections, in seconds: below every timer's default.
const OPENING_S_MAX: f64 = 50.0;
/// Part of the establishment rate at which tables are filled to find their size.
const EASY: f64 = 0.5;
/// Rate of validation where cores sleep.
const VALIDATED_PPS: f64 = 50e3;
/// How many more connections than there is room for the overflow is seen with.
const OVER: f64 = 1.25;
/// Part of the capacity that must be served for the rest to count as refused or evicted.
const SERVED_MIN: f64 = 0.9;
/// Connections with which a search for the capacity begins, and most it asks for.
const CAPACITY_FROM: f64 = 1024.0;
/// The latter is a little less than a core of the generator holds.
const CAPACITY_MAX: f64 = ((1u64 << 27) - 1024) as f64;

/// A SUT of fixed size, of which elementary tests ask more or less.
pub(super) struct Device<'a> {
    base: &'a Base,
    keys: Keys,
    generators: u64,
    seed: u64,
    sleeps: bool,
    /// Share of the connections that may be missing.
    pub failed_share_max: f64,
}

impl<'a> Device<'a> {
    /// The SUT of a scenario, whose table and ports do not grow with what is asked.
    pub(super) fn of(base: &'a Base) -> Result<Device<'a>, Refusal> {
        let plan = &base.given().plan;
        let mut keys = base.keys();
        let per_pair = u64::from(plan.addresses.subscribers_per_pair);
        keys.traffic.subscribers = Some(plan.topology.pairs() * per_pair);
        keys.sut.table_entries = Some(plan.sut.table_entries);
        keys.sut.overcommit = true;
        Ok(Device {
            base,
            keys,
            generators: plan.topology.generators().into(),
            seed: plan.seed,
            sleeps: plan.topology.polling == Polling::Adaptive,
            failed_share_max: 0.0,
        })
    }

    /// The same, of which only TCP is asked.
    pub(super) fn with_tcp_only(mut self) -> Device<'a> {
        (self.keys.traffic.protocol.udp, self.keys.traffic.protocol.tcp) = (0.0, 1.0);
        self
    }

    /// A scenario of these phases over at most `connections`.
    pub(super) fn resolve(
        &self,
        connections: u64,
        phases: Vec<PhaseKeys>,
        repetition: u32,
    ) -> Result<Loaded, Refusal> {
        let mut keys = self.keys.clone();
        // A generator core holds its share and, by rounding of the instants, one more.
        keys.traffic.connections = connections + 2 * self.generators;
        keys.phases = phases;
        // Other tuples in every repetition.
        self.base.resolve(&keys, Some((self.seed + u64::from(repetition)) & i64::MAX as u64))
    }

    /// Opens so many connections at a rate, and validates each.
    fn establish(&self, connections: u64, per_s: f64, rep: u32) -> Result<Loaded, Refusal> {
        let duration = Some(lasting(connections as f64 / per_s));
        let open = PhaseKeys { open: PerSecond(per_s), duration, ..blank(ESTABLISH) };
        self.resolve(connections, vec![open, self.validate()], rep)
    }

    fn validate(&self) -> PhaseKeys {
        let rate = if self.sleeps { PacketRate::Pps(VALIDATED_PPS) } else { PacketRate::Max };
        PhaseKeys { rate: Some(RateKeys::Level(rate)), validate: true, ..blank(VALIDATE) }
    }

    /// Whether all connections of a trial that were asked for were opened in their first attempt and
    /// are there.
    fn holds(&self, trial: &Trial, connections: u64) -> bool {
        let Some(opened) = trial.phase(ESTABLISH) else { return false };
        let Some(valid) = trial.phase(VALIDATE) else { return false };
        let missing = self.failed_share_max * connections as f64;
        let few = |count: u64| count as f64 <= missing;
        let retried = if self.failed_share_max > 0.0 { 0 } else { opened.retried };
        let whole = connections.saturating_sub(self.generators + opened.paused);
        let there = valid.kept + valid.gone;
        few(opened.failed + retried + opened.unsent.saturating_sub(opened.paused))
            && few(valid.gone)
            && few(whole.saturating_sub(opened.opened))
            && few(opened.opened.saturating_sub(there))
    }

    /// Connections per second that the generator opens without this SUT.
    pub(super) fn generator_per_s(&self, bench: &mut Bench<'_>) -> Result<Option<f64>, Ended> {
        let connections = self.keys.traffic.connections.max(ALONE);
        let mut alone = Device { keys: self.keys.clone(), ..*self };
        alone.keys.topology.sut.kind = SutKind::Forwarder;
        let per_s = PerSecond(ALONE_PER_S * self.generators as f64);
        let phase = PhaseKeys { open: per_s, count: Some(connections), ..blank(ESTABLISH) };
        let loaded = alone.resolve(connections, vec![phase], 0)?;
        let trial = bench.trial("generator", &loaded, References::default(), Judge::Packets)?;
        let phase = trial.phase(ESTABLISH).filter(|phase| phase.seconds > 0.0);
        Ok(phase.map(|phase| phase.opened as f64 / phase.seconds).filter(|&rate| rate > 0.0))
    }

    /// Rates at which `connections` can be opened in the time there is.
    pub(super) fn rates(&self, connections: u64, generator: Option<f64>) -> Range {
        let max = generator.unwrap_or(1e6) * HEADROOM;
        let min = (connections as f64 / OPENING_S_MAX).max(1.0);
        Range::new(min.min(max), max.max(1.0).ceil())
    }

    /// How many connections all fit: doubles until they do not, then bisects.
    pub(super) fn capacity(
        &self,
        bench: &mut Bench<'_>,
        rules: &Rules,
        per_s: f64,
    ) -> Result<Searched, Ended> {
        let range = self.sizes(bench, per_s)?;
        searched(rules, |rep, before| {
            let holds = |size: f64| {
                let connections = size as u64;
                let loaded = self.establish(connections, self.pace(connections, per_s), rep)?;
                let key = format!("capacity/{rep}/{connections}");
                let trial = bench.trial(&key, &loaded, References::default(), Judge::Setups)?;
                Ok::<_, Ended>(self.holds(&trial, connections))
            };
            match before.lower.is_some() && before.upper.is_some() {
                true => bisect::again(range, before, rules.goal.width, holds),
                false => capacity::search(range, rules.goal.width, holds),
            }
        })
    }

    /// Opening takes no longer than timers allow.
    fn pace(&self, connections: u64, per_s: f64) -> f64 {
        per_s.max(connections as f64 / OPENING_S_MAX)
    }

    /// Numbers of connections for which this machine has room.
    fn sizes(&self, bench: &Bench<'_>, per_s: f64) -> Result<Range, Ended> {
        let least = CAPACITY_FROM * self.generators as f64;
        let mut most = least;
        while most < CAPACITY_MAX {
            let next = (most * 2.0).min(CAPACITY_MAX);
            let loaded = self.establish(next as u64, self.pace(next as u64, per_s), 0)?;
            if !bench.has_room_for(&loaded) {
                break;
            }
            most = next;
        }
        Ok(Range::new(least, most))
    }
}

/// Runs the suite.
pub(super) fn run(bench: &mut Bench<'_>, base: &Base, rules: &Rules) -> Result<Stateful, Ended> {
    let device = Device::of(base)?;
    let connections = device.keys.traffic.connections;
    let generator_per_s = device.generator_per_s(bench)?;
    let range = device.rates(connections, generator_per_s);
    let establishment_per_s = establishment(bench, &device, rules, connections, range)?;
    let easy = establishment_per_s.found.median.map_or(range.min, |rate| rate * EASY);
    let mut result = Stateful {
        connections,
        generator_per_s,
        establishment_per_s,
        teardown: Vec::new(),
        capacity: None,
        overflow: None,
    };
    let tcp = device.keys.traffic.protocol.tcp > 0.0;
    if tcp && rules.wants(Part::TearDown) {
        for part in [4, 1] {
            let count = (connections / part).max(device.generators);
            let per_s = teardown(bench, base, rules, count, (range, easy))?;
            result.teardown.push(Teardown { connections: count, per_s });
        }
    }
    if rules.wants(Part::Capacity) {
        let found = device.capacity(bench, rules, easy)?;
        if let Some(capacity) = found.found.median.filter(|_| !found.at_least) {
            result.overflow = Some(overflow(bench, &device, capacity, easy)?);
        }
        result.capacity = Some(found);
    }
    Ok(result)
}

fn establishment(
    bench: &mut Bench<'_>,
    device: &Device<'_>,
    rules: &Rules,
    connections: u64,
    range: Range,
) -> Result<Searched, Ended> {
    searched(rules, |rep, before| {
        let passes = |per_s: f64| {
            let loaded = device.establish(connections, per_s, rep)?;
            let key = format!("rate/{rep}/{per_s}");
            let trial = bench.trial(&key, &loaded, References::default(), Judge::Setups)?;
            Ok::<_, Ended>(device.holds(&trial, connections))
        };
        bisect::again(range, before, rules.goal.width, passes)
    })
}

/// How fast TCP connections are closed, each answered. Section 4.7 measures the deletion of a whole
/// table by its owner; from outside a connection ends by its protocol.
fn teardown(
    bench: &mut Bench<'_>,
    base: &Base,
    rules: &Rules,
    connections: u64,
    (range, easy): (Range, f64),
) -> Result<Searched, Ended> {
    let device = Device::of(base)?.with_tcp_only();
    let range = Range { min: range.min.min(connections as f64), ..range };
    searched(rules, |rep, before| {
        let passes = |per_s: f64| {
            let open = PerSecond(easy);
            let fill = PhaseKeys { open, count: Some(connections), ..fill(base) };
            let duration = Some(lasting(connections as f64 / per_s));
            let close = PhaseKeys { close: PerSecond(per_s), duration, ..blank(CLOSE) };
            let loaded = device.resolve(connections, vec![fill, close], rep)?;
            let key = format!("teardown/{connections}/{rep}/{per_s}");
            let trial = bench.trial(&key, &loaded, References::default(), Judge::Setups)?;
            let whole = connections.saturating_sub(device.generators);
            Ok::<_, Ended>(trial.phase(CLOSE).is_some_and(|phase| {
                phase.closed + phase.paused >= whole
                    && phase.unsent == 0
                    && phase.arrived == phase.planned
            }))
        };
        bisect::again(range, before, rules.goal.width, passes)
    })
}

/// What happens to more connections than there is room for.
fn overflow(
    bench: &mut Bench<'_>,
    device: &Device<'_>,
    capacity: f64,
    per_s: f64,
) -> Result<Overflow, Ended> {
    let asked = (capacity * OVER).ceil() as u64;
    let loaded = device.establish(asked, device.pace(asked, per_s), 0)?;
    let key = format!("overflow/{asked}");
    let trial = bench.trial(&key, &loaded, References::default(), Judge::Packets)?;
    let established = trial.phase(ESTABLISH).map_or(0, |phase| phase.opened);
    let (alive, gone) = trial.phase(VALIDATE).map_or((0, 0), |phase| (phase.kept, phase.gone));
    // Those that never were established are validated too, and gone.
    let evicted = gone.saturating_sub(asked.saturating_sub(established));
    let policy = match () {
        () if (alive as f64) < SERVED_MIN * capacity => Policy::Collapse,
        () if evicted as f64 > (1.0 - SERVED_MIN) * (asked as f64 - capacity) => Policy::Evict,
        () => Policy::Refuse,
    };
    Ok(Overflow { asked, established, alive, policy })
}

/// The same search several times, each knowing what the one before has found.
pub(super) fn searched(
    rules: &Rules,
    mut search: impl FnMut(u32, Bracket) -> Result<Bracket, Ended>,
) -> Result<Searched, Ended> {
    let (mut found, mut error, mut at_least) = (Vec::new(), 0.0f64, false);
    let mut before = Bracket::default();
    for repetition in 1..=rules.repetitions {
        before = search(repetition, before)?;
        at_least |= before.upper.is_none();
        found.extend(before.lower);
        error = error.max(before.error().unwrap_or(0.0));
    }
    let complete = found.len() == rules.repetitions as usize && !at_least;
    Ok(Searched { found: spread(found), error: Some(error).filter(|_| complete), at_least })
}
