//! The tables of a page behind the plots: what was found, who counted it, what it means.

use super::answer::limit;
use super::table::{Cell, Row, Table, or_missing, share_or_missing};
use super::{missing, origin, peers};
use crate::load::Run;
use crate::plot::drops;
use crate::{figure, scaling, warn};
use format::Summary;
use format::summary::Warning;

/// The tables before the plots: whether the figures may be used. Those without rows are left out.
pub(super) fn before(run: &Run, warnings: &[Warning]) -> Vec<Table> {
    let summary = &run.summary;
    shown([
        peers::table(summary),
        criteria(summary),
        warnings_table(warnings),
        certificate(summary),
    ])
}

/// The tables after the plots.
pub(super) fn after(run: &Run) -> Vec<Table> {
    shown([ledger(&run.summary), origin::provenance(run), origin::host(&run.host)])
}

fn shown<const N: usize>(tables: [Table; N]) -> Vec<Table> {
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// A row for each warning; what is said of several fields is said once.
fn warnings_table(warnings: &[Warning]) -> Table {
    let mut said: Vec<(&Warning, Vec<&str>)> = Vec::new();
    for warning in warnings {
        let field = warning.field.as_deref();
        let same = |(it, _): &&mut (&Warning, Vec<&str>)| {
            it.kind == warning.kind && it.message == warning.message
        };
        match said.iter_mut().find(same) {
            Some((_, fields)) => fields.extend(field),
            None => said.push((warning, field.into_iter().collect())),
        }
    }
    Table::new("Warnings", "What to know before using the figures.")
        .head(["warning", "what", "remedy"])
        .rows(said.iter().map(|(warning, fields)| {
            let (what, remedy) = warn::split_remedy(warning);
            let unsaid: Vec<&str> =
                fields.iter().copied().filter(|field| !what.contains(field)).collect();
            let what = match unsaid.is_empty() {
                true => what.to_owned(),
                false => format!("{what} ({})", unsaid.join(", ")),
            };
            let remedy = remedy.unwrap_or("—");
            Row::new([Cell::text(&warning.kind), Cell::text(what), Cell::text(remedy)])
        }))
}

fn criteria(summary: &Summary) -> Table {
    Table::new("Pass criteria", "A value that could not be had does not meet its criterion.")
        .head(["criterion", "limit", "value", "verdict"])
        .rows(summary.pass.criteria.iter().map(|judged| {
            let value = judged.value.map_or_else(|| missing(summary, &judged.name), figure::value);
            Row::new([
                Cell::code(&judged.name),
                Cell::text(limit(&judged.limit)),
                Cell::number(value),
                Cell::flag(judged.met, if judged.met { "met" } else { "not met" }),
            ])
        }))
}

/// "planned = on time + late + lost + unsent" in numbers.
pub(super) fn identity(summary: &Summary) -> String {
    let ledger = &summary.ledger;
    let [planned, on_time, late, lost, unsent] =
        [ledger.planned, ledger.on_time, ledger.late, ledger.lost, ledger.unsent]
            .map(figure::count);
    let sign = if ledger.conserved() { '=' } else { '≠' };
    format!(
        "{planned} planned {sign} {on_time} on time + {late} late + {lost} lost + {unsent} unsent"
    )
}

fn ledger(summary: &Summary) -> Table {
    let ledger = &summary.ledger;
    let row = |name: &str, count: u64, meaning: &str| {
        Row::new([
            Cell::text(name),
            Cell::number(figure::count(count)),
            Cell::number(figure::percent_of(count, ledger.planned)),
            Cell::text(meaning),
        ])
    };
    let verdict = if ledger.conserved() {
        "every probe is in exactly one class"
    } else {
        "the classes do not add up: the figures cannot be used"
    };
    Table::new(
        "Ledger",
        format!("{}: {verdict}. Flags below the classes may overlap them.", identity(summary)),
    )
    .head(["class or flag", "probes", "of planned", "meaning"])
    .rows([
        row("planned", ledger.planned, "what the schedule asked for"),
        row("on time", ledger.on_time, "back before the deadline"),
        row("late", ledger.late, "back after the deadline, before the end of the drain"),
        row("lost", ledger.lost, "not back at the end of the drain"),
        row("unsent", ledger.unsent, "never left the generator; no fault of the SUT"),
        row("flag: duplicate", ledger.duplicate, "copies beyond the first"),
        row("flag: reordered", ledger.reordered, "behind a later probe of its stream"),
        row("flag: corrupt", ledger.corrupt, "content differs from what was sent"),
        row("flag: misrouted", ledger.misrouted, "came back to another core than expected"),
        row("flag: mistranslated", ledger.mistranslated, "outer tuple differs from that at set-up"),
    ])
}

fn certificate(summary: &Summary) -> Table {
    let c = &summary.certificate;
    let row = |name: &str, value: Cell, meaning: String| {
        Row::new([Cell::text(name), value, Cell::text(meaning)])
    };
    let number = |field: &str, value, unit: &str| {
        or_missing(summary, &format!("certificate.{field}"), value, unit)
    };
    let share =
        |field: &str, value| share_or_missing(summary, &format!("certificate.{field}"), value);
    let cycles = c.forwarder_cycles_per_packet;
    Table::new("Certificate", "Evidence that the SUT was measured and not the generator.")
        .head(["quantity", "value", "what it means"])
        .rows([
            row(
                "headroom",
                number("headroom", c.headroom, "×"),
                format!(
                    "what the generator can do through a plain forwarder ÷ offered rate; \
                         doubtful below {}",
                    warn::HEADROOM_MIN
                ),
            ),
            row(
                "late sends",
                share("late_send_share", c.late_send_share),
                format!(
                    "probes sent more than 100 µs after their instant; doubtful above {}",
                    figure::percent(warn::LATE_SEND_SHARE_MAX)
                ),
            ),
            row(
                "rate error",
                share("rate_error", c.rate_error),
                "rate sent against rate planned; negative is too little".to_owned(),
            ),
            row(
                "core spread",
                share("core_spread", c.core_spread),
                format!(
                    "rate sent against rate planned of the generator core that is furthest from it; \
                         doubtful above {}",
                    figure::percent(warn::CORE_SPREAD_MAX)
                ),
            ),
            row(
                "CPU steal",
                share("steal_share", c.steal_share),
                format!(
                    "time the hypervisor gave to others; doubtful above {}",
                    figure::percent(warn::STEAL_SHARE_MAX)
                ),
            ),
            row(
                "longest gap",
                number("longest_gap_us", c.longest_gap_us, "µs"),
                "longest pause of a generator core; it shows in the tail of the latency".to_owned(),
            ),
            row(
                "generator alone",
                number("twin_mpps", c.twin_mpps, "Mpps"),
                "through a plain wire, without any SUT".to_owned(),
            ),
            row(
                "plain forwarder",
                number("forwarder_mpps", c.forwarder_mpps, "Mpps"),
                "with a SUT that translates nothing".to_owned(),
            ),
            row(
                "plain forwarder, cost",
                number("forwarder_cycles_per_packet", cycles, "cycles per packet"),
                "what moving a packet costs before any translation".to_owned(),
            ),
        ])
}

pub(super) fn latency(summary: &Summary) -> Table {
    let (l, e) = (&summary.latency_us, summary.latency_error_us);
    let row = |name: &str, field: &str, value, error: Option<f64>, meaning: &str| {
        let value = or_missing(summary, &format!("latency_us.{field}"), value, "µs");
        let error = match error.filter(|error| error.is_finite()) {
            Some(error) => Cell::number(format!("± {} µs", figure::trimmed(error, 2))),
            None => Cell::text("unknown"),
        };
        Row::new([Cell::text(name), value, error, Cell::text(meaning)])
    };
    let from_where = match e {
        Some(e) => format!(
            "Errors are what the generator alone showed through a plain wire at {} Mpps, {} packets.",
            figure::significant(e.rate_mpps, 3),
            figure::count(e.packets)
        ),
        None => format!("Their errors: {}.", missing(summary, "latency_error_us")),
    };
    Table::new(
        "Latency",
        format!(
            "From the planned instant to reception, so that waiting for a late generator counts too \
             (black-box). {from_where}"
        ),
    )
    .head(["percentile", "value", "error", "meaning"])
    .rows([
        row("smallest", "min", l.min, e.map(|e| e.min), ""),
        row("50 %", "p50", l.p50, e.map(|e| e.p50), "median"),
        row("90 %", "p90", l.p90, e.map(|e| e.p90), ""),
        row("99 %", "p99", l.p99, e.map(|e| e.p99), ""),
        row("99.9 %", "p999", l.p999, e.map(|e| e.p999), "one packet in 1,000 is slower"),
        row("largest", "max", l.max, e.map(|e| e.max), ""),
        row("PDV", "pdv", l.pdv, e.map(|e| e.pdv), "99.9 % − smallest (RFC 8219)"),
    ])
}

pub(super) fn trials(summary: &Summary) -> Table {
    let rows = summary.throughput.trials.iter().enumerate().map(|(i, trial)| {
        Row::new([
            Cell::text((i + 1).to_string()),
            Cell::number(figure::significant(trial.offered_mpps, 4)),
            Cell::number(figure::significant(trial.forwarded_mpps, 4)),
            Cell::number(figure::count(trial.lost)),
            Cell::number(figure::significant(trial.seconds, 3)),
        ])
    });
    Table::new("Trials", "Raw values, in the order they were run (black-box).")
        .head(["trial", "offered (Mpps)", "forwarded (Mpps)", "lost", "length (s)"])
        .rows(rows)
}

pub(super) fn connections(summary: &Summary) -> Table {
    let c = &summary.connections;
    let row = |name: &str, value: Cell, meaning: &str| {
        Row::new([Cell::text(name), value, Cell::text(meaning)])
    };
    let counted = |value: u64| Cell::number(figure::count(value));
    let rate =
        |field: &str, value| or_missing(summary, &format!("connections.{field}"), value, "per s");
    let mut rows = vec![
        row("opened", counted(c.opened), "a translated packet came back"),
        row("not established", counted(c.failed), "no translated packet came back"),
        row("closed", counted(c.closed), "by the generator"),
        row("most held", counted(c.held_peak), "at once"),
        row(
            "opening rate",
            rate("open_rate_achieved", c.open_rate_achieved),
            "in the measured phase",
        ),
        row(
            "closing rate",
            rate("close_rate_achieved", c.close_rate_achieved),
            "in the measured phase",
        ),
    ];
    if !summary.recovery_ms.is_empty() {
        let fate = |field: &str, value: Option<u64>| match value {
            Some(value) => counted(value),
            None => Cell::text(missing(summary, &format!("connections.{field}"))),
        };
        rows.extend([
            row("kept", fate("kept", c.kept), "same translation before and after the events"),
            row("remapped", fate("remapped", c.remapped), "alive with another translation"),
            row("reset", fate("reset", c.reset), "refused after an event"),
            row("lost", fate("lost", c.lost), "dead after an event"),
            row("recovered", fate("recovered", c.recovered), "dead for a while, same translation"),
        ]);
    }
    Table::new("Connections", "As the generator saw them (black-box).")
        .head(["connections", "value", "meaning"])
        .rows(rows)
}

pub(super) fn cores(summary: &Summary) -> Table {
    let value = |value: Option<f64>, text: fn(f64) -> String| {
        Cell::number(value.map_or_else(|| figure::MISSING.to_owned(), text))
    };
    let four = |value| figure::significant(value, 4);
    let rows = summary.sut.cores.iter().map(|core| {
        let drops = drops::reasons(std::slice::from_ref(core));
        let drops = match &drops[..] {
            [] => "none".to_owned(),
            drops => {
                let each =
                    drops.iter().map(|(why, count)| format!("{why} {}", figure::count(*count)));
                each.collect::<Vec<_>>().join(", ")
            }
        };
        Row::new([
            Cell::text(format!("{}.{}", core.server, core.core)),
            Cell::number(figure::count(core.forwarded)),
            value(core.mpps, four),
            value(core.busy_share, figure::percent),
            value(core.cycles_per_packet, four),
            Cell::text(drops),
        ])
    });
    let balance = scaling::balance(&summary.sut.cores).filter(|balance| balance.cores.len() > 1);
    let balance = balance.map_or_else(String::new, |balance| {
        let (efficiency, imbalance) =
            (figure::percent(balance.efficiency), figure::percent(balance.imbalance));
        format!(
            " Together they reach {efficiency} of the ideal; the best core is {imbalance} above the \
             mean.")
    });
    Table::new(
        "SUT by core",
        format!("What {} counted itself (white-box).{balance}", summary.sut.kind),
    )
    .head(["server.core", "forwarded", "Mpps", "busy", "cycles per packet", "drops by reason"])
    .rows(rows)
}
