//! What a reader must know before using the figures of a run.
//!
//! The enum lists every doubt that can be seen in a summary and its samples; each has a sentence
//! with the number that raised it and a remedy. A warning is not a verdict: whether a run is
//! *valid* is decided where the run is made, from the certificate. `krono` adds [`warnings`] to the
//! summary before writing it, reports print them, and asking twice adds nothing.

use crate::figure;
use crate::stats::bootstrap::VALUES_MIN;
use format::Summary;
use format::sample::{Event, EventKind, Role, Sample};
use format::summary::{Bound, Certificate, Recovery, Warning};
use std::collections::{BTreeMap, BTreeSet};

/// Headroom of the generator below which it may have shaped the result.
pub const HEADROOM_MIN: f64 = 1.2;
/// Share of probes sent late above which latency carries the generator's own delay.
pub const LATE_SEND_SHARE_MAX: f64 = 0.001;
/// Error of the sent rate above which the offered load is not the one asked for.
pub const RATE_ERROR_MAX: f64 = 0.01;
/// Deviation of one generator core from its part of the rate above which its connections saw another
/// load than the others.
pub const CORE_SPREAD_MAX: f64 = 0.001;
/// Error bound of the median latency ÷ that median above which the generator is much of it.
pub const LATENCY_ERROR_SHARE_MAX: f64 = 0.25;
/// Share of CPU time taken by the hypervisor above which a rate is the host's, not the SUT's.
pub const STEAL_SHARE_MAX: f64 = 0.005;
/// Pause of a generator core, in microseconds, that shows in a 99.9th percentile.
pub const GAP_US_MAX: f64 = 1_000.0;
/// Instants needed before a curve over time, or its absence of dips, means something.
pub const INSTANTS_MIN: usize = 5;

/// Share of an outage above which the resolution hides too much of it.
pub const RESOLUTION_SHARE_MAX: f64 = 0.25;
/// Seconds after an injected event in which what the router detects is put down to it, at least.
pub const BLAMED_S: f64 = 1.0;

/// What separates a warning's sentence from its remedy in a summary.
const REMEDY: &str = " Remedy: ";

/// One doubt, with the numbers that raised it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Doubt {
    /// The run was cut short.
    Interrupted,
    /// The generator limited the rate.
    GeneratorBound,
    /// The link, or the rate that was asked for, limited the rate.
    LinkBound,
    /// The generator has less than [`HEADROOM_MIN`].
    Headroom(f64),
    /// Share of probes sent late.
    LateSends(f64),
    /// Relative error of the sent rate.
    RateError(f64),
    /// Deviation of one core from its part of the planned rate.
    CoreSpread(f64),
    /// Error bound ÷ median latency.
    LatencyError(f64),
    /// Share of CPU time stolen.
    Steal(f64),
    /// Longest pause of a generator core in microseconds.
    LongGap(f64),
    /// Planned probes that never left.
    Unsent(u64),
    /// The ledger's classes do not add up.
    NotConserved,
    /// Trials behind an interval, too few for 95 %.
    FewTrials(usize),
    /// Instants in the samples.
    FewSamples(usize),
    /// The clock's frequency is unknown.
    ClockUnknown,
    /// Time in the samples goes back on a core.
    ClockWentBack,
    /// Probes see a connection less often than a quarter of its outage.
    CoarseResolution {
        /// Milliseconds between two looks at a connection.
        resolution_ms: f64,
        /// The outage in milliseconds.
        outage_ms: f64,
    },
    /// The router took cores for silent to which nothing was done.
    Flap {
        /// How often.
        count: usize,
        /// When first, in seconds since the first phase began.
        first_s: f64,
    },
    /// A field that could not be had, without a recorded reason.
    Unavailable(String),
}

impl Doubt {
    /// Class of the warning, a stable word.
    pub fn kind(&self) -> &'static str {
        match self {
            Doubt::Interrupted => "interrupted",
            Doubt::GeneratorBound => "generator-bound",
            Doubt::LinkBound => "link-bound",
            Doubt::Headroom(_) => "headroom",
            Doubt::LateSends(_) => "late-sends",
            Doubt::RateError(_) => "rate-error",
            Doubt::CoreSpread(_) => "core-spread",
            Doubt::LatencyError(_) => "latency-error",
            Doubt::Steal(_) => "steal",
            Doubt::LongGap(_) => "long-gap",
            Doubt::Unsent(_) => "unsent",
            Doubt::NotConserved => "not-conserved",
            Doubt::FewTrials(_) => "few-trials",
            Doubt::FewSamples(_) => "few-samples",
            Doubt::ClockUnknown | Doubt::ClockWentBack => "clock",
            Doubt::CoarseResolution { .. } => "coarse-resolution",
            Doubt::Flap { .. } => "flap",
            Doubt::Unavailable(_) => "unavailable",
        }
    }

    /// The field of the summary concerned.
    pub fn field(&self) -> Option<&str> {
        match self {
            Doubt::GeneratorBound | Doubt::LinkBound => Some("throughput.forwarded_mpps"),
            Doubt::Headroom(_) => Some("certificate.headroom"),
            Doubt::LateSends(_) => Some("certificate.late_send_share"),
            Doubt::RateError(_) => Some("certificate.rate_error"),
            Doubt::CoreSpread(_) => Some("certificate.core_spread"),
            Doubt::LatencyError(_) => Some("latency_us.p50"),
            Doubt::Steal(_) => Some("certificate.steal_share"),
            Doubt::LongGap(_) => Some("certificate.longest_gap_us"),
            Doubt::Unsent(_) => Some("ledger.unsent"),
            Doubt::NotConserved => Some("ledger.planned"),
            Doubt::FewTrials(_) => Some("throughput.mpps_per_core"),
            Doubt::ClockUnknown => Some("host.tsc_hz"),
            Doubt::CoarseResolution { .. } => Some("recovery_ms.resolution"),
            Doubt::Unavailable(field) => Some(field),
            Doubt::Flap { .. } => None,
            Doubt::Interrupted | Doubt::FewSamples(_) | Doubt::ClockWentBack => None,
        }
    }

    /// What is the matter, in one sentence with its number.
    pub fn message(&self) -> String {
        match self {
            Doubt::Interrupted => "The run was cut short: every figure is of a part of it.".into(),
            Doubt::GeneratorBound => {
                "The generator was the limit, so the SUT forwards at least this rate.".into()
            }
            Doubt::LinkBound => "The link or the asked rate was the limit, so the SUT forwards \
                                 at least this rate."
                .into(),
            Doubt::Headroom(ratio) => format!(
                "The generator alone can do only {} times the offered rate; below {HEADROOM_MIN} \
                 it may have shaped the result.",
                figure::significant(*ratio, 3)
            ),
            Doubt::LateSends(share) => format!(
                "{} of the probes left late, so latency includes delay of the generator.",
                figure::percent(*share)
            ),
            Doubt::RateError(error) => format!(
                "The rate sent differs from the rate planned by {}.",
                figure::percent(*error)
            ),
            Doubt::CoreSpread(spread) => format!(
                "A generator core is {} off its part of the planned rate, so its connections saw \
                 another load than they were to.",
                figure::percent(*spread)
            ),
            Doubt::LatencyError(share) => format!(
                "Up to {} of the median latency may be the generator's own.",
                figure::percent(*share)
            ),
            Doubt::Steal(share) => format!(
                "The hypervisor took {} of the CPU time, and rates are lower by about as much.",
                figure::percent(*share)
            ),
            Doubt::LongGap(gap_us) => format!(
                "A generator core paused for {} µs; the tail of the latency may be its own.",
                figure::significant(*gap_us, 3)
            ),
            Doubt::Unsent(unsent) => {
                format!("{} planned probes never left the generator.", figure::count(*unsent))
            }
            Doubt::NotConserved => {
                "The classes of the ledger do not add up to the probes planned: a bug of the \
                 generator."
                    .into()
            }
            Doubt::FewTrials(count) => format!(
                "{} cannot give a 95 % interval; the range stands in its place.",
                figure::plural(*count, "trial")
            ),
            Doubt::FewSamples(count) => format!(
                "Only {} in samples.csv: a dip between them would not be seen.",
                figure::plural(*count, "instant")
            ),
            Doubt::ClockUnknown => "The frequency of the time-stamp counter is not recorded, so \
                                    cycle counts cannot be checked against time."
                .into(),
            Doubt::ClockWentBack => "Time goes back within the samples of a core.".into(),
            Doubt::CoarseResolution { resolution_ms, outage_ms } => format!(
                "A connection is seen once in {} ms only, and the outage is {} ms: it may be \
                 shorter or longer by as much.",
                figure::significant(*resolution_ms, 3),
                figure::significant(*outage_ms, 3)
            ),
            Doubt::Flap { count, first_s } => format!(
                "BFD found a core silent {} with nothing injected before, first at {} s: a core \
                 was kept from polling, or its packets were lost.",
                figure::plural(*count, "time"),
                figure::significant(*first_s, 4)
            ),
            Doubt::Unavailable(field) => format!("{field} could not be had."),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Doubt::Interrupted => "let the run end, or shorten its phases",
            Doubt::GeneratorBound | Doubt::Headroom(_) => {
                "give the generator more cores or the SUT fewer, or read the SUT's cycles per \
                 packet"
            }
            Doubt::LinkBound => "ask for a higher rate, use rate = \"max\" or a faster link",
            Doubt::LateSends(_) | Doubt::Unsent(_) => {
                "lower the rate, give each generator core a CPU of its own, see `krono doctor`"
            }
            Doubt::RateError(_) => "lower the rate until the generator keeps it",
            Doubt::CoreSpread(_) => {
                "give each generator core a CPU of its own, see `krono doctor`; where the network had \
                 no room, lower the rate"
            }
            Doubt::LatencyError(_) => {
                "compare with `topology.sut.kind = \"forwarder\"` at the same rate, or lower the rate"
            }
            Doubt::Steal(_) => "use a machine of its own, or repeat when its neighbours are quiet",
            Doubt::LongGap(_) => "isolate the CPUs of the generator, see `krono doctor`",
            Doubt::NotConserved => "do not use the run; report it with its directory",
            Doubt::FewTrials(_) => "run with `--repeat 6` or more",
            Doubt::FewSamples(_) => "lengthen the measured phase",
            Doubt::ClockUnknown => "run on a host with an invariant time-stamp counter",
            Doubt::ClockWentBack => "use a host whose time-stamp counters are synchronised",
            Doubt::CoarseResolution { .. } => "probe a smaller sample, or raise its rate",
            Doubt::Flap { .. } => {
                "give each core a CPU of its own, or raise network.bfd.interval or its multiplier"
            }
            Doubt::Unavailable(_) => "see `krono doctor` for what this host hides",
        }
    }

    fn warning(&self) -> Warning {
        Warning {
            kind: self.kind().to_owned(),
            field: self.field().map(str::to_owned),
            message: format!("{}{REMEDY}{}.", self.message(), self.remedy()),
        }
    }
}

/// Sentence and remedy of a warning; no remedy if it carries none.
pub fn split_remedy(warning: &Warning) -> (&str, Option<&str>) {
    match warning.message.split_once(REMEDY) {
        Some((message, remedy)) => (message, Some(remedy)),
        None => (&warning.message, None),
    }
}

/// The warnings that `summary` and `samples` call for and `summary.warnings` does not yet have.
pub fn warnings(summary: &Summary, samples: &[Sample]) -> Vec<Warning> {
    let known: BTreeSet<(&str, Option<&str>)> =
        summary.warnings.iter().map(|w| (w.kind.as_str(), w.field.as_deref())).collect();
    doubts(summary, samples)
        .iter()
        .filter(|doubt| !known.contains(&(doubt.kind(), doubt.field())))
        .map(Doubt::warning)
        .collect()
}

/// The warning that `events` call for where BFD found a core silent without an event injected
/// within `detection_s` seconds before it, the plan's own detection time, or within [`BLAMED_S`].
pub fn flaps(events: &[Event], detection_s: Option<f64>) -> Vec<Warning> {
    let blamed_s = detection_s.map_or(BLAMED_S, |s| (2.0 * s).max(BLAMED_S));
    let of = |kind| events.iter().filter(move |event| event.kind == kind).map(|event| event.t_s);
    let caused = |at: &f64| of(EventKind::Injected).any(|t_s| (t_s..=t_s + blamed_s).contains(at));
    let flaps: Vec<f64> = of(EventKind::Detected).filter(|at| !caused(at)).collect();
    let first_s = flaps.iter().copied().reduce(f64::min);
    let flap = first_s.map(|first_s| Doubt::Flap { count: flaps.len(), first_s }.warning());
    flap.into_iter().collect()
}

/// Every doubt that `summary` and `samples` raise.
pub fn doubts(summary: &Summary, samples: &[Sample]) -> Vec<Doubt> {
    let mut found = Vec::new();
    let mut when = |condition: bool, doubt: Doubt| {
        if condition {
            found.push(doubt);
        }
    };
    let Certificate { headroom, late_send_share, rate_error, steal_share, longest_gap_us, .. } =
        summary.certificate;
    let error = summary.latency_error_us.map(|error| error.p50);
    when(summary.run.interrupted, Doubt::Interrupted);
    when(!summary.ledger.conserved(), Doubt::NotConserved);
    when(summary.throughput.bound == Some(Bound::Generator), Doubt::GeneratorBound);
    when(summary.throughput.bound == Some(Bound::Link), Doubt::LinkBound);
    if let Some(ratio) = headroom {
        when(ratio < HEADROOM_MIN, Doubt::Headroom(ratio));
    }
    if let Some(share) = late_send_share {
        when(share > LATE_SEND_SHARE_MAX, Doubt::LateSends(share));
    }
    if let Some(error) = rate_error {
        when(error.abs() > RATE_ERROR_MAX, Doubt::RateError(error));
    }
    if let Some(spread) = summary.certificate.core_spread {
        when(spread > CORE_SPREAD_MAX, Doubt::CoreSpread(spread));
    }
    if let Some((error, p50)) = error.zip(summary.latency_us.p50.filter(|&p50| p50 > 0.0)) {
        when(error / p50 > LATENCY_ERROR_SHARE_MAX, Doubt::LatencyError(error / p50));
    }
    if let Some(share) = steal_share {
        when(share > STEAL_SHARE_MAX, Doubt::Steal(share));
    }
    if let Some(gap_us) = longest_gap_us {
        when(gap_us > GAP_US_MAX, Doubt::LongGap(gap_us));
    }
    when(summary.ledger.unsent > 0, Doubt::Unsent(summary.ledger.unsent));
    let coarse = summary.recovery_ms.iter().filter_map(coarse).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, doubt)) = coarse {
        when(true, doubt);
    }
    let trials = summary.throughput.trials.len();
    // A single trial has the spread of its own windows, and says so.
    when(trials > 1 && trials < VALUES_MIN, Doubt::FewTrials(trials));
    let instants = instants(samples);
    when(instants > 0 && instants < INSTANTS_MIN, Doubt::FewSamples(instants));
    when(summary.host.tsc_hz.is_none(), Doubt::ClockUnknown);
    when(goes_back(samples), Doubt::ClockWentBack);
    found.extend(unavailable(summary).into_iter().map(Doubt::Unavailable));
    found
}

/// Resolution ÷ outage of an event where that is too much. An outage of 0 says no more than that
/// it was shorter than the resolution, which is no error.
fn coarse(event: &Recovery) -> Option<(f64, Doubt)> {
    let resolution_ms = event.resolution?;
    let outage_ms = event.p50.or(event.blocked).filter(|ms| *ms > 0.0)?;
    let share = resolution_ms / outage_ms;
    (share > RESOLUTION_SHARE_MAX)
        .then_some((share, Doubt::CoarseResolution { resolution_ms, outage_ms }))
}

/// Most rows any one core has.
fn instants(samples: &[Sample]) -> usize {
    let mut rows = BTreeMap::<(Role, u16, u16), usize>::new();
    for sample in samples {
        *rows.entry((sample.role, sample.server, sample.core)).or_default() += 1;
    }
    rows.into_values().max().unwrap_or(0)
}

fn goes_back(samples: &[Sample]) -> bool {
    let mut last = BTreeMap::<(Role, u16, u16), f64>::new();
    samples.iter().any(|sample| {
        let core = (sample.role, sample.server, sample.core);
        last.insert(core, sample.t_s).is_some_and(|before| sample.t_s < before)
    })
}

/// Paths of the fields that are `null` and that a reader of any run expects. What became of the
/// connections after an event is asked for only if there was an event.
fn unavailable(summary: &Summary) -> Vec<String> {
    let (rates, latency) = (&summary.throughput, &summary.latency_us);
    let (connections, certificate) = (&summary.connections, &summary.certificate);
    let mut fields = vec![
        ("throughput.offered_mpps", rates.offered_mpps.is_none()),
        ("throughput.forwarded_mpps", rates.forwarded_mpps.is_none()),
        ("throughput.forwarded_gbps", rates.forwarded_gbps.is_none()),
        ("throughput.bound", rates.bound.is_none()),
        ("throughput.mpps_per_core", rates.mpps_per_core.is_none()),
        ("sut.cores", summary.sut.cores.is_empty()),
        ("sut.cores.mpps", summary.sut.cores.iter().any(|c| c.mpps.is_none())),
        ("sut.cores.busy_share", summary.sut.cores.iter().any(|c| c.busy_share.is_none())),
        (
            "sut.cores.cycles_per_packet",
            summary.sut.cores.iter().any(|c| c.cycles_per_packet.is_none()),
        ),
        ("sut.connections_peak", summary.sut.connections_peak.is_none()),
        ("sut.bytes_per_connection", summary.sut.bytes_per_connection.is_none()),
        ("latency_us.p50", latency.p50.is_none()),
        ("latency_us.p99", latency.p99.is_none()),
        ("latency_us.p999", latency.p999.is_none()),
        ("latency_us.max", latency.max.is_none()),
        ("latency_us.pdv", latency.pdv.is_none()),
        ("connections.open_rate_achieved", connections.open_rate_achieved.is_none()),
        ("certificate.headroom", certificate.headroom.is_none()),
        ("certificate.late_send_share", certificate.late_send_share.is_none()),
        ("certificate.rate_error", certificate.rate_error.is_none()),
        ("certificate.steal_share", certificate.steal_share.is_none()),
        ("certificate.longest_gap_us", certificate.longest_gap_us.is_none()),
    ];
    if !summary.recovery_ms.is_empty() {
        fields.extend([
            ("connections.kept", connections.kept.is_none()),
            ("connections.remapped", connections.remapped.is_none()),
            ("connections.lost", connections.lost.is_none()),
            ("connections.recovered", connections.recovered.is_none()),
            ("recovery_ms.p50", summary.recovery_ms.iter().any(|event| event.p50.is_none())),
            ("recovery_ms.p99", summary.recovery_ms.iter().any(|event| event.p99.is_none())),
        ]);
    }
    fields.into_iter().filter(|(_, null)| *null).map(|(field, _)| field.to_owned()).collect()
}
