//! A suite on a terminal, in the layout of its RFC: a table per test.

use analysis::figure;
use comfy_table::{CellAlignment, Table, presets};
use format::suite::{
    DelaySize, EventSpread, FrameSize, Policy, Results, Searched, Settings, Spread, Stateful,
    Suite, Tcp,
};
use format::summary::{Bound, Found};
use std::fmt::Write;

/// The suite in words and tables.
pub(super) fn text(suite: &Suite) -> String {
    let mut text = format!("{}: {}\n\n", suite.suite, suite.run.question);
    let valid = if suite.valid { "valid" } else { "invalid" };
    let made = figure::plural(suite.trials.len(), "trial");
    let again = suite.trials.iter().filter(|trial| !trial.valid).count();
    let _ = writeln!(text, "  {valid}, {made}, {again} of them invalid");
    for reason in &suite.invalid_reasons {
        let _ = writeln!(text, "  {reason}");
    }
    let _ = writeln!(text, "  {}", rules(suite));
    let _ = writeln!(text, "  {}", suite.settings.durations);
    let limits: Vec<String> =
        suite.limits.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let _ = writeln!(text, "  {}", limits.join(", "));
    let host = &suite.host;
    let cpu = host.cpu_model.as_deref().unwrap_or(figure::MISSING);
    let _ = writeln!(text, "  {cpu}, testbed {}, seed {}", suite.run.testbed, suite.run.seed);
    for (title, table) in tables(&suite.results) {
        let _ = write!(text, "\n{title}\n\n{table}\n");
    }
    text
}

fn rules(suite: &Suite) -> String {
    let settings = &suite.settings;
    if matches!(suite.results, Results::Failover(_)) {
        return format!(
            "preset {}: {} runs of the scenario",
            settings.preset, settings.repetitions
        );
    }
    let Settings { trial_s, sum_s, loss_ratio, exceed_ratio, width, repetitions, .. } = settings;
    format!(
        "preset {}: trials of {trial_s} s, {sum_s} s a load, loss up to {}, in {} of the time; width \
         {}, {repetitions} repetitions",
        settings.preset,
        figure::percent(*loss_ratio),
        figure::percent(*exceed_ratio),
        figure::percent(*width),
    )
}

type Titled = (String, Table);

fn tables(results: &Results) -> Vec<Titled> {
    match results {
        Results::Rfc2544(sizes) => rfc2544(sizes),
        Results::Rfc8219(sizes) => rfc8219(sizes),
        Results::Rfc9693(found) => rfc9693(found),
        Results::Rfc9411(found) => rfc9411(found),
        Results::Failover(events) => failover(events),
    }
}

/// A table whose columns are aligned right but for the first.
fn table(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| figure::significant(value, digits))
}

fn whole(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| figure::count(value.round() as u64))
}

fn bound(found: &Found) -> &'static str {
    match found.bound {
        Some(Bound::Sut) => "sut",
        Some(Bound::Generator) => "generator",
        Some(Bound::Link) => "link",
        None => "-",
    }
}

fn at_least(text: String, at_least: bool) -> String {
    if at_least && text != "-" { format!("at least {text}") } else { text }
}

/// A throughput: bounds, what came through, and what limited it.
fn bounds(found: &Found, mean_frame_bytes: f64) -> Vec<String> {
    let pps = |mpps: Option<f64>| whole(mpps.map(|mpps| mpps * 1e6));
    // RFC 2544 section 26.1 asks for the bit rate beside it: here at L1, with preamble and gap.
    let gbps = found.lower_mpps.map(|mpps| mpps * (mean_frame_bytes + 20.0) * 8.0 / 1e3);
    vec![
        at_least(pps(found.lower_mpps), found.at_least),
        pps(found.upper_mpps),
        pps(found.conditional_mpps),
        number(gbps, 4),
        bound(found).to_owned(),
        if found.regular { "regular" } else { "irregular" }.to_owned(),
    ]
}

fn rfc2544(sizes: &[FrameSize]) -> Vec<Titled> {
    let mut tables = Vec::new();
    let header = [
        "frame bytes",
        "max offered pps",
        "MRR pps",
        "passes pps",
        "fails pps",
        "through pps",
        "Gbit/s (L1)",
        "bound",
        "bounds",
    ];
    let rows = |of: fn(&FrameSize) -> Option<&Found>| {
        let row = |size: &FrameSize| {
            let mut row =
                vec![size.frame.clone(), whole(Some(size.rate_max_pps)), whole(size.mrr_pps)];
            row.extend(bounds(of(size)?, size.mean_frame_bytes));
            Some(row)
        };
        sizes.iter().filter_map(row).collect::<Vec<_>>()
    };
    let throughput = rows(|size| size.throughput.as_ref());
    tables.push(("Throughput (RFC 2544 section 26.1)".to_owned(), table(&header, throughput)));
    let pdr = rows(|size| size.pdr.as_ref());
    if !pdr.is_empty() {
        tables.push(("Throughput with at most 0.5 % loss".to_owned(), table(&header, pdr)));
    }
    tables.extend(latency(sizes));
    tables.extend(frame_loss(sizes));
    tables.extend(back_to_back(sizes));
    tables
}

fn latency(sizes: &[FrameSize]) -> Option<Titled> {
    let rows: Vec<Vec<String>> = sizes
        .iter()
        .filter_map(|size| {
            let it = size.latency.as_ref()?;
            let rate = of_throughput(it.rate_pps, it.throughput_share);
            let mut row = vec![size.frame.clone(), rate, number(it.mean_us, 3)];
            row.extend(spread(&it.typical_us, 3));
            row.extend([number(it.worst_us.median, 3), number(it.worst_us.max, 3)]);
            Some(row)
        })
        .collect();
    let header =
        ["frame bytes", "rate pps", "mean us", "median us", "p1", "p99", "99.9 % us", "largest"];
    let title = "Latency at the throughput (section 26.2)";
    (!rows.is_empty()).then(|| (title.to_owned(), table(&header, rows)))
}

fn frame_loss(sizes: &[FrameSize]) -> Option<Titled> {
    let percents: Vec<u32> = (1..=10).rev().map(|step| step * 10).collect();
    let row = |size: &FrameSize| {
        let at = |percent: &u32| {
            let point = size.frame_loss.iter().find(|it| it.percent == f64::from(*percent));
            point.map_or("-".to_owned(), |it| figure::trimmed(it.loss_percent, 3))
        };
        std::iter::once(size.frame.clone()).chain(percents.iter().map(at)).collect()
    };
    let mut header = vec!["frame bytes".to_owned()];
    header.extend(percents.iter().map(|percent| format!("{percent} %")));
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let title = "Frame loss rate in percent, by rate offered (section 26.3)";
    let some = sizes.iter().any(|size| !size.frame_loss.is_empty());
    some.then(|| (title.to_owned(), table(&header, sizes.iter().map(row).collect())))
}

fn back_to_back(sizes: &[FrameSize]) -> Option<Titled> {
    let rows: Vec<Vec<String>> = sizes
        .iter()
        .filter_map(|size| {
            let it = size.back_to_back.as_ref()?;
            let us = |seconds: Option<f64>| number(seconds.map(|s| s * 1e6), 4);
            Some(vec![
                size.frame.clone(),
                whole(Some(it.rate_pps)),
                it.frames.values.len().to_string(),
                at_least(whole(it.mean_frames), it.at_least),
                number(it.stdev_frames, 3),
                whole(it.frames.min),
                whole(it.frames.max),
                us(it.buffer_s),
                us(it.corrected_buffer_s),
            ])
        })
        .collect();
    let header = [
        "frame bytes",
        "rate pps",
        "bursts",
        "mean frames",
        "stdev",
        "min",
        "max",
        "buffer us",
        "corrected us",
    ];
    let title = "Back-to-back frames (section 26.4, RFC 9004)";
    (!rows.is_empty()).then(|| (title.to_owned(), table(&header, rows)))
}

/// A rate at which times are measured, with its share of the throughput where that is not all of it.
fn of_throughput(rate_pps: f64, share: f64) -> String {
    let rate = whole(Some(rate_pps));
    if share < 1.0 { format!("{rate} ({})", figure::percent(share)) } else { rate }
}

/// Median, 1st and 99th percentile.
fn spread(spread: &Spread, digits: usize) -> [String; 3] {
    [spread.median, spread.p1, spread.p99].map(|value| number(value, digits))
}

fn rfc8219(sizes: &[DelaySize]) -> Vec<Titled> {
    let row = |size: &DelaySize| {
        let timed = size.rate_pps.zip(size.throughput_share);
        let rate = timed.map_or("-".to_owned(), |(pps, share)| of_throughput(pps, share));
        let mut row = vec![size.frame.clone(), rate];
        for of in [&size.typical_us, &size.worst_us, &size.pdv_us] {
            row.extend(spread(of, 3));
        }
        row
    };
    let header = [
        "frame bytes",
        "rate pps",
        "typical us",
        "p1",
        "p99",
        "worst us",
        "p1",
        "p99",
        "PDV us",
        "p1",
        "p99",
    ];
    let title = "Latency and packet delay variation at the throughput (RFC 8219 section 7)";
    vec![(title.to_owned(), table(&header, sizes.iter().map(row).collect()))]
}

/// A value searched for several times.
fn found(name: &str, unit: &str, of: &Searched) -> Vec<String> {
    vec![
        name.to_owned(),
        at_least(whole(of.found.median), of.at_least),
        whole(of.found.p1),
        whole(of.found.p99),
        of.found.values.len().to_string(),
        of.error.map_or("-".to_owned(), figure::percent),
        unit.to_owned(),
    ]
}

const FOUND: [&str; 7] = ["", "median", "p1", "p99", "repetitions", "search error", "unit"];

fn rfc9693(result: &Stateful) -> Vec<Titled> {
    let connections = figure::count(result.connections);
    let name = format!("establishment, {connections} connections");
    let mut rows = vec![found(&name, "1/s, validated", &result.establishment_per_s)];
    for it in &result.teardown {
        let name = format!("tear-down, {} connections", figure::count(it.connections));
        rows.push(found(&name, "1/s", &it.per_s));
    }
    if let Some(capacity) = &result.capacity {
        rows.push(found("capacity", "connections, validated", capacity));
    }
    let mut tables = vec![("Connections (RFC 9693)".to_owned(), table(&FOUND, rows))];
    let mut more = Vec::new();
    if let Some(per_s) = result.generator_per_s {
        let what = format!("{} connections a second", whole(Some(per_s)));
        more.push(vec!["generator alone".to_owned(), what]);
    }
    if let Some(over) = &result.overflow {
        let policy = match over.policy {
            Policy::Refuse => "refuses new connections",
            Policy::Evict => "evicts old connections",
            Policy::Collapse => "collapses",
        };
        let [asked, established, alive] =
            [over.asked, over.established, over.alive].map(figure::count);
        let what = format!("{policy}: {asked} asked, {established} established, {alive} alive");
        more.push(vec!["beyond capacity".to_owned(), what]);
    }
    let mut beside = table(&["", ""], more);
    if let Some(column) = beside.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Left);
    }
    tables.push(("Beside it".to_owned(), beside));
    tables
}

fn rfc9411(result: &Tcp) -> Vec<Titled> {
    let rows = vec![
        found("TCP connections per second", "1/s", &result.connections_per_s),
        found("concurrent TCP connections", "connections", &result.concurrent),
    ];
    let title = "TCP (RFC 9411), failed at most";
    let failed = figure::percent(result.failed_share_max);
    let mut tables = vec![(format!("{title} {failed}"), table(&FOUND, rows))];
    if let Some(throughput) = &result.throughput {
        let pps = |mpps: Option<f64>| whole(mpps.map(|mpps| mpps * 1e6));
        let row = vec![
            at_least(pps(throughput.lower_mpps), throughput.at_least),
            pps(throughput.upper_mpps),
            bound(throughput).to_owned(),
            pps(result.reference_mpps),
        ];
        let header = ["passes pps", "fails pps", "bound", "without the SUT pps, a core"];
        tables.push(("Throughput over TCP".to_owned(), table(&header, vec![row])));
    }
    tables
}

fn failover(events: &[EventSpread]) -> Vec<Titled> {
    events
        .iter()
        .map(|event| {
            // A run that has no such figure, because the rate never came back, is in none of them.
            let row = |name: &str, of: &Spread| {
                let mut row = vec![name.to_owned(), of.values.len().to_string()];
                let values = [of.min, of.median, of.p99, of.max];
                row.extend(values.map(|it| it.map_or("-".to_owned(), |it| figure::trimmed(it, 4))));
                row
            };
            let rows = vec![
                row("blocked, ms (RFC 6201)", &event.blocked_ms),
                row("longest outage, ms", &event.longest_ms),
                row("detected after, ms", &event.detected_ms),
                row("back at rate after, ms", &event.back_at_rate_ms),
                row("connections lost", &event.connections_lost),
                row("packets lost elsewhere", &event.collateral_lost),
            ];
            let title =
                format!("{}: {} runs valid, {} not", event.event, event.valid, event.invalid);
            (title, table(&["", "runs", "min", "median", "p99", "max"], rows))
        })
        .collect()
}
