//! What several runs say together: a table of all, rates with intervals, scale-up, outages, and
//! recovery against the detection time that was set.

use super::answer;
use super::recovery::outages_of;
use super::table::{Cell, Part, Row, Table};
use crate::comparable::Difference;
use crate::load::{Run, plan_of};
use crate::plot::detection::{self, Detected};
use crate::plot::outage::{self, Outages};
use crate::plot::runs::{self, Bar};
use crate::plot::{self, Plot};
use crate::{comparable, compare, figure};

/// The parts that open the page of several runs.
pub(super) fn parts(runs: &[Run]) -> Vec<Part> {
    let overview = Part::new(rates(runs), [overview(runs)]);
    let all = [Some(overview), scale(runs), outages(runs), detections(runs)];
    all.into_iter().flatten().collect()
}

/// Mpps per core of the runs that have one.
fn rates(runs: &[Run]) -> Option<Plot> {
    let bars = runs.iter().filter_map(|run| {
        let rates = &run.summary.throughput;
        let (name, at_least) = (run.summary.run.id.clone(), rates.at_least);
        Some(Bar { name, mpps: rates.mpps_per_core?, at_least })
    });
    runs::plot(&bars.collect::<Vec<_>>())
}

/// Why a run may not be set beside the first: what their summaries tell, and where their plans ask
/// for other traffic or phases. Cores may differ, and what follows from their number.
fn obstacles(first: &Run, run: &Run) -> Vec<String> {
    let mut found = comparable::obstacles(&first.summary, &run.summary);
    let plans = plan_of(first).zip(plan_of(run));
    let differences = plans.map(|(a, b)| comparable::plan_differences(&a, &b)).unwrap_or_default();
    let asked = |it: &&Difference| {
        ["plan.traffic.", "plan.phases."].iter().any(|keys| it.fact.starts_with(keys))
    };
    found.extend(differences.iter().filter(asked).map(ToString::to_string));
    found
}

/// Overview of several runs, each with why it cannot be compared with the first.
fn overview(runs: &[Run]) -> Table {
    let rows = runs.iter().enumerate().map(|(i, run)| {
        let summary = &run.summary;
        let rates = &summary.throughput;
        let least = if rates.at_least { "≥ " } else { "" };
        let mpps = |value: Option<f64>| match value {
            Some(value) => format!("{least}{}", figure::significant(value, 3)),
            None => figure::MISSING.to_owned(),
        };
        let interval = rates.mpps_per_core.as_ref().and_then(figure::interval);
        let obstacles = obstacles(&runs[0], run);
        let verdict = match (i, obstacles.is_empty()) {
            (0, _) => "the first".to_owned(),
            (_, true) => "comparable".to_owned(),
            (_, false) => format!("not comparable: {}", obstacles.join("; ")),
        };
        let validity = if summary.valid { ("valid", "good") } else { ("invalid", "bad") };
        Row::new([
            Cell::link(&summary.run.id, format!("#run-{}", i + 1)),
            Cell::number(figure::count(summary.sut.cores.len() as u64)),
            Cell::text(figure::genome(&rates.genome)),
            Cell::number(mpps(rates.forwarded_mpps)),
            Cell::number(mpps(rates.mpps_per_core.map(|estimate| estimate.value))),
            Cell::text(interval.unwrap_or_else(|| "none".to_owned())),
            Cell::number(figure::percent_of(summary.ledger.lost, answer::sent(summary))),
            Cell::of(validity.0, validity.1),
            Cell::text(verdict),
        ])
    });
    Table::new(
        "Runs on this page",
        "Figures of runs that are not comparable differ for reasons other than the system under test.",
    )
    .head([
        "run",
        "cores",
        "traffic",
        "forwarded (Mpps)",
        "per core (Mpps)",
        "interval per core",
        "lost",
        "validity",
        "beside the first run",
    ])
    .rows(rows)
}

/// Scale-up over the runs that may be compared with the first and have other numbers of cores.
fn scale(runs: &[Run]) -> Option<Part> {
    let first = runs.first()?;
    let beside = |run: &&Run| obstacles(first, run).is_empty();
    let curve = compare::scale::curve(runs.iter().filter(beside))?;
    let drawn = plot::scale::plot(&curve)?;
    Some(Part::new(Some(drawn), [steps("Scale-up", &curve)]))
}

/// A row for each number of cores.
pub(super) fn steps(title: &str, curve: &crate::scaling::Curve) -> Table {
    let number = |value: f64| Cell::number(figure::significant(value, 4));
    let rows = curve.steps.iter().map(|step| {
        let law = curve.usl.map(|usl| number(usl.mpps(step.cores as f64)));
        Row::new([
            Cell::number(step.cores.to_string()),
            number(step.mpps),
            number(step.ideal_mpps),
            Cell::number(figure::percent(step.efficiency)),
            law.unwrap_or_else(|| Cell::text(figure::MISSING)),
        ])
    });
    let note = compare::scale::sentences(curve).join("; ") + ".";
    Table::new(title.to_owned(), note)
        .head(["cores", "forwarded (Mpps)", "ideal (Mpps)", "efficiency", "law (Mpps)"])
        .rows(rows)
}

/// Outages of all runs in which something was injected, a curve each and one of all.
fn outages(runs: &[Run]) -> Option<Part> {
    let of: Vec<(&Run, Outages)> =
        runs.iter().map(|run| (run, outages_of(run))).filter(|(_, it)| it.count() > 0).collect();
    if of.len() < 2 {
        return None;
    }
    let all: Vec<Outages> = of.iter().map(|(_, outages)| outages.clone()).collect();
    let drawn = outage::plot(&all);
    let rows = of.iter().map(|(run, outages)| {
        let at = |share| match outages.quantile(share) {
            Some(ms) => Cell::number(figure::significant(ms, 3)),
            None => Cell::text("never came back"),
        };
        Row::new([
            Cell::text(&run.summary.run.id),
            Cell::number(figure::count(outages.count() as u64)),
            at(0.5),
            at(0.99),
            at(1.0),
            Cell::of(
                if run.summary.valid { "valid" } else { "invalid" },
                if run.summary.valid { "good" } else { "bad" },
            ),
        ])
    });
    let table = Table::new(
        "Time without service, by run",
        "Of the connections concerned, that is all but those kept, in ms (black-box). An invalid run \
         proves nothing; it is listed so that none is hidden.",
    )
    .head(["run", "connections", "50 % (ms)", "99 % (ms)", "all (ms)", "validity"])
    .rows(rows);
    Some(Part::new(drawn, [table]))
}

/// Recovery against the setting of BFD.
fn detections(runs: &[Run]) -> Option<Part> {
    let events: Vec<(&Run, &str, Detected)> = runs
        .iter()
        .filter_map(|run| Some((run, plan_of(run)?.network.detection_ns() as f64 / 1e6)))
        .flat_map(|(run, setting_ms)| {
            run.summary.recovery_ms.iter().filter_map(move |event| {
                // Who leaves in good order is not detected.
                event.detected?;
                let (median_ms, longest_ms) = event.p50.zip(event.max)?;
                Some((run, &event.event[..], Detected { setting_ms, median_ms, longest_ms }))
            })
        })
        .collect();
    let points: Vec<Detected> = events.iter().map(|(_, _, it)| it.clone()).collect();
    let drawn = detection::plot(&points)?;
    let ms = |value: f64| Cell::number(figure::significant(value, 3));
    let rows = events.iter().map(|(run, event, it)| {
        Row::new([
            Cell::text(&run.summary.run.id),
            Cell::text(*event),
            ms(it.setting_ms),
            ms(it.median_ms),
            ms(it.longest_ms),
        ])
    });
    let table = Table::new(
        "Recovery by detection time",
        "Detection time is what the setting of BFD allows at most, interval × multiplier; outages are \
         those of connections (black-box).",
    )
    .head(["run", "event", "detection (ms)", "median outage (ms)", "longest (ms)"])
    .rows(rows);
    Some(Part::new(Some(drawn), [table]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::Summary;

    const STORED: [&str; 2] = [
        include_str!("../../tests/stored/run/summary.json"),
        include_str!("../../tests/stored/run/plan.toml"),
    ];

    fn run(from: &str, to: &str) -> Run {
        let summary: Summary = serde_json::from_str(STORED[0]).expect("a summary");
        let plan = STORED[1].replace(from, to);
        Run { plan: Some(plan), ..Run::from_summary("run", summary) }
    }

    #[test]
    fn runs_of_other_connections_or_rates_are_not_set_beside_each_other() {
        let first = run("", "");
        assert_eq!(obstacles(&first, &run("sut_cores = 1", "sut_cores = 2")), [""; 0]);
        let fewer = run("connections = 1032192", "connections = 1000");
        let [why] = &obstacles(&first, &fewer)[..] else { panic!("one reason") };
        assert_eq!(why, "plan: traffic.connections differs (1032192 and 1000)");
        let slower = run("rate = \"max\"", "rate = { pps = 1000.0 }");
        assert!(obstacles(&first, &slower).iter().any(|why| why.contains("phases.steady")));
        assert!(scale(&[first, fewer]).is_none());
    }
}
