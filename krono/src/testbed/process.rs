//! Each server a process of its own: `kronogen` and `krononat`, joined by DPDK memif. Needs DPDK, and
//! no root, no NIC, no huge pages.
//!
//! The generator is the long-lived side and memif server; the SUT dials it. Both are told their
//! configuration by file, tell what they count line by line, and end when this process does.
//! This version joins one generator core with one SUT core.

use super::monitor::Reading;
use super::watch::Watch;
use super::{Observation, Outcome, TestbedError};
use crate::layout::Layout;
use anyhow::{Context, bail, ensure};
use dataplane::clock::Tsc;
use dataplane::port::dpdk::{self, PortKind};
use dataplane::run::Stop;
use dataplane::thread::allowed_cpus;
use format::plan::Plan;
use kronogen::run::Notice;
use krononat::report::Line as SutLine;
use krononat::worker::Tally;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

type GeneratorLine = kronogen::report::Line;

/// How long a process may take to start, and to end once asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at the processes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs a plan.
///
/// # Errors
/// [`TestbedError::Unavailable`] without DPDK or the two programs, or for more cores than this
/// version joins; [`TestbedError::Failed`] when a process broke.
pub fn run(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let programs = available(plan)
        .map_err(|missing| TestbedError::Unavailable { testbed: plan.testbed.clone(), missing })?;
    measure(plan, &programs, stop, observe).map_err(|error| TestbedError::failed(plan, error))
}

struct Programs {
    kronogen: PathBuf,
    krononat: PathBuf,
}

/// What it takes, or what is missing.
fn available(plan: &Plan) -> Result<Programs, String> {
    dpdk::available().map_err(|error| error.to_string())?;
    let (generators, suts) = (plan.topology.generators(), plan.topology.suts());
    if (generators, suts) != (1, 1) {
        return Err(format!(
            "it joins one generator core with one SUT core, not {generators} with {suts}: set \
             cores = 1 and servers = 1 for both, or use the embedded testbed"
        ));
    }
    if plan.faults.is_some() {
        return Err("[faults] are a matter of the embedded testbed: remove them".to_owned());
    }
    Ok(Programs { kronogen: program("kronogen")?, krononat: program("krononat")? })
}

/// A program beside this one, or in a folder above as examples and tests have it, or in PATH.
fn program(name: &str) -> Result<PathBuf, String> {
    let me = std::env::current_exe().unwrap_or_default();
    let beside = me.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&paths).map(|folder| folder.join(name));
    beside.chain(in_path).find(|path| path.is_file()).ok_or_else(|| {
        format!("the program {name} is neither beside krono nor in PATH: `cargo build --bins`")
    })
}

fn measure(
    plan: &Plan,
    programs: &Programs,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let clock = Tsc::calibrate();
    let folder = tempfile::tempdir().context("a folder for the configurations")?;
    let (generator_file, sut_file) = configure(&layout, folder.path())?;
    let mut generator = Server::<GeneratorLine>::start(&programs.kronogen, &generator_file)?;
    match generator.next(PATIENCE)? {
        Some(GeneratorLine::Listening { .. }) => {}
        other => bail!("kronogen began with {other:?}"),
    }
    let mut sut = Server::<SutLine>::start(&programs.krononat, &sut_file)?;
    match sut.next(PATIENCE)? {
        Some(SutLine::Ready { .. }) => {}
        other => bail!("krononat began with {other:?}"),
    }
    let (server, core) = layout.sut_place(0);
    let latest = RefCell::new(vec![Reading { server, core, tally: Tally::default() }]);
    let read = || latest.borrow().clone();
    let mut watch = Watch::new(&layout, &read, &clock, observe);
    let mut asked = false;
    let records = loop {
        sut.drain(|line| note(&latest, line))?;
        let line = generator.next_within(LOOK_EVERY)?;
        sut.drain(|line| note(&latest, line))?;
        match line {
            Some(GeneratorLine::Records(records)) => break records,
            Some(GeneratorLine::Begins { phase, start }) => {
                watch.notice(Notice::Begins(phase, start));
            }
            Some(GeneratorLine::Ended { phase }) => watch.notice(Notice::Ended(phase)),
            Some(GeneratorLine::Sample { now, rows }) => watch.notice(Notice::Sample(now, &rows)),
            Some(GeneratorLine::Listening { .. }) => bail!("kronogen listens twice"),
            None if stop.is_set() && !asked => {
                asked = true;
                generator.ask_to_end();
            }
            None => {}
        }
    };
    generator.end()?;
    sut.ask_to_end();
    while let Some(line) = sut.next(PATIENCE)? {
        note(&latest, line);
    }
    sut.end()?;
    let outcome = watch.outcome(records);
    Ok(Outcome { interrupted: stop.is_set(), ..outcome })
}

fn note(latest: &RefCell<Vec<Reading>>, line: SutLine) {
    if let SutLine::Cores(cores) = line {
        *latest.borrow_mut() = cores
            .into_iter()
            .map(|core| Reading { server: core.server.0, core: core.core.0, tally: core.tally })
            .collect();
    }
}

/// Writes both configurations; the two sides meet on an abstract socket of this run.
fn configure(layout: &Layout<'_>, folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let socket = format!("krono-{}", std::process::id());
    let mut cpus = allowed_cpus().into_iter();
    let mut generator = layout.generator(0);
    for core in &mut generator.cores {
        core.cpu = cpus.next();
        core.ports = vec![PortKind::MemifServer { socket: socket.clone(), id: 0 }];
    }
    let mut sut = layout.sut(0);
    for core in &mut sut.cores {
        core.cpu = cpus.next();
        core.ports = vec![PortKind::MemifClient { socket: socket.clone(), id: 0 }];
        // No router in between: what this core sends goes to the generator at once.
        core.identity.gateway = generator.cores[0].identity.mac;
    }
    let write = |name: &str, text: String| -> anyhow::Result<PathBuf> {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        Ok(file)
    };
    Ok((write("kronogen.toml", toml_of(&generator)?)?, write("krononat.toml", toml_of(&sut)?)?))
}

fn toml_of(config: &impl Serialize) -> anyhow::Result<String> {
    toml::to_string(config).context("a configuration that is no TOML")
}

/// A process that tells lines of JSON on its standard output.
struct Server<L> {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Result<L, String>>,
}

impl<L: DeserializeOwned + Send + 'static> Server<L> {
    fn start(program: &Path, config: &Path) -> anyhow::Result<Server<L>> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut child = Command::new(program)
            .arg("--config")
            .arg(config)
            .arg("--supervised")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("a pipe from the process")?;
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let parsed = serde_json::from_str(&line)
                    .map_err(|error| format!("{error} in the line {line:.200}"));
                if tell.send(parsed).is_err() {
                    return;
                }
            }
        });
        Ok(Server { name, child, stdin, lines })
    }

    /// The next line; `None` at the end of the output.
    fn next(&mut self, patience: Duration) -> anyhow::Result<Option<L>> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => line.map(Some).map_err(|error| anyhow::anyhow!("{}: {error}", self.name)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} has said nothing for {patience:?}", self.name)
            }
        }
    }

    /// The next line if it comes in time; the end of the output is an error.
    fn next_within(&mut self, patience: Duration) -> anyhow::Result<Option<L>> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => line.map(Some).map_err(|error| anyhow::anyhow!("{}: {error}", self.name)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                bail!("{} ended early, {status}: its reason is above", self.name)
            }
        }
    }

    /// Every line that is there.
    fn drain(&mut self, mut take: impl FnMut(L)) -> anyhow::Result<()> {
        while let Some(line) = self.next_within(Duration::ZERO)? {
            take(line);
        }
        Ok(())
    }

    /// Closes its standard input, on which a supervised process ends.
    fn ask_to_end(&mut self) {
        drop(self.stdin.take());
    }

    /// Waits for its end.
    fn end(&mut self) -> anyhow::Result<()> {
        self.ask_to_end();
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{}: {status}", self.name);
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("{} has not ended {PATIENCE:?} after it was asked to", self.name)
    }
}

impl<L> Drop for Server<L> {
    /// No process outlives its testbed.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
