//! The tables of a page: what was found, who counted it, what it means.

use super::answer::{limit, sent};
use super::{bound_by, missing};
use crate::load::Run;
use crate::plot::drops;
use crate::{figure, scaling, warn};
use format::Summary;
use format::summary::{SutCore, Warning};

/// A table with a heading and a sentence on how to read it.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) note: String,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
}

/// One row; the first cell names it.
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
}

/// One cell, escaped by the template.
pub(super) struct Cell {
    pub(super) text: String,
    /// CSS class: `number`, `code`, `source`, `good`, `bad` or none.
    pub(super) class: &'static str,
    /// Anchor on the page.
    pub(super) link: Option<String>,
}

impl Table {
    pub(super) fn new(title: &'static str, note: impl Into<String>) -> Table {
        Table { title, note: note.into(), head: Vec::new(), rows: Vec::new() }
    }

    pub(super) fn head<const N: usize>(mut self, head: [&'static str; N]) -> Table {
        self.head = head.to_vec();
        self
    }

    pub(super) fn rows(mut self, rows: impl IntoIterator<Item = Row>) -> Table {
        self.rows.extend(rows);
        self
    }
}

impl Row {
    pub(super) fn new<const N: usize>(cells: [Cell; N]) -> Row {
        Row { cells: cells.into() }
    }
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), class: "", link: None }
    }

    pub(super) fn number(text: impl Into<String>) -> Cell {
        Cell { class: "number", ..Cell::text(text) }
    }

    pub(super) fn link(text: &str, to: String) -> Cell {
        Cell { link: Some(to), ..Cell::text(text) }
    }

    fn code(text: impl Into<String>) -> Cell {
        Cell { class: "code", ..Cell::text(text) }
    }

    fn flag(good: bool, text: &str) -> Cell {
        Cell { class: if good { "good" } else { "bad" }, ..Cell::text(text) }
    }
}

const BLACK: &str = "black-box";
const WHITE: &str = "white-box";

/// Value with unit, or why there is none.
fn or_missing(summary: &Summary, field: &str, value: Option<f64>, unit: &str) -> Cell {
    match value.filter(|value| value.is_finite()) {
        Some(value) => Cell::number(format!("{} {unit}", figure::trimmed(value, 4))),
        None => Cell::text(missing(summary, field)),
    }
}

fn share_or_missing(summary: &Summary, field: &str, value: Option<f64>) -> Cell {
    match value.filter(|value| value.is_finite()) {
        Some(value) => Cell::number(figure::percent(value)),
        None => Cell::text(missing(summary, field)),
    }
}

/// The key figures, which open the page.
pub(super) fn figures(summary: &Summary) -> Table {
    let rates = &summary.throughput;
    let row = |name: &str, value: Cell, source: &str, meaning: &str| {
        let source = Cell { class: "source", ..Cell::text(source) };
        Row::new([Cell::text(name), value, source, Cell::text(meaning)])
    };
    let mpps = |field: &str, value| or_missing(summary, field, value, "Mpps");
    let mut forwarded = mpps("throughput.forwarded_mpps", rates.forwarded_mpps);
    if rates.at_least && rates.forwarded_mpps.is_some() {
        forwarded.text = format!("at least {}", forwarded.text);
    }
    let per_core = match &rates.mpps_per_core {
        Some(estimate) => Cell::number(figure::estimate(estimate, "Mpps")),
        None => Cell::text(missing(summary, "throughput.mpps_per_core")),
    };
    let (forwarded_sum, cycles) = cycles_per_packet(&summary.sut.cores);
    let busy = summary.sut.cores.iter().filter_map(|core| core.busy_share).reduce(f64::max);
    let loss = format!(
        "{} of {} ({})",
        figure::count(summary.ledger.lost),
        figure::count(sent(summary)),
        figure::percent_of(summary.ledger.lost, sent(summary))
    );
    let bound =
        rates.bound.map_or_else(|| missing(summary, "throughput.bound"), |b| bound_by(b).into());
    let traffic = format!(
        "{}, mean frame {} bytes ({})",
        figure::genome(&rates.genome),
        figure::significant(rates.mean_frame_bytes, 4),
        rates.layer
    );
    let held = figure::count(summary.connections.held_peak);
    let gbps = or_missing(summary, "throughput.forwarded_gbps", rates.forwarded_gbps, "Gbit/s");
    let p99 = or_missing(summary, "latency_us.p99", summary.latency_us.p99, "µs");
    let bytes = summary.sut.bytes_per_connection;
    let cycles_note = format!(
        "TSC cycles of steps that moved packets ÷ {} packets sent on",
        figure::count(forwarded_sum)
    );
    Table::new("Key figures", "").head(["figure", "value", "counted by", "meaning"]).rows([
        row("forwarded", forwarded, BLACK, "came back verified; both directions, each packet once"),
        row(
            "offered",
            mpps("throughput.offered_mpps", rates.offered_mpps),
            BLACK,
            "planned and sent",
        ),
        row("forwarded, bits", gbps, BLACK, &format!("at {}", rates.layer)),
        row("per SUT core", per_core, BLACK, "median of the trials, with its interval"),
        row(
            "limited by",
            Cell::text(bound),
            BLACK,
            "anything but the SUT makes the rate a lower bound",
        ),
        row("lost", Cell::number(loss), BLACK, "not back at the end of the drain, of those sent"),
        row("latency, 99 %", p99, BLACK, "from the planned instant to reception"),
        row("connections", Cell::number(held), BLACK, "most held at once"),
        row(
            "traffic",
            Cell::text(traffic),
            "scenario",
            "results of different mixes are never compared",
        ),
        row(
            "cycles per packet",
            or_missing(summary, "sut.cores.cycles_per_packet", cycles, "cycles"),
            WHITE,
            &cycles_note,
        ),
        row(
            "busiest core",
            share_or_missing(summary, "sut.cores.busy_share", busy),
            WHITE,
            "cycles of steps that moved packets ÷ all cycles",
        ),
        row(
            "memory per connection",
            or_missing(summary, "sut.bytes_per_connection", bytes, "bytes"),
            WHITE,
            "connection state ÷ connections at the peak",
        ),
    ])
}

/// Packets sent on and cycles per packet over all cores; no cycles if one core's are unknown.
pub(super) fn cycles_per_packet(cores: &[SutCore]) -> (u64, Option<f64>) {
    let forwarded = cores.iter().fold(0u64, |sum, core| sum.saturating_add(core.forwarded));
    let cycles: Option<f64> = cores
        .iter()
        .filter(|core| core.forwarded > 0)
        .map(|core| core.cycles_per_packet.map(|cycles| cycles * core.forwarded as f64))
        .sum();
    (forwarded, cycles.filter(|_| forwarded > 0).map(|cycles| cycles / forwarded as f64))
}

/// The tables after the plots; those without rows are left out.
pub(super) fn all(run: &Run, warnings: &[Warning]) -> Vec<Table> {
    let summary = &run.summary;
    let tables = [
        warnings_table(warnings),
        criteria(summary),
        ledger(summary),
        certificate(summary),
        latency(summary),
        trials(summary),
        connections(summary),
        recovery(summary),
        cores(summary),
        host(run),
        provenance(run),
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

fn warnings_table(warnings: &[Warning]) -> Table {
    Table::new("Warnings", "What to know before using the figures.")
        .head(["warning", "what", "remedy"])
        .rows(warnings.iter().map(|warning| {
            let (what, remedy) = warn::split_remedy(warning);
            let what = match &warning.field {
                Some(field) if !what.contains(field.as_str()) => format!("{what} ({field})"),
                _ => what.to_owned(),
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
                    "probes sent later than planned by more than a burst; doubtful above {}",
                    figure::percent(warn::LATE_SEND_SHARE_MAX)
                ),
            ),
            row(
                "rate error",
                share("rate_error", c.rate_error),
                "rate sent against rate planned; negative is too little".to_owned(),
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

fn latency(summary: &Summary) -> Table {
    let l = &summary.latency_us;
    let row = |name: &str, field: &str, value, meaning: &str| {
        let value = or_missing(summary, &format!("latency_us.{field}"), value, "µs");
        Row::new([Cell::text(name), value, Cell::text(meaning)])
    };
    Table::new(
        "Latency",
        "From the planned instant to reception, so that waiting for a late \
                           generator counts too (black-box).",
    )
    .head(["percentile", "value", "meaning"])
    .rows([
        row("smallest", "min", l.min, ""),
        row("50 %", "p50", l.p50, "median"),
        row("90 %", "p90", l.p90, ""),
        row("99 %", "p99", l.p99, ""),
        row("99.9 %", "p999", l.p999, "one packet in 1,000 is slower"),
        row("largest", "max", l.max, ""),
        row("PDV", "pdv", l.pdv, "packet delay variation: 99.9 % − smallest (RFC 8219)"),
    ])
}

fn trials(summary: &Summary) -> Table {
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

fn connections(summary: &Summary) -> Table {
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

fn recovery(summary: &Summary) -> Table {
    let value = |field: &str, value: Option<f64>| match value.filter(|value| value.is_finite()) {
        Some(value) => Cell::number(figure::significant(value, 3)),
        None => Cell::text(missing(summary, &format!("recovery_ms.{field}"))),
    };
    let rows = summary.recovery_ms.iter().map(|event| {
        let collateral = match event.collateral_lost {
            Some(lost) => Cell::number(figure::count(lost)),
            None => Cell::text(missing(summary, "recovery_ms.collateral_lost")),
        };
        Row::new([
            Cell::text(&event.event),
            value("blocked", event.blocked),
            value("p50", event.p50),
            value("p99", event.p99),
            value("max", event.max),
            value("resolution", event.resolution),
            value("first_rerouted", event.first_rerouted),
            collateral,
        ])
    });
    Table::new(
        "Recovery",
        "Milliseconds without connectivity, per event (black-box). No difference finer than the \
         resolution can be seen; collateral are packets lost on connections the event did not concern.",
    )
    .head(["event", "blocked", "p50", "p99", "max", "resolution", "first rerouted", "collateral"])
    .rows(rows)
}

fn cores(summary: &Summary) -> Table {
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
        format!(" Together they reach {efficiency} of the ideal; the best core is {imbalance} above the mean.")
    });
    Table::new(
        "SUT by core",
        format!("What {} counted itself (white-box).{balance}", summary.sut.kind),
    )
    .head(["server.core", "forwarded", "Mpps", "busy", "cycles per packet", "drops by reason"])
    .rows(rows)
}

fn host(run: &Run) -> Table {
    let host = &run.host;
    let row = |name: &str, value: Option<String>| {
        let value = value.unwrap_or_else(|| format!("{}: hidden by the host", figure::MISSING));
        Row::new([Cell::text(name), Cell::text(value)])
    };
    let list = |items: &Option<Vec<String>>| items.as_ref().map(|items| items.join("; "));
    let pages = host
        .page_sizes_bytes
        .as_ref()
        .map(|sizes| sizes.iter().map(|size| figure::bytes(*size)).collect::<Vec<_>>().join(", "));
    let smt = host.smt.map(|on| if on { "on" } else { "off" }.to_owned());
    let mhz = host.cpu_mhz.map(|mhz| format!("{} MHz", figure::significant(mhz, 4)));
    let counted = |value: Option<u32>| value.map(|value| figure::count(u64::from(value)));
    Table::new("Host", "Figures are comparable only between hosts that agree in these facts.")
        .head(["fact", "value"])
        .rows([
            row("name", host.name.clone()),
            row("CPU", host.cpu_model.clone()),
            row("logical CPUs", counted(host.cores)),
            row("frequency", mhz),
            row("TSC frequency", host.tsc_hz.map(|hz| format!("{} Hz", figure::count(hz)))),
            row("SMT", smt),
            row("governor", host.governor.clone()),
            row("memory", host.memory_bytes.map(figure::bytes)),
            row("page sizes", pages),
            row("transparent huge pages", host.thp.clone()),
            row("NUMA nodes", counted(host.numa_nodes)),
            row("virtualisation", host.virtualised.clone()),
            row("kernel", host.kernel.clone()),
            row("system", host.os.clone()),
            row("mitigations", list(&host.mitigations)),
            row("DPDK", host.dpdk.clone().or_else(|| Some("not linked".to_owned()))),
            row("compiler", host.rustc.clone()),
            row("build", host.build_flags.clone()),
        ])
}

fn provenance(run: &Run) -> Table {
    let r = &run.summary.run;
    let row = |name: &str, value: Cell| Row::new([Cell::text(name), value]);
    let git =
        r.git.clone().unwrap_or_else(|| format!("{}: not built in a repository", figure::MISSING));
    let command = format!("krono run scenario.toml --testbed {} --seed {}", r.testbed, r.seed);
    Table::new("Provenance", "The scenario and the resolved plan lie beside this page.")
        .head(["what", "value"])
        .rows([
            row("run", Cell::text(&r.id)),
            row("started", Cell::text(&r.started)),
            row("scenario", Cell::text(&r.scenario)),
            row("scenario hash", Cell::code(&r.scenario_hash)),
            row("plan hash", Cell::code(&r.plan_hash)),
            row("seed", Cell::code(r.seed.to_string())),
            row("testbed", Cell::text(&r.testbed)),
            row("git revision", Cell::code(git)),
            row("krono version", Cell::text(&r.version)),
            row("reproduce", Cell::code(command)),
        ])
}
