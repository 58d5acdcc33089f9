//! What a suite has done so far, a line per trial: `trials.jsonl`.
//!
//! Searches are pure, so a suite that was killed asks the same questions again; those that are
//! answered here are not measured twice. Only a suite of the same scenario, rules and seed may go on.

use crate::cli;
use crate::exit::Refusal;
use crate::rundir::RunDir;
use crate::suite::settings::Rules;
use crate::testbed::{Reference, References};
use anyhow::Context;
use format::Plan;
use format::suite::Trial;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

const NAME: &str = "trials.jsonl";
const IDENTITY: &str = "state.json";

/// What makes two suites the same.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Identity {
    suite: String,
    scenario_hash: String,
    plan_hash: String,
    rules: Rules,
}

impl Identity {
    pub(super) fn of(args: &cli::Suite, plan: &Plan, rules: &Rules) -> Identity {
        Identity {
            suite: args.name.to_string(),
            scenario_hash: plan.scenario_hash.clone(),
            plan_hash: plan.hash(),
            rules: rules.clone(),
        }
    }

    /// Marks `directory` as this suite's, or says why it is not, if it is to go on there.
    pub(super) fn claim(
        &self,
        directory: &RunDir,
        resume: bool,
        scenario: &str,
    ) -> anyhow::Result<()> {
        let path = directory.path().join(IDENTITY);
        if resume {
            let refuse = |why: &str| Refusal::Usage(format!("{}: {why}", path.display()));
            let text = std::fs::read_to_string(&path).map_err(|e| refuse(&e.to_string()))?;
            if text != crate::run::pretty(self)? {
                let why = "another suite, or the same with another scenario, seed or rules";
                return Err(refuse(why).into());
            }
            return Ok(());
        }
        directory.write("scenario.toml", scenario.as_bytes())?;
        directory.write(IDENTITY, crate::run::pretty(self)?.as_bytes())?;
        Ok(())
    }
}

/// References as a line has them.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    key: String,
    wire_mpps: Option<f64>,
    forwarder_mpps: Option<f64>,
    forwarder_cycles_per_packet: Option<f64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Trial(Box<Trial>),
    References(Known),
}

/// The trials made, of this start and of earlier ones.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    trials: Vec<Trial>,
    references: BTreeMap<String, References>,
}

impl Journal {
    /// Opens the journal of a directory and reads what is there. A line that was cut off when the
    /// suite was killed ends it.
    pub(super) fn open(directory: &RunDir) -> anyhow::Result<Journal> {
        let path = directory.path().join(NAME);
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let (mut trials, mut references, mut whole) = (Vec::new(), BTreeMap::new(), 0);
        for line in there.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            match serde_json::from_str(line) {
                Ok(Line::Trial(trial)) => trials.push(*trial),
                Ok(Line::References(known)) => {
                    let reference = |mpps: Option<f64>, cycles_per_packet| {
                        mpps.map(|mpps| Reference { mpps, cycles_per_packet })
                    };
                    let forwarder =
                        reference(known.forwarder_mpps, known.forwarder_cycles_per_packet);
                    let wire = reference(known.wire_mpps, None);
                    let calibration = None;
                    references.insert(known.key, References { wire, forwarder, calibration });
                }
                Err(_) => break,
            }
            whole += line.len() as u64;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(&path);
        let file = file.with_context(|| path.display().to_string())?;
        file.set_len(whole).with_context(|| path.display().to_string())?;
        Ok(Journal { path, file, trials, references })
    }

    /// The valid trial of a question, and how many attempts at it were invalid.
    pub(super) fn answer(&self, key: &str) -> (Option<&Trial>, u32) {
        let of = || self.trials.iter().filter(|trial| trial.key == key);
        let invalid = of().filter(|trial| !trial.valid).count();
        (of().find(|trial| trial.valid), invalid as u32)
    }

    /// The first trial of a question, valid or not.
    pub(super) fn any(&self, key: &str) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.key == key)
    }

    /// References that are known.
    pub(super) fn references(&self, key: &str) -> Option<References> {
        self.references.get(key).copied()
    }

    pub(super) fn note(&mut self, trial: Trial) -> anyhow::Result<()> {
        self.append(&Line::Trial(Box::new(trial.clone())))?;
        self.trials.push(trial);
        Ok(())
    }

    pub(super) fn note_references(&mut self, key: &str, known: References) -> anyhow::Result<()> {
        self.append(&Line::References(Known {
            key: key.to_owned(),
            wire_mpps: known.wire.map(|it| it.mpps),
            forwarder_mpps: known.forwarder.map(|it| it.mpps),
            forwarder_cycles_per_packet: known.forwarder.and_then(|it| it.cycles_per_packet),
        }))?;
        self.references.insert(key.to_owned(), known);
        Ok(())
    }

    fn append(&mut self, line: &Line) -> anyhow::Result<()> {
        let text = serde_json::to_string(line)? + "\n";
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.with_context(|| self.path.display().to_string())
    }

    pub(super) fn into_trials(self) -> Vec<Trial> {
        self.trials
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::summary::Latency;

    fn trial(key: &str, valid: bool) -> Trial {
        Trial {
            key: key.to_owned(),
            run: "trials/0001".to_owned(),
            attempt: 1,
            valid,
            invalid_reasons: Vec::new(),
            pass_met: true,
            bound: None,
            latency_us: Latency { p50: Some(0.1 + 0.2), ..Latency::default() },
            latency_error_us: None,
            phases: Vec::new(),
            recovery_ms: Vec::new(),
        }
    }

    #[test]
    fn what_was_answered_is_remembered_and_a_line_cut_off_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = RunDir::named(folder.path()).expect("empty");
        let mut journal = Journal::open(&directory).expect("opened");
        journal.note(trial("a", false)).expect("noted");
        journal.note(trial("a", true)).expect("noted");
        let forwarder = Some(Reference { mpps: 12.3, cycles_per_packet: Some(40.0) });
        let known = References { wire: None, forwarder, calibration: None };
        journal.note_references("64", known).expect("noted");
        drop(journal);
        let path = folder.path().join(NAME);
        let whole = std::fs::read(&path).expect("there");
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"{\"trial\":{\"key\":\"b\",").expect("written");
        let mut again = Journal::open(&directory).expect("opened");
        assert_eq!(std::fs::read(&path).expect("there"), whole);
        assert_eq!(again.answer("a"), (Some(&trial("a", true)), 1));
        assert_eq!((again.answer("b"), again.references("64")), ((None, 0), Some(known)));
        again.note(trial("b", true)).expect("noted");
        assert_eq!(Journal::open(&directory).expect("opened").into_trials().len(), 3);
    }
}
