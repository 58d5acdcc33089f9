//! The key figures, which open a page: what was found and who counted it.

use super::answer::sent;
use super::table::{Cell, Row, Table, or_missing, share_or_missing};
use super::{bound_by, missing};
use crate::figure;
use format::Summary;
use format::summary::SutCore;

/// The key figures.
pub(super) fn figures(summary: &Summary) -> Table {
    Table::new("Key figures", "")
        .head(["figure", "value", "counted by", "meaning"])
        .rows(of_generator(summary))
        .rows(of_sut(summary))
}

fn row(name: &str, value: Cell, source: &str, meaning: &str) -> Row {
    let source = Cell { class: "source", ..Cell::text(source) };
    Row::new([Cell::text(name), value, source, Cell::text(meaning)])
}

fn of_generator(summary: &Summary) -> Vec<Row> {
    let rates = &summary.throughput;
    let black = |name, value, meaning: &str| row(name, value, "black-box", meaning);
    let rate = |field: &str, value, unit| or_missing(summary, field, value, unit);
    let mut forwarded = rate("throughput.forwarded_mpps", rates.forwarded_mpps, "Mpps");
    if rates.at_least && rates.forwarded_mpps.is_some() {
        forwarded.text = format!("at least {}", forwarded.text);
    }
    let offered = rate("throughput.offered_mpps", rates.offered_mpps, "Mpps");
    let gbps = rate("throughput.forwarded_gbps", rates.forwarded_gbps, "Gbit/s");
    let per_core = match &rates.mpps_per_core {
        Some(estimate) => Cell::number(figure::estimate(estimate, "Mpps")),
        None => Cell::text(missing(summary, "throughput.mpps_per_core")),
    };
    let bound = match rates.bound {
        Some(bound) => bound_by(bound).to_owned(),
        None => missing(summary, "throughput.bound"),
    };
    let loss = format!(
        "{} of {} ({})",
        figure::count(summary.ledger.lost),
        figure::count(sent(summary)),
        figure::percent_of(summary.ledger.lost, sent(summary))
    );
    let error = summary.latency_error_us.map(|error| error.p99).filter(|error| error.is_finite());
    let p99 = match summary.latency_us.p99.filter(|p99| p99.is_finite()).zip(error) {
        Some((p99, error)) => Cell::number(format!("{} µs", figure::plus_minus(p99, error, 4))),
        None => or_missing(summary, "latency_us.p99", summary.latency_us.p99, "µs"),
    };
    let held = figure::count(summary.connections.held_peak);
    let traffic = format!(
        "{}, mean frame {} bytes ({})",
        figure::genome(&rates.genome),
        figure::trimmed(rates.mean_frame_bytes, 4),
        rates.layer
    );
    let never_compared = "results of different mixes are never compared";
    vec![
        black("forwarded", forwarded, "came back verified; both directions, each packet once"),
        black("offered", offered, "planned and sent"),
        black("forwarded, bits", gbps, &format!("at {}", rates.layer)),
        black("per SUT core", per_core, "median of the trials, with its interval"),
        black("limit", Cell::text(bound), "any but the SUT makes the rate a lower bound"),
        black("lost", Cell::number(loss), "not back at the end of the drain, of those sent"),
        black("latency, 99 %", p99, "from the planned instant to reception"),
        black("connections", Cell::number(held), "most held at once"),
        row("traffic", Cell::text(traffic), "scenario", never_compared),
    ]
}

fn of_sut(summary: &Summary) -> Vec<Row> {
    let (forwarded, cycles) = cycles_per_packet(&summary.sut.cores);
    let busy = summary.sut.cores.iter().filter_map(|core| core.busy_share).reduce(f64::max);
    let bytes = summary.sut.bytes_per_connection;
    let cycles = or_missing(summary, "sut.cores.cycles_per_packet", cycles, "cycles");
    let busy = share_or_missing(summary, "sut.cores.busy_share", busy);
    let bytes = or_missing(summary, "sut.bytes_per_connection", bytes, "bytes");
    let forwarded = figure::count(forwarded);
    let cost = format!("TSC cycles of steps that moved packets ÷ {forwarded} packets sent on");
    let white = |name, value, meaning: &str| row(name, value, "white-box", meaning);
    vec![
        white("cycles per packet", cycles, &cost),
        white("busiest core", busy, "cycles of steps that moved packets ÷ all cycles"),
        white("memory per connection", bytes, "connection state ÷ connections at the peak"),
    ]
}

/// Packets sent on and cycles per packet over all cores; no cycles if one core's are unknown.
pub(crate) fn cycles_per_packet(cores: &[SutCore]) -> (u64, Option<f64>) {
    let forwarded = cores.iter().fold(0u64, |sum, core| sum.saturating_add(core.forwarded));
    let cycles: Option<f64> = cores
        .iter()
        .filter(|core| core.forwarded > 0)
        .map(|core| core.cycles_per_packet.map(|cycles| cycles * core.forwarded as f64))
        .sum();
    (forwarded, cycles.filter(|_| forwarded > 0).map(|cycles| cycles / forwarded as f64))
}
