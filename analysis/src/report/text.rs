//! The run on a terminal: aligned, without colour, at most 25 lines.

use super::figures::cycles_per_packet;
use super::tables::identity;
use super::{answer, bound_by, missing, peers};
use crate::figure;
use format::Summary;
use format::summary::LatencyError;

/// Warnings listed; the rest is counted.
const WARNINGS_MAX: usize = 5;

/// The sentence and what stands behind it, one quantity a line.
pub fn text(summary: &Summary) -> String {
    let mut text = format!("{}\n\n", one_line(&answer(summary)));
    let mut line = |name: &str, value: String| {
        text += &format!("  {name:<12}  {}\n", one_line(&value));
    };
    line("verdict", verdict(summary));
    line("throughput", throughput(summary));
    if let Some(estimate) = &summary.throughput.mpps_per_core {
        // The spread within one trial says nothing of the next.
        let trials = match summary.throughput.trials.len() {
            1 if estimate.low.is_some() => "windows of 1 trial".to_owned(),
            count => figure::plural(count, "trial"),
        };
        line("per core", format!("{}, {trials}", figure::estimate(estimate, "Mpps")));
    }
    line("ledger", identity(summary));
    let ledger = &summary.ledger;
    let [duplicate, reordered, corrupt, misrouted, mistranslated] = [
        ledger.duplicate,
        ledger.reordered,
        ledger.corrupt,
        ledger.misrouted,
        ledger.mistranslated,
    ]
    .map(figure::count);
    line(
        "flags",
        format!(
            "{duplicate} duplicate, {reordered} reordered, {corrupt} corrupt, \
             {misrouted} misrouted, {mistranslated} mistranslated"
        ),
    );
    if let Some(attacks) = attacks(summary) {
        line("attacks", attacks);
    }
    line("latency", latency(summary));
    let connections = &summary.connections;
    let [opened, failed, held] =
        [connections.opened, connections.failed, connections.held_peak].map(figure::count);
    line(
        "connections",
        format!("{held} held at the peak, {opened} opened, {failed} not established"),
    );
    line("SUT", sut(summary));
    for (i, peer) in summary.peers.iter().enumerate() {
        line(if i == 0 { "peers" } else { "" }, peers::sentence(peer));
    }
    if !summary.sut.drops.is_empty() {
        line("dropped", dropped(summary));
    }
    line("certificate", certificate(summary));
    let criteria = &summary.pass.criteria;
    if !criteria.is_empty() {
        let met = criteria.iter().filter(|judged| judged.met).count();
        line("pass", format!("{met} of {} criteria met", criteria.len()));
    }
    let warnings = warnings(summary);
    for (i, warning) in warnings.iter().take(WARNINGS_MAX).enumerate() {
        line(if i == 0 { "warnings" } else { "" }, warning.clone());
    }
    if warnings.len() > WARNINGS_MAX {
        let more = warnings.len() - WARNINGS_MAX;
        line("", format!("and {more} more, see the report"));
    }
    let run = &summary.run;
    let revision = run.git.as_deref().unwrap_or("unknown revision");
    line("run", format!("{}, seed {}, krono {} ({revision})", run.id, run.seed, run.version));
    text
}

/// A sentence each. What is missing for one reason is named together, before the reason.
fn warnings(summary: &Summary) -> Vec<String> {
    let mut lines: Vec<(Vec<&str>, &str)> = Vec::new();
    for warning in &summary.warnings {
        let missing = warning.field.as_deref().filter(|_| warning.kind == "unavailable");
        let known =
            lines.iter_mut().find(|(fields, of)| !fields.is_empty() && *of == warning.message);
        match (missing, known) {
            (Some(field), Some((fields, _))) => fields.push(field),
            (field, _) => lines.push((field.into_iter().collect(), &warning.message)),
        }
    }
    let sentence = |(fields, message): (Vec<&str>, &str)| match fields.join(", ") {
        fields if fields.is_empty() => message.to_owned(),
        fields => format!("{fields}: {message}"),
    };
    lines.into_iter().map(sentence).collect()
}

/// What became of the packets of attacks; `None` where there was none.
fn attacks(summary: &Summary) -> Option<String> {
    let ledger = &summary.ledger;
    let of = |sent: u64, passed: u64, what: &str| {
        let [sent_text, passed_text] = [sent, passed].map(figure::count);
        (sent > 0).then(|| format!("{passed_text} of {sent_text} {what} passed"))
    };
    let flood = of(ledger.flood_sent, ledger.flood_passed, "SYNs of a flood");
    let scan = of(ledger.scan_sent, ledger.scan_passed, "packets of a scan");
    let both: Vec<String> = [flood, scan].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join(", "))
}

/// What the SUT dropped in all phases, by reason, the most frequent first.
fn dropped(summary: &Summary) -> String {
    let mut drops: Vec<(&String, &u64)> = summary.sut.drops.iter().collect();
    drops.sort_by_key(|&(_, count)| std::cmp::Reverse(*count));
    let each = drops.into_iter().map(|(why, count)| format!("{why} {}", figure::count(*count)));
    each.collect::<Vec<_>>().join(", ")
}

/// Text of a scenario may hold line breaks and terminal codes; a line of ours may not.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| figure::MISSING.to_owned(), |value| figure::significant(value, 3))
}

fn verdict(summary: &Summary) -> String {
    let valid = if summary.valid { "valid" } else { "INVALID" };
    let passed = match (summary.pass.criteria.is_empty(), summary.pass.met) {
        _ if !summary.valid || summary.run.interrupted => "not judged",
        (true, _) => "no pass criteria",
        (false, true) => "passed",
        (false, false) => "FAILED",
    };
    let bound = summary.throughput.bound.map_or("bound unknown", bound_by);
    let interrupted = if summary.run.interrupted { ", INTERRUPTED" } else { "" };
    format!("{valid}, {passed}, {bound}{interrupted}")
}

fn throughput(summary: &Summary) -> String {
    let rates = &summary.throughput;
    if rates.forwarded_mpps.is_none() {
        return missing(summary, "throughput.forwarded_mpps");
    }
    let least = if rates.at_least { "at least " } else { "" };
    format!(
        "{least}{} Mpps forwarded of {} offered, {} Gbit/s ({})",
        number(rates.forwarded_mpps),
        number(rates.offered_mpps),
        number(rates.forwarded_gbps),
        rates.layer
    )
}

fn latency(summary: &Summary) -> String {
    let latency = &summary.latency_us;
    if latency.p50.is_none() {
        return missing(summary, "latency_us.p50");
    }
    let of = |value: Option<f64>, error: fn(&LatencyError) -> f64| {
        let bounded = value.zip(summary.latency_error_us.as_ref().map(error));
        bounded.map_or_else(|| number(value), |(value, e)| figure::plus_minus(value, e, 3))
    };
    let figures = format!(
        "p50 {}  p99 {}  p99.9 {}  max {} µs",
        of(latency.p50, |error| error.p50),
        of(latency.p99, |error| error.p99),
        of(latency.p999, |error| error.p999),
        of(latency.max, |error| error.max),
    );
    match &summary.latency_error_us {
        Some(error) => format!("{figures} (calibrated at {} Mpps)", number(Some(error.rate_mpps))),
        None => format!("{figures} (no error bound)"),
    }
}

fn sut(summary: &Summary) -> String {
    let cores = &summary.sut.cores;
    let (_, cycles) = cycles_per_packet(cores);
    let busy = cores.iter().filter_map(|core| core.busy_share).reduce(f64::max);
    format!(
        "{} on {}, {} cycles per packet, busiest core {}",
        summary.sut.kind,
        figure::plural(cores.len(), "core"),
        cycles.map_or_else(|| figure::MISSING.to_owned(), |n| figure::significant(n, 4)),
        busy.map_or_else(|| figure::MISSING.to_owned(), figure::percent)
    )
}

fn certificate(summary: &Summary) -> String {
    let c = &summary.certificate;
    let share = |value: Option<f64>| value.map_or_else(|| figure::MISSING.into(), figure::percent);
    format!(
        "headroom {}, late sends {}, core spread {}, steal {}, longest gap {} µs",
        number(c.headroom),
        share(c.late_send_share),
        share(c.core_spread),
        share(c.steal_share),
        number(c.longest_gap_us)
    )
}
