//! `krono run --testbed netns`: servers behind a router that is Linux with BIRD or FRR, while they
//! are killed, unplugged, leave and return.
//!
//! What is checked is that it works, on machines that let a process wait for tens of milliseconds:
//! BFD is slow, and a run whose router took somebody for dead that only waited is tried again. Each
//! check also makes sure that nothing of the run is left.

use crate::bench::program;
use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How often a run may be spoiled by the machine.
const ATTEMPTS: usize = 3;

/// Until a run must have come to a point.
const PATIENCE: Duration = Duration::from_secs(30);

/// A routing daemon, and the package that has it.
type Daemon = (&'static str, &'static str);

const BIRD: Daemon = ("/usr/sbin/bird", "bird2");
const FRR: Daemon = ("/usr/lib/frr/bgpd", "frr");

/// A run, in a folder of its own.
struct Run {
    folder: TempDir,
    output: Output,
}

impl Run {
    /// Little traffic, of a scenario of this project.
    fn command(folder: &Path, scenario: &str, settings: &[&str]) -> Command {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/");
        let mut command = Command::new(program("krono"));
        command.arg("run").arg(format!("{file}{scenario}.toml"));
        command.args(["--testbed", "netns", "--no-live", "--out", "out"]);
        let quiet = ["network.bfd.interval=50ms", "traffic.connections=4000"];
        let slow = ["phase.fill.open=10k/s", "phase.validate.rate=8kpps"];
        for setting in quiet.iter().chain(&slow).chain(settings) {
            command.args(["--set", setting]);
        }
        command.current_dir(folder).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn of(scenario: &str, settings: &[&str]) -> anyhow::Result<Run> {
        let folder = TempDir::new().context("a folder")?;
        let output = Run::command(folder.path(), scenario, settings).output()?;
        assert_nothing_left()?;
        Ok(Run { folder, output })
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn summary(&self) -> anyhow::Result<Value> {
        let text = fs::read(self.out("summary.json")).with_context(|| self.said())?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn events(&self) -> anyhow::Result<String> {
        fs::read_to_string(self.out("events.csv")).with_context(|| self.said())
    }
}

/// No namespace, no process and no file of a run may be left.
fn assert_nothing_left() -> anyhow::Result<()> {
    let names = Command::new("ip").args(["netns", "list"]).output()?;
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    ensure!(!names.contains("krono-"), "left: {names}");
    let files: Vec<_> = fs::read_dir("/run")?.filter_map(Result::ok).collect();
    let is_ours = |entry: &&fs::DirEntry| entry.file_name().to_string_lossy().starts_with("krono-");
    ensure!(files.iter().find(is_ours).is_none(), "left: {files:?}");
    let begun = Instant::now();
    loop {
        let left = Command::new("ps").args(["-eo", "args"]).output()?;
        let left = String::from_utf8_lossy(&left.stdout).into_owned();
        let is_ours = |line: &&str| line.contains("--supervised") || line.contains("/run/krono-");
        let Some(left) = left.lines().find(is_ours) else { return Ok(()) };
        ensure!(begun.elapsed() < PATIENCE, "left: {left}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn figure(of: &Value, name: &str) -> f64 {
    of[name].as_f64().unwrap_or(f64::NAN)
}

/// What is to come of an event.
struct Wanted {
    router: Daemon,
    scenario: &'static str,
    settings: &'static [&'static str],
    /// Longest outage of its connections, in ms, from and to.
    outage_ms: (f64, f64),
    /// What the events must have.
    events: &'static [&'static str],
}

/// Runs it until the machine lets it be; says what came of the event.
fn event(wanted: &Wanted) -> anyhow::Result<String> {
    if let Some(missing) = without(wanted.router) {
        return Ok(missing);
    }
    let mut failures = Vec::new();
    for _ in 0..ATTEMPTS {
        let run = Run::of(wanted.scenario, wanted.settings)?;
        let summary = run.summary()?;
        let (connections, recovery) = (&summary["connections"], &summary["recovery_ms"]);
        let recovery = recovery.as_array().and_then(|all| all.last()).context("no event")?;
        let reasons = summary["invalid_reasons"].to_string();
        // Whatever the machine does, the dead say nothing.
        ensure!(!reasons.contains("frames came from"), "{reasons}");
        let events = run.events()?;
        let outage_ms = figure(recovery, "max");
        let (from, to) = wanted.outage_ms;
        let good = figure(connections, "lost") == 0.0
            && figure(connections, "remapped") == 0.0
            && figure(connections, "held_peak") == 4000.0
            && (from..=to).contains(&outage_ms)
            && wanted.events.iter().all(|event| events.contains(event));
        if good {
            let what = recovery["event"].as_str().unwrap_or_default();
            return Ok(format!("{what}: {outage_ms} ms without service"));
        }
        failures.push(format!("{connections} {recovery} {reasons}\n{events}"));
    }
    bail!("{}", failures.join("\n"))
}

/// Only BFD can know.
pub(crate) fn killed_behind_bird() -> anyhow::Result<String> {
    event(&Wanted {
        router: BIRD,
        scenario: "server-failure",
        settings: &["phase.fail.rate=8kpps", "phase.fail.sample=32", "phase.fail.for=1500ms"],
        outage_ms: (90.0, 500.0),
        events: &[
            "detected,sut.server[0].core[0] is silent",
            "takeover,by sut.server[1].core[0]",
            "steered,to sut.server[1].core[0]: 198.18.0.0/32",
            "steered,to sut.server[1].core[0]: what is looked up in table 1000",
        ],
    })
}

/// FRR takes its time from a neighbour that is missed to a route.
pub(crate) fn killed_behind_frr() -> anyhow::Result<String> {
    event(&Wanted {
        router: FRR,
        scenario: "server-failure",
        settings: &[
            "network.router=frr",
            "phase.fail.rate=8kpps",
            "phase.fail.sample=32",
            "phase.fail.for=2s",
        ],
        outage_ms: (90.0, 900.0),
        events: &[
            "detected,sut.server[0].core[0] is silent",
            "steered,to sut.server[1].core[0]: 198.18.0.0/32",
        ],
    })
}

/// The router is told, and nobody notices.
pub(crate) fn left() -> anyhow::Result<String> {
    event(&Wanted {
        router: BIRD,
        scenario: "server-leave",
        settings: &["phase.leave.rate=8kpps", "phase.leave.sample=32"],
        outage_ms: (0.0, 20.0),
        events: &["steered,to sut.server[1].core[0]: 198.18.0.0/32"],
    })
}

/// The router is told by its cable; BFD, at half a second, would come too late for the events of
/// the phase. Nobody notices that it is put in again.
pub(crate) fn unplugged() -> anyhow::Result<String> {
    event(&Wanted {
        router: BIRD,
        scenario: "link-down",
        settings: &[
            "network.bfd.interval=500ms",
            "phase.down.rate=8kpps",
            "phase.down.sample=32",
            "phase.up.rate=8kpps",
            "phase.up.sample=32",
        ],
        outage_ms: (0.0, 20.0),
        events: &[
            "detected,sut.server[0].core[0] has no carrier",
            "steered,to sut.server[1].core[0]: 198.18.0.0/32",
            "steered,to sut.server[0].core[0]: 198.18.0.0/32",
        ],
    })
}

/// Ctrl-C ends the run, and keeps what was measured.
pub(crate) fn interrupted() -> anyhow::Result<String> {
    if let Some(missing) = without(BIRD) {
        return Ok(missing);
    }
    let folder = TempDir::new().context("a folder")?;
    let settings = ["phase.fail.for=30s", "phase.fail.rate=4kpps", "phase.fail.sample=32"];
    let mut child = Run::command(folder.path(), "server-failure", &settings).spawn()?;
    let begun = Instant::now();
    let rows = || fs::read_to_string(folder.path().join("out/samples.csv")).unwrap_or_default();
    while !rows().contains(",fail,gen,") {
        ensure!(begun.elapsed() < PATIENCE, "no sample: {}", rows());
        ensure!(child.try_wait()?.is_none(), "it has ended");
        thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().try_into()?), Signal::SIGINT)?;
    let output = child.wait_with_output()?;
    assert_nothing_left()?;
    let run = Run { folder, output };
    ensure!(run.output.status.code() == Some(130), "{}: {}", run.output.status, run.said());
    let summary = run.summary()?;
    ensure!(summary["run"]["interrupted"] == Value::Bool(true), "{summary}");
    Ok("kept what was measured".to_owned())
}

/// What is missing is named before anything starts.
pub(crate) fn without_a_router() -> anyhow::Result<String> {
    if let Some(missing) = without(BIRD) {
        return Ok(missing);
    }
    let file = BIRD.0;
    // In the mount namespace of this test.
    let hidden = Command::new("mount").args(["--bind", "/dev/null", file]).status()?;
    ensure!(hidden.success(), "mount: {hidden}");
    let run = Run::of("server-failure", &[]);
    let shown = Command::new("umount").arg(file).status()?;
    ensure!(shown.success(), "umount: {shown}");
    let run = run?;
    let said = run.said();
    ensure!(run.output.status.code() == Some(3), "{}: {said}", run.output.status);
    ensure!(said.contains("apt-get install bird2"), "{said}");
    ensure!(!run.out("").exists(), "something was written");
    Ok(said.trim().to_owned())
}

/// That a program is not there, if it is so.
fn without((file, package): Daemon) -> Option<String> {
    let there = Path::new(file).is_file();
    (!there).then(|| format!("skipped: not installed: apt-get install {package}"))
}
