//! What on this host spoils a measurement, and the remedy for each.
//!
//! Looks and advises; it changes no setting, needs no privilege and takes a second, in which a thread on
//! each CPU looks how much of it is taken away. A fact that the host hides is said to be hidden:
//! it may be fine or not. Only what makes every run impossible is a failure.

mod cpu;
mod devices;
mod memory;
mod testbed;
mod watch;

use crate::exit::{Answer, Exit};
use crate::machine::Machine;
use crate::term::Colour;
use serde::Serialize;
use std::fmt::Write;

/// How a fact bears on a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// Figures suffer, or something that may matter cannot be seen.
    Warn,
    /// No run is possible.
    Fail,
}

impl Mark {
    fn word(self) -> (&'static str, Colour) {
        match self {
            Mark::Ok => ("ok", Colour::Green),
            Mark::Warn => ("warn", Colour::Yellow),
            Mark::Fail => ("fail", Colour::Red),
        }
    }
}

/// One fact and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Subject, in a word or two.
    pub name: &'static str,
    /// How it bears on a measurement.
    pub mark: Mark,
    /// The fact, and its effect where there is one.
    pub what: String,
    /// What to do about it; `null` where nothing needs doing.
    pub remedy: Option<String>,
    /// File of a run and key in it that hold the fact; `null` where none does.
    pub recorded: Option<&'static str>,
}

impl Finding {
    fn ok(name: &'static str, what: impl Into<String>) -> Finding {
        Finding { name, mark: Mark::Ok, what: what.into(), remedy: None, recorded: None }
    }

    fn warn(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            name,
            mark: Mark::Warn,
            what: what.into(),
            remedy: Some(remedy.into()),
            recorded: None,
        }
    }

    /// Names where a run records it.
    fn kept(self, place: &'static str) -> Finding {
        Finding { recorded: Some(place), ..self }
    }

    fn fail(name: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            name,
            mark: Mark::Fail,
            what: what.into(),
            remedy: Some(remedy.into()),
            recorded: None,
        }
    }
}

/// Everything there is to say about `machine`. Keeps its CPUs busy for a second.
pub fn examine(machine: &Machine) -> Vec<Finding> {
    let mut findings = watch::findings(machine);
    findings.extend(cpu::findings(machine));
    findings.extend(memory::findings(machine));
    findings.extend(testbed::findings(machine));
    findings.extend(devices::findings(machine));
    findings
}

/// The findings as text, one per line with the remedy below.
pub fn text(findings: &[Finding], colour: bool) -> Answer {
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { name, mark, what, remedy, recorded: _ } in findings {
        let (word, paint) = mark.word();
        let word = paint.paint(&format!("{word:<4}"), colour);
        let _ = writeln!(text, "{word}  {name:<width$}  {what}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "      {:width$}  remedy: {remedy}", "");
        }
    }
    let count = |mark| findings.iter().filter(|finding| finding.mark == mark).count();
    let verdict = match (count(Mark::Fail), count(Mark::Warn)) {
        (0, 0) => "Nothing here spoils a measurement.".to_owned(),
        (0, 1) => "Runs are possible; 1 thing may spoil their figures.".to_owned(),
        (0, warnings) => format!("Runs are possible; {warnings} things may spoil their figures."),
        _ => "No run is possible here.".to_owned(),
    };
    let _ = writeln!(text, "\n{verdict}");
    Answer { text, exit: exit(findings) }
}

/// The findings as one JSON object.
///
/// # Errors
/// None in practice: the object holds text and words alone.
pub fn json(findings: &[Finding]) -> serde_json::Result<Answer> {
    #[derive(Serialize)]
    struct Report<'a> {
        schema: &'static str,
        can_run: bool,
        findings: &'a [Finding],
    }
    let exit = exit(findings);
    let report = Report { schema: "krono.doctor/1", can_run: exit == Exit::Met, findings };
    Ok(Answer { text: serde_json::to_string_pretty(&report)? + "\n", exit })
}

fn exit(findings: &[Finding]) -> Exit {
    let failed = findings.iter().any(|finding| finding.mark == Mark::Fail);
    if failed { Exit::NotMet } else { Exit::Met }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Vec<Finding> {
        vec![Finding::ok("cpus", "4 CPUs"), Finding::warn("steal", "9 % stolen", "move away")]
    }

    #[test]
    fn each_finding_is_a_line_and_its_remedy_the_next() {
        let answer = text(&mixed(), false);
        let expected = "ok    cpus   4 CPUs\n\
                        warn  steal  9 % stolen\n             remedy: move away\n\n\
                        Runs are possible; 1 thing may spoil their figures.\n";
        assert_eq!((answer.text.as_str(), answer.exit), (expected, Exit::Met));
        assert!(text(&mixed(), true).text.contains("\u{1b}[33mwarn\u{1b}[0m  steal"));
    }

    #[test]
    fn only_a_failure_exits_with_1() {
        let mut findings = mixed();
        findings.push(Finding::fail("cpus", "1 CPU", "two"));
        assert_eq!(text(&findings, false).exit, Exit::NotMet);
        let answer = json(&findings).expect("text alone");
        let value: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        assert_eq!(answer.exit, Exit::NotMet);
        assert_eq!(value["can_run"], false);
        assert_eq!(value["findings"][1]["mark"], "warn");
        assert_eq!(value["findings"][0]["remedy"], serde_json::Value::Null);
    }

    #[test]
    fn a_machine_that_hides_everything_is_examined_too() {
        let (_root, machine) = crate::machine::tests::machine(&[]);
        let findings = examine(&machine);
        assert!(
            findings.iter().all(|finding| finding.mark != Mark::Fail || finding.name == "cpus")
        );
        assert!(findings.len() > 10, "{findings:?}");
    }
}
