//! The figures of one run that a comparison sets side by side.
//!
//! Values are those of the summary, so that they read as in the run's own report; what is "per"
//! something is divided by a fact of the host or by what the user says it costs. A value that could
//! not be had carries the reason.

use super::price::Price;
use super::raw;
use crate::gate::Direction;
use crate::load::{Run, plan_of};
use crate::stats::bootstrap::VALUES_MIN;
use crate::stats::{change::Raw, median};
use crate::warn;
use format::Summary;
use format::summary::{Recovery, Source};

/// One figure of one run.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Name in words, the same in every run.
    pub name: String,
    /// Unit of the value.
    pub unit: String,
    /// Which way it gets better.
    pub direction: Direction,
    /// Who counted.
    pub source: Source,
    /// The value, or why there is none.
    pub value: Result<f64, String>,
    /// Whether it is a lower bound.
    pub at_least: bool,
    /// Why it must not be judged although it is there.
    pub doubt: Option<String>,
    /// What an interval is made of.
    pub raw: Values,
}

/// The values behind a figure.
#[derive(Clone, Debug)]
pub enum Values {
    /// Repeated ones.
    Raw(Raw),
    /// It depends on nothing random; two that differ by less than this share are the same.
    Exact {
        /// Share of the value.
        tolerance: f64,
    },
    /// None, and why.
    None(String),
}

impl From<Result<Raw, String>> for Values {
    fn from(raw: Result<Raw, String>) -> Values {
        raw.map_or_else(Values::None, Values::Raw)
    }
}

/// All figures of a run, in the order in which they are printed.
pub(crate) fn of(run: &Run, price: Option<&Price>) -> Vec<Figure> {
    let mut figures = rates(run, price);
    figures.extend(latencies(run));
    figures.extend(white_box(run));
    figures.extend(recoveries(&run.summary));
    figures
}

/// Cores of the SUT: those that the plan asks for, else those that counted.
pub(crate) fn sut_cores(run: &Run) -> Option<f64> {
    let counted = run.summary.sut.cores.len();
    let cores = plan_of(run).map_or(counted as f64, |plan| f64::from(plan.topology.suts()));
    (cores > 0.0).then_some(cores)
}

fn rates(run: &Run, price: Option<&Price>) -> Vec<Figure> {
    let (summary, at_least) = (&run.summary, run.summary.throughput.at_least);
    let raw = Values::from(raw::forwarded_mpps(run));
    let forwarded = known(summary, "throughput.forwarded_mpps", summary.throughput.forwarded_mpps);
    let cores = sut_cores(run).ok_or_else(|| "the number of SUT cores is unknown".to_owned());
    let estimate = summary.throughput.mpps_per_core;
    let per_core =
        known(summary, "throughput.mpps_per_core", estimate.map(|estimate| estimate.value));
    let ghz = run.host.tsc_hz.map(|hz| hz as f64 / 1e9).filter(|ghz| *ghz > 0.0);
    let per_ghz = ghz.ok_or_else(|| "the frequency of the TSC is not recorded".to_owned());
    let watts = known(summary, "energy.package_j", summary.energy.watts);
    let hour = price.map(|price| price.per_hour).ok_or_else(|| "no --price given".to_owned());
    let currency = price.map_or("", |price| price.currency.as_str());
    let money = if currency.is_empty() { "unit" } else { currency };
    let over = |by: &Result<f64, String>| Ok(forwarded.clone()? / by.clone()?);
    let figure = |name: &str, unit: &str, value: Result<f64, String>| Figure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        direction: Direction::HigherIsBetter,
        source: Source::BlackBox,
        value,
        at_least,
        doubt: None,
        raw: raw.clone(),
    };
    let per_core_ghz = per_core.clone().and_then(|mpps| Ok(mpps / per_ghz?));
    // Packets of an hour ÷ its price, in thousands of millions.
    let per_money = over(&hour).map(|mpps_per_price| mpps_per_price * 3600.0 / 1e3);
    vec![
        figure("forwarded", "Mpps", forwarded.clone()),
        figure("forwarded per core", "Mpps", per_core.or_else(|_| over(&cores))),
        figure("forwarded per core and GHz (TSC)", "Mpps/GHz", per_core_ghz),
        figure("forwarded per watt", "Mpps/W", over(&watts)),
        figure("forwarded per money", &format!("G packets per {money}"), per_money),
        lost(run),
    ]
}

fn lost(run: &Run) -> Figure {
    let trials = &run.summary.throughput.trials;
    let sent: f64 = trials.iter().map(|trial| trial.offered_mpps * 1e6 * trial.seconds).sum();
    let lost: u64 = trials.iter().map(|trial| trial.lost).sum();
    let value =
        if sent > 0.0 { Ok(lost as f64 / sent * 100.0) } else { Err("nothing sent".into()) };
    let raw = match raw::lost_share(run) {
        // Nothing lost at all needs no repetition to be the same on both sides.
        Err(_) if lost == 0 => Values::Exact { tolerance: 0.0 },
        raw => raw.into(),
    };
    Figure {
        name: "lost".to_owned(),
        unit: "%".to_owned(),
        direction: Direction::LowerIsBetter,
        source: Source::BlackBox,
        value,
        at_least: false,
        doubt: None,
        raw,
    }
}

fn latencies(run: &Run) -> Vec<Figure> {
    let (summary, latency) = (&run.summary, &run.summary.latency_us);
    let saturated = summary.warnings.iter().any(|warning| warning.kind == "saturated");
    let doubt = saturated.then(|| "its queues were full, so this is their depth".to_owned());
    [
        ("latency, median", "p50", latency.p50, 0.5),
        ("latency, 99 %", "p99", latency.p99, 0.99),
        ("latency, 99.9 %", "p999", latency.p999, 0.999),
    ]
    .into_iter()
    .map(|(name, field, value, quantile)| Figure {
        name: name.to_owned(),
        unit: "µs".to_owned(),
        direction: Direction::LowerIsBetter,
        source: Source::BlackBox,
        value: known(summary, &format!("latency_us.{field}"), value),
        at_least: false,
        doubt: doubt.clone(),
        raw: raw::latency_us(run.latency.as_ref(), quantile).into(),
    })
    .collect()
}

fn white_box(run: &Run) -> Vec<Figure> {
    let summary = &run.summary;
    let (_, cycles) = crate::report::cycles_per_packet(&summary.sut.cores);
    let bytes = summary.sut.bytes_per_connection;
    let figure = |name: &str, unit: &str, value, raw| Figure {
        name: name.to_owned(),
        unit: unit.to_owned(),
        direction: Direction::LowerIsBetter,
        source: Source::WhiteBox,
        value,
        at_least: false,
        doubt: None,
        raw,
    };
    let cycles = known(summary, "sut.cores.cycles_per_packet", cycles);
    let bytes = known(summary, "sut.bytes_per_connection", bytes);
    vec![
        figure("cycles per packet", "cycles", cycles, raw::cycles_per_packet(run).into()),
        figure("memory per connection", "bytes", bytes, Values::Exact { tolerance: 0.01 }),
    ]
}

/// One figure for each kind of event and time, the median over its repetitions.
fn recoveries(summary: &Summary) -> Vec<Figure> {
    let mut events: Vec<&str> = summary.recovery_ms.iter().map(|e| e.event.as_str()).collect();
    events.sort_unstable();
    events.dedup();
    type Time = fn(&Recovery) -> Option<f64>;
    let times: [(&str, &str, Time); 3] = [
        ("blocked", "blocked", |event| event.blocked),
        ("longest outage", "max", |event| event.max),
        ("back at rate", "back_at_rate", |event| event.back_at_rate),
    ];
    let mut figures = Vec::new();
    for event in events {
        let of_event = || summary.recovery_ms.iter().filter(|recovery| recovery.event == event);
        for (name, field, time) in times {
            let values: Option<Vec<f64>> = of_event().map(time).collect();
            let middle = values.as_ref().and_then(|values| median(values));
            let raw = match values {
                Some(values) if values.len() >= VALUES_MIN => Values::Raw(Raw::Trials(values)),
                _ => Values::None(raw::few("events of this kind", of_event().count())),
            };
            figures.push(Figure {
                name: format!("{event}: {name}"),
                unit: "ms".to_owned(),
                direction: Direction::LowerIsBetter,
                source: Source::BlackBox,
                value: known(summary, &format!("recovery_ms.{field}"), middle),
                at_least: false,
                doubt: None,
                raw,
            });
        }
    }
    figures
}

/// The value, or why the summary has none.
fn known(summary: &Summary, field: &str, value: Option<f64>) -> Result<f64, String> {
    if let Some(value) = value.filter(|value| value.is_finite()) {
        return Ok(value);
    }
    let said = summary.warnings.iter().find(|warning| warning.field.as_deref() == Some(field));
    let said = said.map(|warning| warn::split_remedy(warning).0.trim_end_matches('.').to_owned());
    Err(said.unwrap_or_else(|| "not recorded".to_owned()))
}
