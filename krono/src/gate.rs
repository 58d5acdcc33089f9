//! `krono gate`: is this program slower than that one, and how sure is that.
//!
//! The exact tier counts instructions, which no machine disturbs. The relative tier has both programs
//! measure by turns on one processor and judges their ratios by [`analysis::gate`]. Programs are
//! compared, not sources: whoever builds them sees to it that they are built alike.
//!
//! The promise is about false alarms. What could not be judged is said to be so and never passes.

mod callgrind;
mod child;
mod exact;
mod golden;
mod rates;
mod relative;
mod stored;
mod table;

use crate::cli::{self, Frames, Tier};
use crate::exit::{Answer, Exit, Refusal};
use crate::slices::Hello;
use analysis::gate::row;
use analysis::gate::{Class, Finding, Row};
use anyhow::Context;
use format::scenario::Gate;
use format::{RunOptions, Scenario};
use relative::Relative;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use stored::NotJudged;

/// The scenario where none is named.
const SCENARIO: &str = include_str!("../../scenarios/gate.toml");

/// The two programs.
#[derive(Clone, Debug)]
pub(crate) struct Sides {
    base: PathBuf,
    candidate: PathBuf,
}

/// Why two programs cannot be compared, or one of them not measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("{name}: {why}")]
    NotStarted { name: String, why: String },
    #[error(
        "{name} does not know `krono slices`, so it is older than the gate\n  Name a revision that \
         has it, or compare runs of both with `krono gate --baseline RUN... --candidate RUN...`"
    )]
    TooOld { name: String },
    #[error("{name} speaks {found}, this program {}", crate::slices::PROTOCOL)]
    Protocol { name: String, found: String },
    #[error("the two programs offer different {what}: {base} and {candidate}")]
    Differ { what: &'static str, base: String, candidate: String },
    #[error("{name} ended: {why}")]
    Ended { name: String, why: String },
    #[error("the two programs do not both have {metric}")]
    NoMetric { metric: String },
}

impl Unfit {
    /// What it means for the verdict.
    fn class(&self) -> Class {
        match self {
            Unfit::Ended { .. } => Class::Invalid,
            _ => Class::Incomparable,
        }
    }
}

/// Judges.
///
/// # Errors
/// [`Refusal::Usage`] for a scenario that is none; [`Refusal::CannotRun`] for programs that cannot be
/// compared, and where valgrind is missing.
pub fn gate(args: &cli::Gate) -> anyhow::Result<Answer> {
    let folder = tempfile::tempdir().context("a folder for the scenario")?;
    let asked = Asked::read(args, folder.path())?;
    if !args.baseline.is_empty() {
        return of_runs(args, &asked.gate);
    }
    let sides = sides(args)?;
    if args.tier != Tier::Relative {
        exact::available().map_err(Refusal::CannotRun)?;
    }
    match judge(args, &sides, &asked, folder.path()) {
        Ok((rows, said)) => {
            let verdict = row::overall(&rows);
            let text = format!("{}{said}{verdict}\n", table::table(&rows));
            Ok(Answer { text, exit: exit(&rows) })
        }
        Err(Stopped::Unfit(unfit)) if unfit.class() == Class::Incomparable => {
            Err(Refusal::CannotRun(unfit.to_string()).into())
        }
        Err(Stopped::Unfit(unfit)) => {
            Ok(Answer { text: format!("invalid: {unfit}\n"), exit: Exit::Invalid })
        }
        Err(Stopped::Failed(error)) => Err(error),
    }
}

/// Why there is no verdict.
enum Stopped {
    Unfit(Unfit),
    Failed(anyhow::Error),
}

impl From<Unfit> for Stopped {
    fn from(unfit: Unfit) -> Stopped {
        Stopped::Unfit(unfit)
    }
}

impl From<anyhow::Error> for Stopped {
    fn from(error: anyhow::Error) -> Stopped {
        Stopped::Failed(error)
    }
}

/// Rows of the tiers asked for, and what is to be said below them.
fn judge(
    args: &cli::Gate,
    sides: &Sides,
    asked: &Asked,
    folder: &Path,
) -> Result<(Vec<Row>, String), Stopped> {
    let (mut rows, mut said) = (Vec::new(), String::new());
    if args.tier != Tier::Relative {
        let start = Instant::now();
        rows = exact::judge(sides, &asked.arguments, asked.gate.instructions, folder)?;
        if args.frames == Frames::Any {
            rows.retain(|row| row.metric != exact::FRAMES);
        }
        said.push_str(&format!("instructions counted in {:.0} s", start.elapsed().as_secs_f64()));
    }
    if args.tier != Tier::Exact {
        let relative = Relative::new(sides, &asked.arguments, &asked.gate, asked.seed);
        let outcome = match args.aa || args.rates {
            true => relative.collect()?,
            false => relative.run(&mut progress)?,
        };
        if let Some(file) = &args.keep {
            keep(file, &outcome)?;
        }
        let between = if said.is_empty() { "" } else { "; " };
        let (pairs, took) = (outcome.pairs, outcome.took.as_secs_f64());
        said.push_str(&format!("{between}{pairs} pairs in {took:.0} s, coin {}", asked.seed));
        if args.aa || args.rates {
            let twins = sides.base == sides.candidate;
            said.push_str(&format!("\n{}", rates::text(&outcome, asked.gate.alpha, twins)));
        }
        rows.extend(outcome.rows);
    }
    if !said.ends_with('\n') {
        said.push('\n');
    }
    Ok((rows, said))
}

/// A line on stderr for each look.
fn progress(finding: &Finding, pairs: usize) {
    let changes = finding.rows.iter().map(|row| match row.change {
        Some(change) => format!("{} {:+.2} %", row.metric, change * 100.0),
        None => format!("{} unknown", row.metric),
    });
    eprintln!("{pairs} pairs: {}", changes.collect::<Vec<_>>().join(", "));
}

/// The verdict on stored runs.
fn of_runs(args: &cli::Gate, gate: &Gate) -> anyhow::Result<Answer> {
    match stored::rows(&args.baseline, &args.candidate, gate) {
        Ok(rows) => {
            let text = format!("{}{}\n", table::table(&rows), row::overall(&rows));
            Ok(Answer { text, exit: exit(&rows) })
        }
        Err(NotJudged::Defect(defect)) => Err(Refusal::Usage(defect.to_string()).into()),
        Err(NotJudged::Incomparable(why)) => Err(Refusal::CannotRun(why).into()),
    }
}

/// What the verdicts exit with.
fn exit(rows: &[Row]) -> Exit {
    match row::overall(rows) {
        Class::Pass => Exit::Met,
        Class::Regressed => Exit::NotMet,
        Class::Incomparable => Exit::CannotRun,
        Class::Erratic | Class::Invalid => Exit::Invalid,
    }
}

fn sides(args: &cli::Gate) -> anyhow::Result<Sides> {
    if let [first, second, ..] = &args.candidate[..] {
        let why = format!(
            "--candidate: {} and {}: one program at a time; a scenario goes before the options",
            first.display(),
            second.display()
        );
        return Err(Refusal::Usage(why).into());
    }
    if args.base.is_none() && args.candidate.is_empty() && !args.aa {
        let why = "nothing to compare: --base BIN, --candidate BIN or both; --aa for a program with \
                   itself; --baseline RUN... --candidate RUN... for runs";
        return Err(Refusal::Usage(why.to_owned()).into());
    }
    let own = || std::env::current_exe().context("the path of this program");
    let base = match &args.base {
        Some(base) => base.clone(),
        None => own()?,
    };
    let candidate = match args.candidate.first() {
        Some(candidate) => candidate.clone(),
        None if args.aa => base.clone(),
        None => own()?,
    };
    Ok(Sides { base, candidate })
}

/// The scenario, as the gate and as the programs read it.
struct Asked {
    gate: Gate,
    seed: u64,
    arguments: Vec<OsString>,
}

impl Asked {
    /// Programs get the scenario without `[gate]`, which is no business of theirs and which older
    /// ones may know less of.
    fn read(args: &cli::Gate, folder: &Path) -> anyhow::Result<Asked> {
        let (source, name) = match &args.scenario {
            Some(path) => (crate::scenario::read(path)?, path.to_string_lossy().into_owned()),
            None => (SCENARIO.to_owned(), "gate.toml".to_owned()),
        };
        let settings: Vec<(&str, &str)> =
            args.settings.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        let usage = |error: format::Diagnostic| Refusal::Usage(error.to_string());
        let scenario = Scenario::with_overrides(&source, &name, &settings).map_err(usage)?;
        let plan = scenario.resolve(&RunOptions::default()).map_err(usage)?;
        let gate = scenario.gate().map_err(usage)?;
        let mut keys: toml::Table = toml::from_str(&source).context("the scenario")?;
        keys.remove("gate");
        let file = folder.join(format!("{}.toml", plan.scenario));
        std::fs::write(&file, keys.to_string()).context("the scenario for the programs")?;
        let mut arguments = vec![file.into_os_string()];
        for (path, value) in settings.iter().filter(|(path, _)| !path.starts_with("gate.")) {
            arguments.extend(["--set".into(), format!("{path}={value}").into()]);
        }
        let cpu = args.cpu.or_else(|| dataplane::thread::allowed_cpus().last().copied());
        arguments.extend(cpu.into_iter().flat_map(|cpu| ["--cpu".into(), cpu.to_string().into()]));
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let seed = args.seed.unwrap_or(time as u64);
        Ok(Asked { gate, seed, arguments })
    }
}

/// Whether two programs do the same work.
fn comparable(base: &Hello, candidate: &Hello) -> Result<(), Unfit> {
    let differ = |what, base: &dyn ToString, candidate: &dyn ToString| {
        let (base, candidate) = (base.to_string(), candidate.to_string());
        if base == candidate { Ok(()) } else { Err(Unfit::Differ { what, base, candidate }) }
    };
    differ("connections", &base.connections, &candidate.connections)?;
    differ("frames", &base.offered, &candidate.offered)
}

/// All figures, one JSON object for each pair and metric.
fn keep(file: &Path, outcome: &relative::Outcome) -> anyhow::Result<()> {
    let mut text = String::new();
    for (rule, pairs) in &outcome.metrics {
        for (at, pair) in pairs.iter().enumerate() {
            let line = serde_json::json!({
                "metric": rule.metric, "pair": at, "base": pair.base, "candidate": pair.value,
                "log_ratio": pair.log_ratio,
            });
            text.push_str(&format!("{line}\n"));
        }
    }
    std::fs::write(file, text).with_context(|| file.display().to_string())
}
