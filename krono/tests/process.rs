//! The process testbed: servers that are processes, and one of them is killed. Needs DPDK and the
//! programs of the workspace, built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/server-failure.toml");

/// Only one cluster at a time has the processors.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether the test can run here; says why if not.
fn can_run() -> bool {
    let programs = Path::new(env!("CARGO_BIN_EXE_krono")).parent().expect("a folder");
    let there = |name: &str| programs.join(name).is_file();
    let missing = match dataplane::port::dpdk::available() {
        Err(absent) => absent.to_string(),
        Ok(_) if !there("kronogen") || !there("krononat") => {
            "kronogen or krononat is not built: `cargo build --bins`".to_owned()
        }
        Ok(_) if std::thread::available_parallelism().map_or(1, usize::from) < 2 => {
            "a run needs two processors".to_owned()
        }
        Ok(_) => return true,
    };
    println!("skipped: {missing}");
    false
}

/// The scenario of a failing server, made short, with `action` done to it.
fn krono(folder: &Path, temporary: &Path, action: &str) -> Command {
    let scenario = fs::read_to_string(SCENARIO).expect("a scenario");
    assert!(scenario.contains("{ kill = "), "{scenario}");
    let scenario = scenario.replace("{ kill = ", &format!("{{ {action} = "));
    fs::write(folder.join("failure.toml"), scenario).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.args(["run", "failure.toml", "--testbed", "process", "--out", "out", "--no-live"]);
    // What is tested is that it works, on machines that let a process wait for tens of milliseconds:
    // a core is missed after 150.
    for set in [
        "network.bfd.interval=50ms",
        "traffic.connections=4000",
        "phase.fail.for=1200ms",
        "phase.fail.at=400ms..500ms",
    ] {
        command.args(["--set", set]);
    }
    command.current_dir(folder).env("TMPDIR", temporary);
    command
}

/// Processes whose configuration is in a folder below `temporary`, by their command lines.
fn servers(temporary: &Path) -> Vec<String> {
    let of = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(temporary.to_str()?).then_some(line)
    };
    fs::read_dir("/proc").expect("Linux").filter_map(Result::ok).filter_map(of).collect()
}

fn assert_none_left(temporary: &Path) {
    let begun = Instant::now();
    while !servers(temporary).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(3), "left: {:?}", servers(temporary));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn summary(folder: &Path, output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stderr);
    let file = fs::read(folder.join("out/summary.json")).unwrap_or_else(|_| panic!("{text}"));
    serde_json::from_slice(&file).expect("JSON")
}

fn temporary(folder: &tempfile::TempDir) -> PathBuf {
    let below = folder.path().join("temporary");
    fs::create_dir(&below).expect("a folder");
    below
}

/// One server is killed by the kernel while packets flow; its connections live on in the other. On a
/// machine with more to do than processors a server may be taken for dead that only waits, so there
/// are some attempts; the bounds are far from the figures of a quiet one.
#[test]
fn a_killed_process_is_replaced_in_time() {
    if !can_run() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut failures = Vec::new();
    for _ in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let temporary = temporary(&folder);
        let output = krono(folder.path(), &temporary, "kill").output().expect("krono starts");
        assert_none_left(&temporary);
        let summary = summary(folder.path(), &output);
        let (connections, recovery) = (&summary["connections"], &summary["recovery_ms"][0]);
        assert_eq!(recovery["event"], "kill sut.server[0]", "{summary:#}");
        let figure = |of: &serde_json::Value, name: &str| of[name].as_f64().unwrap_or(f64::NAN);
        let good = figure(connections, "lost") == 0.0
            && figure(connections, "remapped") == 0.0
            && figure(connections, "held_peak") == 4000.0
            && (50.0..500.0).contains(&figure(recovery, "max"))
            && (50.0..300.0).contains(&figure(recovery, "takeover"));
        let events = fs::read_to_string(folder.path().join("out/events.csv")).expect("events");
        if good {
            assert!(events.contains("takeover,by sut.server[1]"), "{events}");
            return;
        }
        failures.push(format!("{connections} {recovery}\n{events}"));
    }
    panic!("{}", failures.join("\n"));
}

/// Whatever ends krono ends its servers, those that are stopped as well.
#[test]
fn no_process_outlives_a_killed_krono() {
    if !can_run() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    let temporary = temporary(&folder);
    let mut child = krono(folder.path(), &temporary, "hang")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("krono starts");
    let begun = Instant::now();
    let processes = || fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let stopped = || processes().any(|entry| is_stopped(&entry, &temporary));
    while !stopped() {
        assert!(begun.elapsed() < Duration::from_secs(20), "no server was stopped");
        assert!(child.try_wait().expect("ours").is_none(), "krono ended");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(servers(&temporary).len(), 3);
    child.kill().expect("it runs");
    child.wait().expect("ours");
    assert_none_left(&temporary);
}

fn is_stopped(entry: &fs::DirEntry, temporary: &Path) -> bool {
    let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
    let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
    let state = String::from_utf8_lossy(&read("stat")).into_owned();
    line.contains(temporary.to_str().expect("text")) && state.contains(") T ")
}
