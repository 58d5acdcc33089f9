//! Where the trials of a suite are made: each a run of its own, repeated while it is invalid.

use super::journal::Journal;
use super::trial::{self, Judge};
use crate::cli::ScenarioArgs;
use crate::exit::Refusal;
use crate::live::Live;
use crate::run::{self, Setting};
use crate::rundir::RunDir;
use crate::scenario::{self, Loaded};
use crate::testbed::{Calibration, Observation, References, TestbedError, embedded};
use anyhow::Context;
use dataplane::run::Stop;
use format::plan::Testbed;
use format::scenario::keys::Keys;
use format::suite::Trial;
use format::{Host, RunOptions, Scenario};
use std::path::PathBuf;

/// Why a suite did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// A trial stayed invalid.
    #[error("invalid: `{key}` was invalid {times} times, last because: {reasons}")]
    Invalid {
        /// What the trial was for.
        key: String,
        /// Attempts.
        times: u32,
        /// Why the last one was.
        reasons: String,
    },
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
    /// Something broke, or cannot be.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Ended {
        Ended::Failed(refusal.into())
    }
}

/// The scenario a suite is made of.
pub(crate) struct Base {
    keys: Keys,
    source: String,
    name: String,
    options: RunOptions,
    given: Loaded,
}

impl Base {
    /// Reads the scenario of the command line.
    pub(crate) fn load(args: &ScenarioArgs) -> Result<Base, Refusal> {
        if args.repeat.is_some() {
            let text = "--repeat: a suite makes as many trials as its RFC or its search asks for";
            return Err(Refusal::Usage(text.to_owned()));
        }
        let given = scenario::load(args)?;
        let settings: Vec<(&str, &str)> =
            args.settings.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        let file = args.scenario.to_string_lossy();
        let refuse = |error: format::Diagnostic| Refusal::Usage(error.to_string());
        let scenario = Scenario::with_overrides(&given.source, &file, &settings).map_err(refuse)?;
        let options = RunOptions { testbed: args.testbed.clone(), seed: args.seed, repeat: None };
        let name = given.plan.scenario.clone();
        Ok(Base { keys: scenario.keys, source: given.source.clone(), name, options, given })
    }

    /// The scenario as it was given, resolved.
    pub(crate) fn given(&self) -> &Loaded {
        &self.given
    }

    /// The text of the scenario.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// A copy of its keys without phases and criteria, to make a trial of.
    pub(crate) fn keys(&self) -> Keys {
        let mut keys = self.keys.clone();
        keys.phases.clear();
        keys.pass.clear();
        keys
    }

    /// The keys as they are.
    pub(crate) fn whole(&self) -> Keys {
        self.keys.clone()
    }

    /// A scenario of its own of these keys: `krono run` repeats it.
    pub(crate) fn resolve(&self, keys: &Keys, seed: Option<u64>) -> Result<Loaded, Refusal> {
        let source = toml::to_string(keys)
            .map_err(|error| Refusal::Usage(format!("{}: {error}", self.name)))?;
        let options = RunOptions {
            seed: seed.or(self.options.seed),
            repeat: None,
            testbed: self.options.testbed.clone(),
        };
        let refuse = |error: format::Diagnostic| Refusal::Usage(error.to_string());
        let scenario = Scenario::parse(&source, &format!("{}.toml", self.name)).map_err(refuse)?;
        let plan = scenario.resolve(&options).map_err(refuse)?;
        Ok(Loaded { source, plan })
    }
}

/// Makes the trials.
pub(crate) struct Bench<'a> {
    trials: PathBuf,
    journal: Journal,
    setting: Setting,
    stop: &'a Stop,
    live: &'a mut Live,
    invalid_max: u32,
    /// Number of the directory made last.
    number: usize,
}

impl<'a> Bench<'a> {
    /// A bench that keeps its trials below `directory`, and knows those that are there.
    pub(crate) fn new(
        directory: &RunDir,
        setting: Setting,
        stop: &'a Stop,
        live: &'a mut Live,
        invalid_max: u32,
    ) -> anyhow::Result<Bench<'a>> {
        let trials = directory.path().join("trials");
        std::fs::create_dir_all(&trials).with_context(|| trials.display().to_string())?;
        let number = std::fs::read_dir(&trials).map_or(0, Iterator::count);
        let journal = Journal::open(directory)?;
        Ok(Bench { trials, journal, setting, stop, live, invalid_max, number })
    }

    /// Whether this machine can run a plan.
    pub(crate) fn has_room_for(&self, loaded: &Loaded) -> bool {
        run::refuse_impossible(&loaded.plan, &self.setting.machine).is_ok()
    }

    /// What the generator reaches by itself with the traffic of `loaded`, which `key` names; nothing
    /// on testbeds that do not measure it.
    pub(crate) fn references(&mut self, key: &str, loaded: &Loaded) -> Result<References, Ended> {
        if let Some(known) = self.journal.references(key) {
            return Ok(known);
        }
        if loaded.plan.testbed != Testbed::Embedded {
            return Ok(References::default());
        }
        let live = &mut *self.live;
        let mut observe =
            |observation: Observation| live.observe(&observation, std::time::Instant::now());
        let known = embedded::references(&loaded.plan, self.stop, &mut observe);
        let known = known.map_err(|error: TestbedError| Ended::Failed(error.into()))?;
        if self.stop.is_set() {
            return Err(Ended::Interrupted);
        }
        self.journal.note_references(key, known)?;
        Ok(known)
    }

    /// The trial that answers `key`: known already, or made now, again while it is invalid.
    pub(crate) fn trial(
        &mut self,
        key: &str,
        loaded: &Loaded,
        references: References,
        judge: Judge,
    ) -> Result<Trial, Ended> {
        loop {
            let (answer, invalid) = self.journal.answer(key);
            if let Some(trial) = answer {
                return Ok(trial.clone());
            }
            let trial = self.attempt(key, loaded, references, judge, invalid + 1)?;
            self.journal.note(trial.clone())?;
            if !trial.valid && invalid >= self.invalid_max {
                let (key, times) = (key.to_owned(), invalid + 1);
                let reasons = trial.invalid_reasons.join("; ");
                return Err(Ended::Invalid { key, times, reasons });
            }
        }
    }

    /// The trial that answers `key`, valid or not: made once.
    pub(crate) fn once(
        &mut self,
        key: &str,
        loaded: &Loaded,
        references: References,
        judge: Judge,
    ) -> Result<Trial, Ended> {
        if let Some(trial) = self.journal.any(key) {
            return Ok(trial.clone());
        }
        let trial = self.attempt(key, loaded, references, judge, 1)?;
        self.journal.note(trial.clone())?;
        Ok(trial)
    }

    fn attempt(
        &mut self,
        key: &str,
        loaded: &Loaded,
        references: References,
        judge: Judge,
        attempt: u32,
    ) -> Result<Trial, Ended> {
        if self.stop.is_set() {
            return Err(Ended::Interrupted);
        }
        run::refuse_impossible(&loaded.plan, &self.setting.machine)?;
        self.number += 1;
        let name = format!("{:04}-{}", self.number, plain(key));
        let directory = RunDir::named(&self.trials.join(&name)).map_err(anyhow::Error::from)?;
        let calibration = self.calibration(loaded, judge)?.or(references.calibration);
        self.setting.references = Some(References { calibration, ..references });
        let kept = run::keep(directory, loaded, &self.setting, self.stop, self.live)?;
        if kept.summary.run.interrupted {
            return Err(Ended::Interrupted);
        }
        let run = format!("trials/{name}");
        Ok(trial::of(key, run, attempt, &kept.summary, &kept.outcome, judge))
    }

    /// The generator's own latency at the rate of a trial whose times count.
    fn calibration(&mut self, loaded: &Loaded, judge: Judge) -> Result<Option<Calibration>, Ended> {
        if judge != Judge::Times || loaded.plan.testbed != Testbed::Embedded {
            return Ok(None);
        }
        let live = &mut *self.live;
        let mut observe =
            |observation: Observation| live.observe(&observation, std::time::Instant::now());
        let known = embedded::calibrate(&loaded.plan, self.stop, &mut observe);
        known.map_err(|error: TestbedError| Ended::Failed(error.into()))
    }

    /// The host, and every trial made.
    pub(crate) fn end(self) -> (Host, Vec<Trial>) {
        (self.setting.host, self.journal.into_trials())
    }
}

/// A key as part of a file name.
fn plain(key: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    key.chars().map(keep).take(60).collect()
}
