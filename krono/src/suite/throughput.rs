//! The throughput of a traffic: trials at planned rates, each after a fill of its own.

use super::bench::{Base, Bench, Ended};
use super::trial::Judge;
use crate::cli::SuiteName;
use crate::exit::Refusal;
use crate::scenario::Loaded;
use crate::testbed::References;
use format::Plan;
use format::plan::{Polling, Search, SutKind};
use format::scenario::keys::{Keys, PhaseKeys, RateKeys};
use format::suite::Trial;
use format::summary::{Bound, Found};
use format::unit::{Duration, PacketRate, PerSecond};
use kronogen::search::goal::Goal;
use kronogen::search::{self, Range, mlr};

/// The phase that is measured.
pub(super) const STEADY: &str = "steady";
/// Connections opened per second and generator core where the scenario has no phase that fills.
const OPEN_PER_S: f64 = 250e3;
/// Share of what the generator does through a forwarder that it is asked for at most: the rest is
/// for being in time.
const HEADROOM: f64 = 0.95;
/// How much more than it forwards at most a SUT is offered.
const BEYOND: f64 = 1.5;
/// Shares of a throughput at which times are measured: the highest at which the generator is in time.
const TIMED_SHARES: [f64; 4] = [1.0, 0.9, 0.75, 0.5];
/// Least rate tried, as a share of the highest.
const LEAST: f64 = 1e-3;

/// Refuses what these suites cannot be made of.
pub(super) fn refuse_unsuitable(name: SuiteName, plan: &Plan) -> Result<(), Refusal> {
    if plan.topology.polling == Polling::Adaptive && name != SuiteName::Rfc9693 {
        return Err(Refusal::Usage(format!(
            "topology.polling: {name} measures rates and times that are not those of cores that \
             sleep\n  Set topology.polling = \"busy\"."
        )));
    }
    let stateful = matches!(name, SuiteName::Rfc9693 | SuiteName::Rfc9411);
    if stateful && plan.topology.sut_kind == SutKind::Forwarder {
        return Err(Refusal::Usage(format!(
            "topology.sut.kind: {name} measures connections, and a forwarder keeps none"
        )));
    }
    Ok(())
}

/// A phase in which nothing happens yet.
pub(super) fn blank(name: &str) -> PhaseKeys {
    PhaseKeys {
        name: name.to_owned(),
        rate: None,
        search: None,
        open: PerSecond(0.0),
        close: PerSecond(0.0),
        syn_flood: PerSecond(0.0),
        attackers: None,
        scan: PerSecond(0.0),
        duration: None,
        count: None,
        validate: false,
        sample: None,
        at: None,
        inject: None,
    }
}

/// The phase that fills: the scenario's first one that does, or one of our own.
pub(super) fn fill(base: &Base) -> PhaseKeys {
    let whole = base.whole();
    let fills = |phase: &&PhaseKeys| {
        phase.duration.is_none() && !phase.validate && phase.open.0 > phase.close.0
    };
    let generators = whole.topology.generators;
    let cores = f64::from(generators.servers) * f64::from(generators.cores);
    let given = whole.phases.iter().find(fills).map(|phase| phase.open);
    let open = given.unwrap_or(PerSecond(OPEN_PER_S * cores));
    PhaseKeys { open, ..blank("fill") }
}

/// A length of time in the form of scenarios, at least a nanosecond.
pub(super) fn lasting(seconds: f64) -> Duration {
    Duration((seconds * 1e9).round().max(1.0) as u64)
}

/// One traffic: what is sent over which connections.
pub(super) struct Traffic<'a> {
    pub base: &'a Base,
    /// Names it in keys and results.
    pub name: String,
    /// Keys without phases.
    pub keys: Keys,
    /// Rates to search among.
    pub range: Range,
    /// What is forwarded when as much is offered as the port takes.
    pub mrr_pps: Option<f64>,
    pub references: References,
    /// How fast connections are opened, where it is not for the scenario to say.
    pub open: Option<PerSecond>,
}

impl<'a> Traffic<'a> {
    /// Finds out between which rates to search, by what the generator does without the SUT and what
    /// the SUT forwards at most.
    pub(super) fn new(
        bench: &mut Bench<'_>,
        base: &'a Base,
        name: &str,
        keys: Keys,
        seconds: f64,
        open: Option<PerSecond>,
    ) -> Result<Traffic<'a>, Ended> {
        let range = Range { min: 1.0, max: 1.0 };
        let references = References::default();
        let (name, mrr_pps) = (name.to_owned(), None);
        let mut traffic = Traffic { base, name, keys, range, mrr_pps, references, open };
        let loaded = traffic.at(PacketRate::Max, seconds)?;
        traffic.references = bench.references(&traffic.name, &loaded)?;
        let key = format!("{}/mrr", traffic.name);
        let trial = bench.trial(&key, &loaded, traffic.references, Judge::Packets)?;
        traffic.mrr_pps = forwarded_pps(&trial);
        let generators = f64::from(loaded.plan.topology.generators());
        traffic.range = self::range(&trial, traffic.references, generators);
        Ok(traffic)
    }

    /// A run of this traffic at a rate.
    pub(super) fn at(&self, rate: PacketRate, seconds: f64) -> Result<Loaded, Refusal> {
        let mut keys = self.keys.clone();
        let duration = Some(lasting(seconds));
        let steady = PhaseKeys { rate: Some(RateKeys::Level(rate)), duration, ..blank(STEADY) };
        let fill = fill(self.base);
        keys.phases = vec![PhaseKeys { open: self.open.unwrap_or(fill.open), ..fill }, steady];
        self.base.resolve(&keys, None)
    }

    /// A trial of it.
    pub(super) fn trial(
        &self,
        bench: &mut Bench<'_>,
        key: &str,
        pps: f64,
        seconds: f64,
        judge: Judge,
    ) -> Result<Trial, Ended> {
        let loaded = self.at(PacketRate::Pps(pps), seconds)?;
        bench.trial(&format!("{}/{key}", self.name), &loaded, self.references, judge)
    }

    /// Trials of which none may be late, `times` of them at the throughput `ndr_pps`; where the
    /// generator cannot be in time at it, at the highest share of it at which it can.
    pub(super) fn timed(
        &self,
        bench: &mut Bench<'_>,
        key: &str,
        ndr_pps: f64,
        (seconds, times): (f64, u32),
    ) -> Result<Timed, Ended> {
        let mut late = None;
        for throughput_share in TIMED_SHARES {
            let rate_pps = (ndr_pps * throughput_share).round().max(1.0);
            let made = (1..=times).map(|number| {
                let key = format!("{key}/{number}-{rate_pps}pps");
                self.trial(bench, &key, rate_pps, seconds, Judge::Times)
            });
            match made.collect() {
                Ok(trials) => return Ok(Timed { rate_pps, throughput_share, trials }),
                Err(ended @ Ended::Invalid { .. }) => late = Some(ended),
                Err(ended) => return Err(ended),
            }
        }
        Err(late.expect("there are shares"))
    }

    /// Searches for the throughput of a goal.
    pub(super) fn search(
        &self,
        bench: &mut Bench<'_>,
        what: Search,
        goal: Goal,
    ) -> Result<Found, Ended> {
        find(what, goal, self.range, |ask, number| {
            let key = format!("{what}/{number}-{}pps-{}s", ask.load, short(ask.seconds));
            self.trial(bench, &key, ask.load, ask.seconds, Judge::Packets)
        })
    }
}

/// Trials in which times were measured.
pub(super) struct Timed {
    /// Rate of all of them, and what share of the throughput it is.
    pub rate_pps: f64,
    pub throughput_share: f64,
    pub trials: Vec<Trial>,
}

/// A length in a key, without digits that nobody reads.
fn short(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// The phase of a trial whose packets are the result: the last one.
pub(super) fn data(trial: &Trial) -> Option<&format::suite::Phase> {
    trial.phases.last().filter(|phase| phase.seconds > 0.0)
}

/// Packets per second that a trial forwarded; `None` where none came.
fn forwarded_pps(trial: &Trial) -> Option<f64> {
    let pps = data(trial).map(|phase| phase.arrived as f64 / phase.seconds);
    pps.filter(|&pps| pps > 0.0)
}

/// Rates to search among: up to half as much again as was forwarded at most, as far as the generator
/// can.
pub(super) fn range(mrr: &Trial, references: References, generators: f64) -> Range {
    let able = references.forwarder.map(|it| it.mpps * 1e6 * generators * HEADROOM);
    let beyond = forwarded_pps(mrr).unwrap_or(1.0) * BEYOND;
    let max = able.map_or(beyond, |able| able.min(beyond)).max(1.0);
    Range::new((max * LEAST).max(1.0), max.ceil())
}

/// Searches with trials that `make` makes, which it numbers.
pub(super) fn find(
    what: Search,
    goal: Goal,
    range: Range,
    mut make: impl FnMut(mlr::Ask, usize) -> Result<Trial, Ended>,
) -> Result<Found, Ended> {
    let mut made: Vec<(f64, Option<Bound>)> = Vec::new();
    let found = mlr::search(goal, range, |ask| {
        let trial = make(ask, made.len() + 1)?;
        made.push((ask.load, bound(&trial)));
        // What a pause of the generator kept back was never offered.
        let offered = |it: &format::suite::Phase| (it.planned - it.paused, it.arrived);
        let (planned, arrived) = data(&trial).map_or((0, 0), offered);
        Ok::<_, Ended>(search::Trial::of(ask.load, ask.seconds, planned, arrived))
    })?;
    let limit = found.upper.unwrap_or(range.max);
    let bound = made.iter().rev().find(|(load, _)| *load == limit).and_then(|(_, bound)| *bound);
    let mpps = |pps: Option<f64>| pps.map(|pps| pps / 1e6);
    Ok(Found {
        goal: what.to_string(),
        loss_ratio: goal.loss_ratio,
        exceed_ratio: goal.exceed_ratio,
        trial_s: goal.final_s,
        sum_s: goal.sum_s,
        width: goal.width,
        lower_mpps: mpps(found.lower),
        upper_mpps: mpps(found.upper),
        conditional_mpps: mpps(found.conditional),
        regular: found.regular,
        bound,
        at_least: found.upper.is_none() || bound != Some(Bound::Sut),
        trials: found.trials.len() as u64,
    })
}

/// What limited a trial. Packets that left in time and did not come back were lost by the SUT,
/// however few; those that had no room are for the certificate to attribute.
fn bound(trial: &Trial) -> Option<Bound> {
    let phase = data(trial)?;
    let lost = phase.planned.saturating_sub(phase.arrived + phase.unsent);
    match (lost, phase.unsent.saturating_sub(phase.paused)) {
        (0, 0) => Some(Bound::Link),
        (0, _) => trial.bound,
        _ => Some(Bound::Sut),
    }
}
