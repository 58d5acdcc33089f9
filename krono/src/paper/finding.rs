//! From runs to what stands beside a claim: value, spread, verdict, and what a reader must know.

use super::list::{ClaimEntry, OursEntry};
use super::metric::{self, Found};
use super::workshop::{All, Left, Made};
use analysis::scaling;
use format::paper::{Claim, Evidence, Figure, Kind, Point, Sense, Verdict};

/// Rate per core of the largest run of a curve ÷ that of the smallest.
const EFFICIENCY: &str = "scale.efficiency";

/// A claim with what was found.
pub(super) fn claim(entry: &ClaimEntry, all: &All) -> Claim {
    Claim {
        id: entry.id.clone(),
        title: entry.title.clone(),
        source: entry.source.clone(),
        says: entry.says.clone(),
        ours: entry.ours.iter().map(|ours| evidence(entry, ours, all)).collect(),
    }
}

fn evidence(claim: &ClaimEntry, ours: &OursEntry, all: &All) -> Evidence {
    // What has a unit of its own is not what the claim's figure is of.
    let theirs = match (ours.kind, ours.unit.as_str()) {
        (Kind::Untested, _) => None,
        (_, "") => ours.figure.clone().or_else(|| claim.figure.clone()),
        _ => ours.figure.clone(),
    };
    let mut evidence = Evidence {
        kind: ours.kind,
        what: ours.what.clone(),
        unit: unit(ours, theirs.as_ref()),
        theirs,
        value: None,
        low: None,
        high: None,
        at_least: false,
        runs: ours.sources().cloned().collect(),
        metric: ours.metric.clone(),
        model: ours.model.clone(),
        verdict: Verdict::NoFigure,
        notes: ours.note.iter().cloned().collect(),
        curve: Vec::new(),
    };
    if ours.kind == Kind::Untested {
        return evidence;
    }
    let made: Vec<&Made> = ours.sources().filter_map(|name| all.get(name)).collect();
    if made.len() < ours.sources().count() {
        evidence.notes.push("a run that it is taken from was not made".to_owned());
        return evidence;
    }
    match found(ours, &made, &mut evidence.curve) {
        Ok(found) => fill(&mut evidence, found, ours.times.unwrap_or(1.0), &made),
        Err(why) => evidence.notes.push(why),
    }
    evidence
}

/// The unit of ours, where it is not told that of theirs.
fn unit(ours: &OursEntry, theirs: Option<&Figure>) -> String {
    match ours.unit.is_empty() {
        true => theirs.map(|figure| figure.unit.clone()).unwrap_or_default(),
        false => ours.unit.clone(),
    }
}

fn found(ours: &OursEntry, made: &[&Made], curve: &mut Vec<Point>) -> Result<Found, String> {
    if ours.metric != EFFICIENCY {
        let made = made.first().ok_or("no run is named")?;
        return metric::asked(made, ours);
    }
    for run in made {
        curve.push(point(run)?);
    }
    let points: Vec<(usize, f64, bool)> =
        curve.iter().map(|it| (it.cores as usize, it.mpps, it.at_least)).collect();
    Ok(Found { value: efficiency(&points)?, ..Found::default() })
}

/// Rate per core of the largest run ÷ that of the smallest, of runs given as (cores, Mpps, lower
/// bound?). Where one of the two is a bound there is none, and that of others is not what was asked.
fn efficiency(points: &[(usize, f64, bool)]) -> Result<f64, String> {
    let scale = scaling::curve(points).ok_or("two numbers of cores with a rate are needed")?;
    let (first, last) = scale.steps.first().zip(scale.steps.last()).ok_or("no rate")?;
    let ends = first.cores..=last.cores;
    if let Some((cores, _)) = scale.bounds.iter().find(|(cores, _)| !ends.contains(cores)) {
        return Err(format!("of {cores} cores there is only a lower bound of the rate"));
    }
    Ok(last.efficiency)
}

fn point(made: &Made) -> Result<Point, String> {
    let rate = metric::of(made, "throughput.forwarded_mpps")?;
    match &made.left {
        Some(Left::Summary(_, summary)) => Ok(Point {
            cores: summary.sut.cores.len() as u64,
            mpps: rate.value,
            at_least: rate.at_least,
        }),
        _ => Err(format!("run {} has no cores", made.run.name)),
    }
}

fn fill(evidence: &mut Evidence, found: Found, times: f64, made: &[&Made]) {
    let scaled = |value: Option<f64>| value.map(|value| value * times);
    evidence.value = Some(found.value * times);
    (evidence.low, evidence.high) = (scaled(found.low), scaled(found.high));
    evidence.at_least = found.at_least;
    let invalid = made.iter().filter(|it| it.run.valid == Some(false));
    let reasons: Vec<String> = invalid.flat_map(|it| it.run.reasons.clone()).collect();
    evidence.verdict = match reasons.is_empty() {
        false => Verdict::Invalid,
        true => verdict(evidence.theirs.as_ref(), found.value * times, found.at_least),
    };
    evidence.notes.extend(reasons);
}

/// Whether a value is what is asked. A lower bound that is high enough is enough.
fn verdict(theirs: Option<&Figure>, value: f64, at_least: bool) -> Verdict {
    let Some(figure) = theirs else { return Verdict::Told };
    let holds = match figure.sense {
        Sense::AtLeast => value >= figure.value,
        Sense::AtMost => value <= figure.value,
    };
    match (holds, figure.sense, at_least) {
        (true, Sense::AtMost, true) | (false, Sense::AtLeast, true) => Verdict::NotShown,
        (true, ..) => Verdict::Met,
        (false, ..) => Verdict::NotMet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::paper::Run;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn a_lower_bound_shows_what_it_reaches_and_denies_nothing() {
        let asked = |sense| Figure { value: 6.4, unit: "Mpps".to_owned(), sense };
        for (sense, value, at_least, expected) in [
            (Sense::AtLeast, 7.0, false, Verdict::Met),
            (Sense::AtLeast, 7.0, true, Verdict::Met),
            (Sense::AtLeast, 6.0, false, Verdict::NotMet),
            (Sense::AtLeast, 6.0, true, Verdict::NotShown),
            (Sense::AtMost, 6.0, false, Verdict::Met),
            (Sense::AtMost, 7.0, false, Verdict::NotMet),
        ] {
            assert_eq!(verdict(Some(&asked(sense)), value, at_least), expected, "{value}");
        }
        assert_eq!(verdict(None, 1.0, false), Verdict::Told);
    }

    fn made(valid: Option<bool>) -> Made {
        let run = Run {
            name: "table".to_owned(),
            command: String::new(),
            testbed: "program".to_owned(),
            directory: None,
            seconds: 1.0,
            attempts: 1,
            valid,
            reasons: vec!["a reason".to_owned()],
            warnings: Vec::new(),
            taken: Vec::new(),
        };
        let lines = vec![json!({ "table": "ours", "mops": [30.0, 40.0] })];
        Made { run, left: valid.map(|_| Left::Lines(lines)) }
    }

    fn entry(kind: &str, more: &str) -> ClaimEntry {
        let text = format!(
            "id = \"c\"\ntitle = \"t\"\nsource = \"s\"\nsays = \"w\"\n\
             figure = {{ value = 450, unit = \"M/s\", sense = \"at-least\" }}\n\
             ours = [{{ kind = \"{kind}\", what = \"x\", run = \"table\", of = \"ours\", metric = \
             \"mops\"{more} }}]\n"
        );
        toml::from_str(&text).expect("a claim")
    }

    #[test]
    fn an_extrapolation_is_the_measured_figure_times_what_it_says() {
        let entry = entry("extrapolated", ", times = 18, model = \"linear\"");
        let all: All = BTreeMap::from([("table".to_owned(), made(Some(true)))]);
        let claim = claim(&entry, &all);
        let [ours] = &claim.ours[..] else { panic!("one") };
        assert_eq!((ours.value, ours.low, ours.high), (Some(630.0), Some(540.0), Some(720.0)));
        assert_eq!((ours.verdict, ours.unit.as_str()), (Verdict::Met, "M/s"));
        assert_eq!(ours.model.as_deref(), Some("linear"));
    }

    #[test]
    fn an_efficiency_is_of_the_largest_run_or_of_none() {
        let runs = [(1, 10.0, false), (2, 19.0, false), (4, 36.0, false)];
        assert_eq!(efficiency(&runs), Ok(0.9));
        let [one, two, four] = runs;
        assert_eq!(efficiency(&[one, (2, 19.0, true), four]), Ok(0.9));
        for bound in [[one, two, (4, 36.0, true)], [(1, 10.0, true), two, four]] {
            assert!(efficiency(&bound).is_err_and(|why| why.contains("lower bound")), "{bound:?}");
        }
    }

    #[test]
    fn what_was_not_made_or_is_invalid_has_no_verdict() {
        let entry = entry("measured", "");
        for (valid, verdict) in [(None, Verdict::NoFigure), (Some(false), Verdict::Invalid)] {
            let all: All = BTreeMap::from([("table".to_owned(), made(valid))]);
            let ours = claim(&entry, &all).ours.remove(0);
            assert_eq!((ours.verdict, ours.notes), (verdict, vec!["a reason".to_owned()]));
            assert_eq!(ours.value.is_some(), valid.is_some());
        }
        let ours = claim(&entry, &All::new()).ours.remove(0);
        assert_eq!(ours.verdict, Verdict::NoFigure);
    }
}
