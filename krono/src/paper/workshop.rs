//! Where the runs of a report are made, one after the other, each kept below `runs/` with its page.

use super::journal::{Journal, Line};
use super::list::{Job, Loaded, Order, RunEntry};
use super::metric;
use crate::exit::Refusal;
use crate::live::Live;
use crate::run::{self, Setting};
use crate::rundir::RunDir;
use crate::scenario;
use anyhow::Context;
use dataplane::run::Stop;
use format::paper::{Run, Taken};
use format::{RunOptions, Summary};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Folder of the runs, below the report's.
const RUNS: &str = "runs";

/// How often a program that measures is asked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a run has left to take figures from.
#[derive(Clone, Debug)]
pub(super) enum Left {
    /// A run directory and its summary.
    Summary(PathBuf, Box<Summary>),
    /// What a program printed.
    Lines(Vec<Value>),
}

/// A run with what it has left; nothing where it was not made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) run: Run,
    pub(super) left: Option<Left>,
}

/// The runs made, by name.
pub(super) type All = BTreeMap<String, Made>;

/// Somebody asked for the end.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Makes the runs.
pub(super) struct Workshop<'a> {
    pub(super) directory: &'a RunDir,
    pub(super) journal: Journal,
    pub(super) setting: Setting,
    pub(super) stop: &'a Stop,
    pub(super) live: &'a mut Live,
    pub(super) quick: bool,
    pub(super) seed: Option<u64>,
}

impl Workshop<'_> {
    /// Makes a run of the list, or finds it made.
    ///
    /// # Errors
    /// [`Interrupted`], or what broke; that a run is not possible here is an answer.
    pub(super) fn make(
        &mut self,
        list: &Loaded,
        entry: &RunEntry,
        all: &All,
    ) -> anyhow::Result<Made> {
        if let Some(line) = self.journal.known(&entry.name) {
            return self.again(line.clone());
        }
        let start = Instant::now();
        let order = list.order(entry, self.quick).map_err(Refusal::Usage)?;
        let mut run = Run {
            name: entry.name.clone(),
            command: String::new(),
            testbed: "program".to_owned(),
            directory: None,
            seconds: 0.0,
            attempts: 0,
            valid: None,
            reasons: Vec::new(),
            warnings: Vec::new(),
            taken: Vec::new(),
        };
        let left = match self.lacking(&order).map_or_else(|| taken(entry, all), Err) {
            Ok(taken) => {
                run.taken = taken;
                match &order.job {
                    Job::Scenario { .. } => self.scenario(&order, &mut run)?,
                    Job::Program { name, args } => self.program(name, args, &mut run)?,
                }
            }
            Err(why) => {
                run.reasons.push(why);
                None
            }
        };
        run.seconds = start.elapsed().as_secs_f64();
        if left.is_some() {
            let lines = match &left {
                Some(Left::Lines(lines)) => lines.clone(),
                _ => Vec::new(),
            };
            self.journal.note(Line { run: run.clone(), lines })?;
        }
        Ok(Made { run, left })
    }

    /// A run of an earlier start.
    fn again(&self, line: Line) -> anyhow::Result<Made> {
        let left = match &line.run.directory {
            None => Left::Lines(line.lines),
            Some(directory) => {
                let directory = self.directory.path().join(directory);
                let file = directory.join("summary.json");
                let named = || file.display().to_string();
                let text = std::fs::read(&file).with_context(named)?;
                Left::Summary(directory, serde_json::from_slice(&text).with_context(named)?)
            }
        };
        Ok(Made { run: line.run, left: Some(left) })
    }

    /// Why a run is not made.
    fn lacking(&self, order: &Order) -> Option<String> {
        if let Some(why) = &order.skip {
            return Some(why.clone());
        }
        let available = self.setting.machine.memory_available_bytes()?;
        (available < order.needs_gib << 30).then(|| {
            let there = analysis::figure::bytes(available);
            format!("it takes {} GiB of memory, {there} are available", order.needs_gib)
        })
    }

    /// Runs a scenario, again while it is invalid.
    fn scenario(&mut self, order: &Order, run: &mut Run) -> anyhow::Result<Option<Left>> {
        let Job::Scenario { file, testbed, repeat, settings } = &order.job else { return Ok(None) };
        let taken = run.taken.iter().map(|it| (it.setting.clone(), it.value.to_string()));
        let settings: Vec<(String, String)> = settings.iter().cloned().chain(taken).collect();
        run.testbed = testbed.to_string();
        run.command = command(file, &run.testbed, *repeat, self.seed, &settings);
        let borrowed: Vec<(&str, &str)> =
            settings.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        let options = RunOptions { testbed: testbed.clone(), seed: self.seed, repeat: *repeat };
        let loaded = scenario::resolve(file, &borrowed, &options)?;
        if let Err(refusal) = run::refuse_impossible(&loaded.plan, &self.setting.machine) {
            run.reasons.push(refusal.to_string());
            return Ok(None);
        }
        loop {
            if self.stop.is_set() {
                return Err(Interrupted.into());
            }
            run.attempts += 1;
            let (name, directory) = self.folder(&run.name)?;
            let kept = match run::keep(directory, &loaded, &self.setting, self.stop, self.live) {
                Err(error) if error.downcast_ref::<Refusal>().is_some() => {
                    run.reasons.push(error.to_string());
                    return Ok(None);
                }
                // One that was being set up breaks off when it is asked to end.
                Err(_) if self.stop.is_set() => return Err(Interrupted.into()),
                kept => kept?,
            };
            if kept.summary.run.interrupted {
                return Err(Interrupted.into());
            }
            if kept.summary.valid || run.attempts >= order.attempts {
                run.valid = Some(kept.summary.valid);
                run.reasons = kept.summary.invalid_reasons.clone();
                run.warnings = warnings(&kept.summary);
                let path = self.directory.path().join(&name);
                run.directory = Some(name);
                return Ok(Some(Left::Summary(path, Box::new(kept.summary))));
            }
        }
    }

    /// A folder for an attempt: what is left of one that was killed is not touched.
    fn folder(&self, name: &str) -> anyhow::Result<(String, RunDir)> {
        for number in 1.. {
            let name = match number {
                1 => format!("{RUNS}/{name}"),
                number => format!("{RUNS}/{name}-{number}"),
            };
            let path = self.directory.path().join(&name);
            if !path.exists() {
                return Ok((name, RunDir::named(&path)?));
            }
        }
        unreachable!("there are more numbers than folders")
    }

    /// Lets a program measure, and reads the objects it prints.
    fn program(
        &mut self,
        name: &str,
        args: &[String],
        run: &mut Run,
    ) -> anyhow::Result<Option<Left>> {
        run.command = format!(
            "cargo run --release -p krononat --example {name} -- {} --json",
            args.join(" ")
        );
        let Some(program) = beside_this(name) else {
            run.reasons.push(format!(
                "the program `{name}` is not beside krono: cargo build --release -p krononat \
                 --example {name}"
            ));
            return Ok(None);
        };
        if self.stop.is_set() {
            return Err(Interrupted.into());
        }
        run.attempts = 1;
        match said(&program, args, self.stop)? {
            Ok(lines) => {
                run.valid = Some(true);
                Ok(Some(Left::Lines(lines)))
            }
            Err(why) => {
                run.reasons.push(why);
                Ok(None)
            }
        }
    }
}

/// Figures of earlier runs that are settings of this one.
fn taken(entry: &RunEntry, all: &All) -> Result<Vec<Taken>, String> {
    let one = |(setting, from): (&String, &super::list::From)| {
        let made = all.get(&from.run).ok_or_else(|| format!("run {} was not made", from.run))?;
        if made.run.valid == Some(false) {
            return Err(format!("run {}, whose {} it takes, is invalid", from.run, from.metric));
        }
        // A thousandth of the unit: what is shown is what was set.
        let value = (metric::of(made, &from.metric)?.value * 1e3).round() / 1e3;
        let (run, metric) = (from.run.clone(), from.metric.clone());
        Ok(Taken { setting: setting.clone(), value, run, metric })
    };
    entry.from.iter().map(one).collect()
}

/// The warnings that bear on figures; that a value is not available is said where it is wanted.
fn warnings(summary: &Summary) -> Vec<String> {
    let bear = summary.warnings.iter().filter(|warning| warning.kind != "unavailable");
    bear.map(|warning| format!("{}: {}", warning.kind, warning.message)).collect()
}

/// The command that makes a run alone.
fn command(
    file: &Path,
    testbed: &str,
    repeat: Option<u32>,
    seed: Option<u64>,
    settings: &[(String, String)],
) -> String {
    let mut text = format!("krono run {} --testbed {testbed}", file.display());
    for (path, value) in settings {
        let word = format!("{path}={value}");
        let plain = |c: char| c.is_ascii_alphanumeric() || "._=-/:".contains(c);
        match word.chars().all(plain) {
            true => text += &format!(" --set {word}"),
            false => text += &format!(" --set '{word}'"),
        }
    }
    if let Some(repeat) = repeat {
        text += &format!(" --repeat {repeat}");
    }
    if let Some(seed) = seed {
        text += &format!(" --seed {seed}");
    }
    text
}

/// A program of the same build as this one.
fn beside_this(name: &str) -> Option<PathBuf> {
    let me = std::env::current_exe().ok()?;
    let folder = me.parent()?;
    [folder.join("examples").join(name), folder.join(name)].into_iter().find(|it| it.is_file())
}

/// What a program prints, an object a line, or why it printed nothing that helps.
fn said(
    program: &Path,
    args: &[String],
    stop: &Stop,
) -> anyhow::Result<Result<Vec<Value>, String>> {
    let mut child = Command::new(program)
        .args(args)
        .arg("--json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| program.display().to_string())?;
    let out = child.stdout.take().context("its output was asked for")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(out));
    let status = loop {
        if stop.is_set() {
            let _ = child.kill();
            child.wait()?;
            return Err(Interrupted.into());
        }
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    let text = reader.join().map_err(|_| anyhow::anyhow!("its output was not read"))??;
    if !status.success() {
        return Ok(Err(format!("{}: {status}", program.display())));
    }
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    Ok(lines.map_err(|error| format!("{}: {error}", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        let settings = [
            ("phase.steady.rate".to_owned(), "5Mpps".to_owned()),
            ("question".to_owned(), "What now?".to_owned()),
        ];
        let text = command(Path::new("scenarios/imix.toml"), "sim", Some(3), Some(7), &settings);
        assert_eq!(
            text,
            "krono run scenarios/imix.toml --testbed sim --set phase.steady.rate=5Mpps --set \
             'question=What now?' --repeat 3 --seed 7"
        );
    }

    #[test]
    fn a_program_is_read_and_ended_when_asked() {
        let sh = Path::new("/bin/sh");
        let script = |text: &str| vec!["-c".to_owned(), text.to_owned()];
        let stop = Stop::new();
        let lines = said(sh, &script("echo '{\"a\":1}'; echo '{\"b\":2}'"), &stop).expect("ran");
        assert_eq!(lines.expect("objects").len(), 2);
        assert!(said(sh, &script("echo nonsense"), &stop).expect("ran").is_err());
        assert!(said(sh, &script("exit 3"), &stop).expect("ran").is_err());
        stop.set();
        let start = Instant::now();
        let ended = said(sh, &script("exec sleep 60"), &stop).expect_err("ended");
        assert!(ended.downcast_ref::<Interrupted>().is_some(), "{ended}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
