//! `krono run`: from a scenario to a run directory with its report.
//!
//! In this order: read and resolve; refuse what this machine cannot do, with nothing written yet;
//! make the run directory; let the testbed run, keeping samples as they come; summarise; report.
//! What was measured survives whatever ends the run. An interrupted run has the same files as any
//! other, marked in its summary.

use crate::cli::{self, RunFormat};
use crate::energy::Meter;
use crate::evidence;
use crate::exit::{Answer, Exit, Refusal};
use crate::host::{self, fingerprint};
use crate::interrupt;
use crate::live::Live;
use crate::machine::{Machine, cpus_allowed};
use crate::metrics::{Endpoint, Metrics};
use crate::peer;
use crate::rundir::{RunDir, RunDirError, Table};
use crate::scenario::{self, Loaded};
use crate::summarise::{Context, connection_rows, latency_log, recovery_windows, summarise};
use crate::testbed::sim::Twin;
use crate::testbed::{self, Observation, Outcome, References, TestbedError};
use crate::{capacity, specimens, suite, term};
use anyhow::Context as _;
use dataplane::clock::Tsc;
use dataplane::run::Stop;
use format::plan::{Plan, Testbed};
use format::summary::{Found, Run};
use format::{Host, Sample, Summary};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Folder of run directories, below the working directory.
const RESULTS: &str = "results";

/// Runs a scenario and keeps what it found.
///
/// # Errors
/// [`Refusal::Usage`] and [`Refusal::CannotRun`] with nothing written; anything else is a failure
/// on the way, after which the run directory holds what was measured.
pub fn run(args: &cli::Run) -> anyhow::Result<Answer> {
    run_on(args, None)
}

/// The same with a cluster that is broken on purpose, for tests that this is caught; in virtual time
/// alone.
///
/// # Errors
/// As [`run`].
#[doc(hidden)]
pub fn of_twin(args: &cli::Run, twin: Twin) -> anyhow::Result<Answer> {
    run_on(args, Some(twin))
}

fn run_on(args: &cli::Run, twin: Option<Twin>) -> anyhow::Result<Answer> {
    let mut loaded = scenario::load(&args.scenario)?;
    assert!(twin.is_none() || loaded.plan.testbed == Testbed::Sim, "a twin on another testbed");
    let machine = Machine::this();
    refuse_impossible(&loaded.plan, &machine)?;
    refuse_sample(args.capture_sample, &loaded.plan)?;
    let host = this_host(&machine);
    let endpoint = args.metrics.map(|address| Endpoint::start(address, &loaded.plan));
    let endpoint = endpoint.transpose()?;
    let directory = directory(args.out.as_deref(), &loaded.plan, &host)?;
    if let Some(endpoint) = &endpoint {
        eprintln!("metrics: {}", endpoint.url());
    }
    let stop = interrupt::stop()?;
    let mut live = live(args);
    let metrics = endpoint.as_ref().map(|endpoint| endpoint.metrics().clone());
    let mut setting =
        Setting { machine, host, references: None, found: None, metrics, twin, sample: None };
    if suite::searched::is_asked(&loaded.plan) {
        match suite::searched::find(&directory, &mut loaded, &mut setting, &stop, &mut live)? {
            suite::searched::Answer::Found => {}
            suite::searched::Answer::Nothing(answer) => return Ok(answer),
        }
    }
    setting.sample = args.capture_sample;
    let kept = keep(directory, &loaded, &setting, &stop, &mut live);
    live.finish();
    let Kept { summary, page, .. } = kept?;
    answer(args.format, &summary, &page)
}

/// The fingerprint of the machine this runs on.
pub(crate) fn this_host(machine: &Machine) -> Host {
    let tsc_hz = Tsc::calibrate().hz().round();
    fingerprint(machine, Some(tsc_hz as u64))
}

/// Where a run is made, and what is known beside it.
pub(crate) struct Setting {
    pub machine: Machine,
    pub host: Host,
    /// What the generator reaches without the SUT; measured where it is not known.
    pub references: Option<References>,
    /// The search whose rate the run has.
    pub found: Option<Found>,
    /// What is broken about the SUT on purpose.
    pub twin: Option<Twin>,
    /// Who else is told what is observed.
    pub metrics: Option<Metrics>,
    /// Packets to keep as they left and as they came back.
    pub sample: Option<u32>,
}

/// What a run has left.
pub(crate) struct Kept {
    pub summary: Summary,
    pub outcome: Outcome,
    /// Its report.
    pub page: PathBuf,
}

/// Runs a plan and keeps what it found in `directory`, report included.
pub(crate) fn keep(
    directory: RunDir,
    loaded: &Loaded,
    setting: &Setting,
    stop: &Stop,
    live: &mut Live,
) -> anyhow::Result<Kept> {
    let started = Started { wall: SystemTime::now(), stamp: jiff::Timestamp::now() };
    let meter = Meter::new(&setting.machine, &loaded.plan);
    let mut record = Record::begin(directory, loaded, &setting.host, meter)?;
    let before = setting.machine.cpu_time();
    let outcome = record.measure(&loaded.plan, setting, stop, live)?;
    let after = setting.machine.cpu_time();
    // Of the controller's machine, it says nothing of the servers'.
    let here = !matches!(loaded.plan.testbed, Testbed::Hosts(_));
    let steal_share = before
        .zip(after)
        .filter(|_| here)
        .and_then(|(before, after)| after.steal_share_since(before));
    let summary = record.end(&loaded.plan, setting, &started, steal_share, &outcome)?;
    let written = analysis::report::write(record.directory.path()).context("no report written")?;
    Ok(Kept { summary, outcome, page: written.page })
}

struct Started {
    wall: SystemTime,
    stamp: jiff::Timestamp,
}

/// Refuses, before anything is written, what cannot run on this machine.
pub(crate) fn refuse_impossible(plan: &Plan, machine: &Machine) -> Result<(), Refusal> {
    let missing = match &plan.testbed {
        Testbed::Sim => None,
        Testbed::Embedded | Testbed::Process if plan.topology.sut_stands_for > 1 => Some(
            "a core that runs stands for others (topology.sut.stands_for), which is for virtual \
             time; use --testbed sim"
                .to_owned(),
        ),
        Testbed::Embedded => None,
        Testbed::Process => dataplane::port::dpdk::available()
            .err()
            .map(|error| error.to_string())
            .or_else(|| testbed::process::lacking(plan)),
        Testbed::Hosts(_) => testbed::hosts::lacking(plan),
        Testbed::Netns => testbed::netns::lacking(plan).or_else(|| testbed::netns::missing(plan)),
    };
    let missing = missing.or_else(|| {
        let alone = plan.peers.is_none() && plan.topology.sut_kind.is_foreign();
        let fits = match plan.testbed {
            Testbed::Embedded => true,
            Testbed::Process => !alone,
            _ => plan.peers.is_none() && !alone,
        };
        let why = "peers run on embedded or process, and systems others made bring their own: \
                   leave out --testbed";
        (!fits).then(|| why.to_owned()).or_else(|| peer::lacking(plan))
    });
    if let Some(missing) = missing {
        let testbed = plan.testbed.clone();
        let refusal = TestbedError::Unavailable { testbed, missing };
        return Err(Refusal::CannotRun(refusal.to_string()));
    }
    if let Testbed::Hosts(file) = &plan.testbed {
        // What it takes, other machines have to have.
        return testbed::hosts::read(plan, file).map(drop);
    }
    match capacity::lacking(plan, cpus_allowed().len(), machine.memory_available_bytes()) {
        Some(lacking) => Err(Refusal::Usage(lacking)),
        None => Ok(()),
    }
}

/// Refuses a sample where no port can be listened to.
fn refuse_sample(count: Option<u32>, plan: &Plan) -> Result<(), Refusal> {
    let taps = plan.testbed == Testbed::Embedded
        && plan.peers.is_none()
        && !plan.topology.sut_kind.is_foreign();
    match count {
        Some(_) if !taps => Err(Refusal::Usage(
            "--capture-sample listens to the ports of the embedded testbed, to a SUT of this \
             project without peers: leave it out, or the others"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The directory that was asked for, or a dated one below the results.
pub(crate) fn directory(out: Option<&Path>, plan: &Plan, host: &Host) -> Result<RunDir, Refusal> {
    let made = match out {
        Some(path) => RunDir::named(path),
        None => {
            let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
            let host = host.name.as_deref().unwrap_or("host");
            RunDir::dated(Path::new(RESULTS), &date, &plan.scenario, host)
        }
    };
    made.map_err(|error| Refusal::Usage(error.to_string()))
}

fn live(args: &cli::Run) -> Live {
    match (args.format, args.no_live) {
        (RunFormat::Jsonl, _) => Live::jsonl(Box::new(io::stdout())),
        (_, true) => Live::Silent,
        _ if term::renews(&io::stderr()) => Live::screen(),
        _ => Live::text(Box::new(io::stderr())),
    }
}

/// The run directory while the run lasts.
struct Record {
    directory: RunDir,
    table: Table,
    samples: Vec<Sample>,
    meter: Meter,
    /// The first failure to write: the run is then stopped.
    failure: Option<RunDirError>,
}

impl Record {
    /// Writes what is known before the start.
    fn begin(
        directory: RunDir,
        loaded: &Loaded,
        host: &Host,
        meter: Meter,
    ) -> anyhow::Result<Record> {
        directory.write("scenario.toml", loaded.source.as_bytes())?;
        directory.write("plan.toml", loaded.plan.as_asked().to_toml().as_bytes())?;
        directory.write("host.json", pretty(host)?.as_bytes())?;
        let table = directory.table("samples.csv")?;
        Ok(Record { directory, table, samples: Vec::new(), meter, failure: None })
    }

    /// Lets the testbed run, keeping samples as they come.
    fn measure(
        &mut self,
        plan: &Plan,
        setting: &Setting,
        stop: &Stop,
        live: &mut Live,
    ) -> anyhow::Result<Outcome> {
        let mut observe = |observation: Observation| {
            let now = Instant::now();
            self.meter.observe(&observation, now);
            live.observe(&observation, now);
            setting.metrics.iter().for_each(|metrics| metrics.observe(&observation));
            if self.failure.is_none()
                && let Err(error) = self.table.append(&observation.samples)
            {
                self.failure = Some(error);
                stop.set();
            }
            self.samples.extend(observation.samples);
        };
        let outcome = match (&plan.peers, &plan.testbed, setting.references) {
            (Some(peers), _, known) => peer::rounds::run(plan, peers, known, stop, &mut observe),
            (None, ..) if plan.topology.sut_kind.is_foreign() => {
                peer::run(plan, stop, &mut observe)
            }
            (None, Testbed::Process, _) => testbed::process::run(plan, stop, &mut observe),
            (None, Testbed::Netns, _) => testbed::netns::run(plan, stop, &mut observe),
            (None, Testbed::Hosts(file), _) => testbed::hosts::run(plan, file, stop, &mut observe),
            (None, Testbed::Sim, _) => testbed::sim::run(plan, setting.twin, stop, &mut observe),
            (None, _, known) if setting.sample.is_some() => {
                let count = setting.sample.unwrap_or_default();
                sampled(plan, known, count, stop, &mut observe)
            }
            (None, _, None) => testbed::embedded::run(plan, stop, &mut observe),
            (None, _, Some(known)) => {
                testbed::embedded::run_beside(plan, known, stop, &mut observe)
            }
        };
        if let Some(failure) = self.failure.take() {
            return Err(failure.into());
        }
        outcome.map_err(|error| match error {
            TestbedError::Unavailable { .. } => {
                self.directory.discard();
                Refusal::CannotRun(error.to_string()).into()
            }
            TestbedError::Failed { .. } => anyhow::Error::from(error)
                .context(format!("{}: the run broke off", self.directory.path().display())),
        })
    }

    /// Writes what is known after the end.
    fn end(
        &mut self,
        plan: &Plan,
        setting: &Setting,
        started: &Started,
        steal_share: Option<f64>,
        outcome: &Outcome,
    ) -> anyhow::Result<Summary> {
        self.directory.table("events.csv")?.append(&outcome.events)?;
        if !outcome.injected.is_empty() {
            self.directory.table("connections.csv")?.append(&connection_rows(outcome))?;
            self.directory.table("recovery.csv")?.append(&recovery_windows(outcome))?;
        }
        if !outcome.servers.is_empty() {
            self.directory.write("servers.json", pretty(&outcome.servers)?.as_bytes())?;
        }
        let log = latency_log(plan, outcome, started.wall)?;
        self.directory.write("latency.hlog", &log)?;
        if let Some(capture) = evidence::capture(outcome, started.wall.duration_since(UNIX_EPOCH)?)?
        {
            self.directory.write(evidence::NAME, &capture)?;
        }
        let begun = started.wall.duration_since(UNIX_EPOCH)?;
        if let Some(sample) = specimens::capture(outcome, begun)? {
            self.directory.write(specimens::NAME, &sample)?;
        }
        let run = identity(&self.directory, plan, started.stamp, outcome.interrupted);
        let (samples, energy) = (&self.samples[..], self.meter.energy());
        let host = setting.host.clone();
        let context = Context { plan, run, host, steal_share, samples, energy };
        let mut summary = summarise(context, outcome);
        if let Some(found) = &setting.found {
            summary.throughput.search = Some(found.clone());
            summary.pass = summary.judge(&plan.pass);
        }
        self.directory.write("summary.json", pretty(&summary)?.as_bytes())?;
        Ok(summary)
    }
}

/// A run on the embedded testbed of which `count` packets are kept.
fn sampled(
    plan: &Plan,
    known: Option<References>,
    count: u32,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let known = match known {
        Some(known) => known,
        None => testbed::embedded::references(plan, stop, observe)?,
    };
    testbed::embedded::run_sampled(plan, known, count, stop, observe)
}

/// What is said of every run: which plan, by what, when.
pub(crate) fn identity(
    directory: &RunDir,
    plan: &Plan,
    started: jiff::Timestamp,
    interrupted: bool,
) -> Run {
    Run {
        id: directory.id(),
        started: started.to_string(),
        scenario: plan.scenario.clone(),
        question: plan.question.clone(),
        scenario_hash: plan.scenario_hash.clone(),
        plan_hash: plan.hash(),
        seed: plan.seed,
        testbed: plan.testbed.to_string(),
        git: host::GIT.map(str::to_owned),
        version: host::VERSION.to_owned(),
        interrupted,
    }
}

pub(crate) fn pretty(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// What stdout gets, and the exit code.
fn answer(format: RunFormat, summary: &Summary, page: &Path) -> anyhow::Result<Answer> {
    let text = match format {
        RunFormat::Text => {
            format!("{}\n{}\n", analysis::report::text(summary), page.display())
        }
        RunFormat::Json => pretty(summary)?,
        RunFormat::Jsonl => {
            serde_json::to_string(&serde_json::json!({ "summary": summary }))? + "\n"
        }
    };
    Ok(Answer { text, exit: exit(summary) })
}

fn exit(summary: &Summary) -> Exit {
    match summary {
        Summary { run: Run { interrupted: true, .. }, .. } => Exit::Interrupted,
        Summary { valid: false, .. } => Exit::Invalid,
        Summary { pass, .. } if !pass.met => Exit::NotMet,
        Summary { peers, .. } if peers.iter().any(|peer| !peer.verified) => Exit::NotMet,
        _ => Exit::Met,
    }
}
