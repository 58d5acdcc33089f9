//! A figure of a run, by name: of its summary, or of what a program printed.

use super::list::OursEntry;
use super::workshop::{Left, Made};
use analysis::load::load;
use analysis::recovery::{balance, incidents};
use analysis::stats;
use format::Summary;
use format::summary::Recovery;
use serde_json::Value;
use std::path::Path;

/// A figure with its spread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) value: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    /// The system may be able to do more.
    pub(super) at_least: bool,
}

impl Found {
    fn exactly(value: f64) -> Found {
        Found { value, ..Found::default() }
    }
}

/// A figure of a run's summary.
///
/// # Errors
/// Why there is none, for the reader.
pub(super) fn of(made: &Made, metric: &str) -> Result<Found, String> {
    match left(made)? {
        Left::Summary(directory, summary) => of_summary(directory, summary, metric),
        Left::Lines(_) => Err(format!("run {} is of a program", made.run.name)),
    }
}

/// The figure that a piece of evidence asks for.
///
/// # Errors
/// As [`of`].
pub(super) fn asked(made: &Made, entry: &OursEntry) -> Result<Found, String> {
    match left(made)? {
        Left::Summary(directory, summary) => of_summary(directory, summary, &entry.metric),
        Left::Lines(lines) => {
            of_lines(lines, &entry.metric, entry.of.as_deref(), entry.over.as_deref())
        }
    }
}

fn left(made: &Made) -> Result<&Left, String> {
    let why = || match made.run.reasons.is_empty() {
        true => format!("run {} was not made", made.run.name),
        false => made.run.reasons.join("; "),
    };
    made.left.as_ref().ok_or_else(why)
}

fn of_summary(directory: &Path, summary: &Summary, metric: &str) -> Result<Found, String> {
    let value = match metric {
        "sut.ns_per_packet" => ns_per_packet(summary),
        "sut.mpps_per_core" => ns_per_packet(summary).map(|ns| 1e3 / ns),
        "recovery.survivor_load" => return survivor_load(directory).map(Found::exactly),
        _ => summary.metric(metric),
    };
    let value = value.filter(|value| value.is_finite()).ok_or_else(|| lacking(summary, metric))?;
    let mut found = Found::exactly(value);
    if let Some(estimate) = metric.strip_suffix(".value") {
        found.low = summary.metric(&format!("{estimate}.low"));
        found.high = summary.metric(&format!("{estimate}.high"));
    }
    let rate = metric.starts_with("throughput.") && metric != "throughput.trials.lost";
    found.at_least = rate && summary.throughput.at_least;
    Ok(found)
}

/// Why a value is `null`.
fn lacking(summary: &Summary, metric: &str) -> String {
    let said = summary.warnings.iter().find(|it| it.field.as_deref() == Some(metric));
    said.map_or_else(|| format!("the run has no {metric}"), |warning| warning.message.clone())
}

/// Time of steps that moved packets ÷ packets sent on, all cores of the SUT together (white-box).
fn ns_per_packet(summary: &Summary) -> Option<f64> {
    let hz = summary.host.tsc_hz.filter(|&hz| hz > 0)? as f64;
    let (mut cycles, mut packets) = (0.0, 0.0);
    for core in &summary.sut.cores {
        let sent = core.forwarded as f64;
        cycles += core.cycles_per_packet? * sent;
        packets += sent;
    }
    (packets > 0.0).then(|| cycles / packets / hz * 1e9)
}

/// What the busiest core that lived on sent after the first event ÷ what it sent before.
fn survivor_load(directory: &Path) -> Result<f64, String> {
    let run = load(directory).map_err(|error| error.to_string())?;
    let incident = incidents(&run).into_iter().next().ok_or("nothing was done to the SUT")?;
    let dead =
        |figures: &Recovery, server: u16| figures.event.contains(&format!("server[{server}]"));
    let cores = balance(&incident, &run.samples).into_iter();
    let cores = cores.filter(|core| !dead(&incident.figures, core.server));
    let shares = cores.filter_map(|core| {
        let (before, after) = core.before_mpps.zip(core.after_mpps)?;
        (before > 0.0).then(|| after / before)
    });
    shares
        .reduce(f64::max)
        .ok_or_else(|| "no core has samples before and after the event".to_owned())
}

/// Median, least and greatest of the rounds of a program; of two objects, of their ratios in each.
fn of_lines(
    lines: &[Value],
    metric: &str,
    of: Option<&str>,
    over: Option<&str>,
) -> Result<Found, String> {
    let figures = |name: Option<&str>| -> Result<Vec<f64>, String> {
        let line = lines.iter().find(|line| match name {
            Some(name) => line["table"] == name,
            None => !line[metric].is_null(),
        });
        let missing = lines.iter().find_map(|line| line["missing"].as_str());
        let what = name.unwrap_or("what the program printed");
        let line =
            line.ok_or_else(|| missing.unwrap_or(&format!("nothing of {what}")).to_owned())?;
        let list = line[metric].as_array().cloned().unwrap_or_else(|| vec![line[metric].clone()]);
        let numbers: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
        numbers.ok_or_else(|| format!("{what} has no {metric}"))
    };
    let mut values = figures(of)?;
    if let Some(over) = over {
        let by = figures(Some(over))?;
        if by.len() != values.len() {
            return Err(format!("{over} has other rounds"));
        }
        values = values.iter().zip(by).map(|(value, by)| value / by).collect();
    }
    values.sort_by(f64::total_cmp);
    let value = stats::median(&values).ok_or_else(|| format!("no rounds of {metric}"))?;
    let (low, high) = (values.first().copied(), values.last().copied());
    Ok(Found { value, low, high, at_least: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ratios_are_of_figures_of_one_round() {
        let lines = [
            json!({ "table": "ours", "mops": [30.0, 80.0, 60.0] }),
            json!({ "table": "theirs", "mops": [10.0, 40.0, 20.0] }),
            json!({ "missing": "no DPDK" }),
        ];
        let found = of_lines(&lines, "mops", Some("ours"), None).expect("there");
        assert_eq!((found.value, found.low, found.high), (60.0, Some(30.0), Some(80.0)));
        let ratio = of_lines(&lines, "mops", Some("ours"), Some("theirs")).expect("there");
        assert_eq!((ratio.value, ratio.low, ratio.high), (3.0, Some(2.0), Some(3.0)));
        let none = of_lines(&lines, "mops", Some("other"), None).expect_err("not there");
        assert_eq!(none, "no DPDK");
        assert!(of_lines(&lines, "mips", Some("ours"), None).is_err());
    }
}
