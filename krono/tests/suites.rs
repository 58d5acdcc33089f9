//! Suites, end to end in virtual time: a system whose limits are known must be found to have them,
//! and the same search gives the same answer.

use format::suite::{Policy, Results, Suite};
use format::summary::Summary;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A device of one core: 4,096 subscribers with 64 ports each, so that it is the table that is full.
const SCENARIO: &str = r#"schema = 1
question = "What does a device do whose limits are known?"
seed = 11

[traffic]
genome = 64
connections = 4096
subscribers = 4096
deadline = "2ms"
drain = "4ms"

[[phase]]
name = "fill"
open = "400k/s"

[[phase]]
name = "steady"
rate = "100kpps"
for = "20ms"
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("device.toml"), SCENARIO).expect("written");
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.args(arguments).current_dir(folder);
    command
}

fn krono(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("krono starts")
}

/// Runs a suite in virtual time; what it says.
fn suite(folder: &Path, name: &str, out: &str, more: &[&str]) -> (Option<i32>, Suite) {
    let mut all = vec!["suite", name, "device.toml", "--testbed", "sim", "--preset", "quick"];
    all.extend(["--format", "json", "--no-live", "--out", out]);
    all.extend(more);
    let output = krono(folder, &all);
    let text = String::from_utf8_lossy(&output.stdout);
    let suite = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{name}: {error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), suite)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn rfc2544_reports_every_part_and_keeps_every_trial() {
    let folder = folder();
    let more = ["--trial", "10ms", "--repetitions", "2", "--sizes", "64,imix-7-4-1", "--pdr"];
    let (code, suite) = suite(folder.path(), "rfc2544", "out", &more);
    assert_eq!(code, Some(0), "{:?}", suite.invalid_reasons);
    let Results::Rfc2544(sizes) = &suite.results else { panic!("{:?}", suite.results) };
    assert_eq!(sizes.iter().map(|it| it.frame.as_str()).collect::<Vec<_>>(), ["64", "imix-7-4-1"]);
    for size in sizes {
        let found = size.throughput.as_ref().expect("searched");
        let (lower, upper) = found.lower_mpps.zip(found.upper_mpps).expect("a limit");
        assert!(lower < upper && upper <= lower * 1.06, "{found:?}");
        assert_eq!(size.latency.as_ref().map(|it| it.typical_us.values.len()), Some(2));
        let bursts = size.back_to_back.as_ref().expect("measured");
        assert!(bursts.mean_frames.is_some_and(|frames| frames > 1.0), "{bursts:?}");
        // What is not offered is not lost, and what is offered beyond the throughput is.
        let last = size.frame_loss.last().expect("points");
        assert_eq!((last.loss_percent, size.frame_loss[0].percent), (0.0, 100.0));
        assert!(size.frame_loss[0].loss_percent > 0.0, "{:?}", size.frame_loss);
    }
    assert!(suite.settings.durations.starts_with("shorter than the RFC's: trials of 0.01 s"));
    for trial in &suite.trials {
        let run = folder.path().join("out").join(&trial.run);
        let summary = fs::read(run.join("summary.json")).expect("a run");
        serde_json::from_slice::<Summary>(&summary).expect("a summary");
        assert!(run.join("report.html").exists(), "{}", trial.run);
        assert!(trial.valid, "{trial:?}");
    }
    // A trial is a scenario of its own.
    let trial = format!("out/{}/scenario.toml", suite.trials[0].run);
    let again = krono(folder.path(), &["check", &trial]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
}

/// Searches a device of this many set-ups a second and entries; what is found.
fn limits(setups_per_s: u64, entries: u64) -> (f64, f64, Suite) {
    let folder = folder();
    let setups = format!("sut.setups_per_s_max={setups_per_s}");
    let table = format!("sut.table_entries={entries}");
    let only = ["--only", "establishment,capacity", "--repetitions", "1", "--width", "0.02"];
    let mut more = vec!["--set", &setups, "--set", &table];
    more.extend(only);
    let (code, suite) = suite(folder.path(), "rfc9693", "out", &more);
    assert_eq!(code, Some(0), "{:?}", suite.invalid_reasons);
    let Results::Rfc9693(found) = &suite.results else { panic!("{:?}", suite.results) };
    let rate = found.establishment_per_s.found.median.unwrap_or(0.0);
    let capacity = found.capacity.as_ref().and_then(|it| it.found.median).unwrap_or(0.0);
    (rate, capacity, suite)
}

#[test]
fn rfc9693_finds_known_limits_20_of_20_times() {
    let missed: Vec<String> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..4).map(|lane| scope.spawn(move || missed(lane))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("no panic")).collect()
    });
    assert!(missed.is_empty(), "{missed:?}");
}

/// Every fourth of twenty devices whose limits are not found.
fn missed(lane: usize) -> Vec<String> {
    let mut missed = Vec::new();
    for step in (0..20u64).skip(lane).step_by(4) {
        // 10,000 to 1,000,000 a second, 5,000 to 43,000 entries.
        let setups = (10_000.0 * 100f64.powf(step as f64 / 19.0)).round();
        let entries = 5_000 + 2_000 * step;
        let (rate, capacity, suite) = limits(setups as u64, entries);
        let Results::Rfc9693(found) = &suite.results else { panic!("{:?}", suite.results) };
        let error = found.establishment_per_s.error.unwrap_or(1.0);
        assert!(error <= 0.02, "{found:?}");
        // What a full bucket lets pass at once, over 4,096 connections.
        let bucket = (setups / 1e4).max(8.0) / 4096.0;
        let near = rate >= setups * (1.0 - error) && rate <= setups * (1.0 + bucket * 1.1);
        let of = found.capacity.as_ref().and_then(|it| it.error).unwrap_or(1.0);
        let fits = capacity <= entries as f64 && capacity >= entries as f64 * (1.0 - of);
        let refuses = found.overflow.as_ref().is_some_and(|it| it.policy == Policy::Refuse);
        if !(near && fits && refuses && of <= 0.02) {
            missed.push(format!("{setups} {rate} {entries} {capacity} {:?}", found.overflow));
        }
    }
    missed
}

#[test]
fn a_suite_that_was_killed_goes_on_to_the_same_result() {
    let folder = folder();
    let more = ["--set", "sut.setups_per_s_max=50000", "--repetitions", "2", "--width", "0.02"];
    let (_, whole) = suite(folder.path(), "rfc9693", "whole", &more);
    let mut all = vec!["suite", "rfc9693", "device.toml", "--testbed", "sim", "--preset", "quick"];
    all.extend(["--format", "json", "--no-live", "--out", "cut"]);
    all.extend(more);
    let mut child = command(folder.path(), &all).stdout(Stdio::null()).spawn().expect("starts");
    let journal = folder.path().join("cut/trials.jsonl");
    let begin = Instant::now();
    // Killed in the middle: when some trials are known, and before all are.
    while fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 5 {
        assert!(begin.elapsed() < Duration::from_secs(60), "no trial within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    let before = fs::read_to_string(&journal).expect("there").lines().count();
    assert!(before < whole.trials.len(), "it had ended");
    let refused = [&all[..], &["--resume", "--seed", "5"]].concat();
    let refused = krono(folder.path(), &refused);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("another suite"), "{}", stderr(&refused));
    let mut resumed = more.to_vec();
    resumed.push("--resume");
    let (code, resumed) = suite(folder.path(), "rfc9693", "cut", &resumed);
    assert_eq!(code, Some(0));
    assert_eq!(resumed.results, whole.results);
    assert_eq!(resumed.trials.len(), whole.trials.len(), "no trial was made twice");
}

#[test]
fn delays_tcp_and_failures_have_their_suites() {
    let folder = folder();
    let short = ["--trial", "10ms", "--repetitions", "2", "--width", "0.1"];
    let sizes = [&short[..], &["--sizes", "512"]].concat();
    let (code, found) = suite(folder.path(), "rfc8219", "delay", &sizes);
    let Results::Rfc8219(sizes) = &found.results else { panic!("{:?}", found.results) };
    assert_eq!((code, sizes.len()), (Some(0), 1));
    assert_eq!(sizes[0].pdv_us.values.len(), 2);
    let limits = ["--set", "sut.setups_per_s_max=40000", "--set", "sut.table_entries=20000"];
    let tcp = [&short[..], &limits[..]].concat();
    let (code, found) = suite(folder.path(), "rfc9411", "tcp", &tcp);
    let Results::Rfc9411(tcp) = &found.results else { panic!("{:?}", found.results) };
    assert_eq!(code, Some(0));
    let rate = tcp.connections_per_s.found.median.unwrap_or(0.0);
    assert!((30_000.0..48_000.0).contains(&rate), "{tcp:?}");
    let held = tcp.concurrent.found.median.unwrap_or(0.0);
    assert!((17_900.0..=20_000.5).contains(&held), "{tcp:?}");
}

#[test]
fn failover_spreads_its_runs_over_the_interval_of_bfd() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let scenario = root.join("scenarios/server-failure.toml");
    let folder = folder();
    let scenario = scenario.to_string_lossy();
    let mut all = vec!["suite", "failover", &scenario, "--testbed", "sim", "--repetitions", "4"];
    all.extend(["--format", "json", "--no-live", "--out", "out"]);
    let output = krono(folder.path(), &all);
    let suite: Suite = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let Results::Failover(events) = &suite.results else { panic!("{:?}", suite.results) };
    assert_eq!((output.status.code(), events.len()), (Some(0), 1));
    let event = &events[0];
    assert_eq!((event.valid, event.invalid, event.event.as_str()), (4, 0, "kill sut.server[0]"));
    let longest = &event.longest_ms;
    assert!(longest.max.is_some_and(|ms| ms <= 11.9), "{longest:?}");
    let detected = &event.detected_ms;
    assert!(detected.min < detected.max, "four instants, one delay: {detected:?}");
    assert_eq!(event.connections_lost.max, Some(0.0));
}

#[test]
fn a_scenario_may_search_for_its_rate() {
    let folder = folder();
    let text = SCENARIO.replace("rate = \"100kpps\"", "search = \"ndr\"");
    let text = text + "\n[pass]\n\"throughput.search.lower_mpps\" = { min = 0.1 }\n";
    fs::write(folder.path().join("search.toml"), text).expect("written");
    let arguments = ["run", "search.toml", "--testbed", "sim", "--format", "json", "--no-live"];
    let output = krono(folder.path(), &[&arguments[..], &["--out", "out"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary: Summary = serde_json::from_slice(&output.stdout).expect("a summary");
    let found = summary.throughput.search.as_ref().expect("a search");
    let lower = found.lower_mpps.expect("a bound");
    let offered = summary.throughput.offered_mpps.expect("a rate");
    assert!((offered / lower - 1.0).abs() < 0.01, "{offered} of {found:?}");
    assert_eq!((summary.ledger.lost, summary.ledger.unsent), (0, 0));
    assert!(folder.path().join("out/trials").is_dir() && summary.pass.met);
}

#[test]
fn what_cannot_be_is_refused_with_the_nearest_name() {
    let folder = folder();
    let refused = |arguments: &[&str], parts: &[&str]| {
        let output = krono(folder.path(), arguments);
        let text = stderr(&output);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
    };
    refused(&["suite", "rfc2454", "device.toml"], &["rfc2454", "'rfc2544'"]);
    refused(&["suite", "failure", "device.toml"], &["failover"]);
    refused(&["suite", "rfc2544"], &["<SCENARIO>"]);
    refused(&["suite", "rfc2544", "device.toml", "--preset", "quik"], &["'quick'"]);
    let set = ["--set", "traffic.conections=1"];
    refused(
        &[&["suite", "rfc2544", "device.toml"], &set[..]].concat(),
        &["did you mean", "connections"],
    );
    refused(&["suite", "rfc2544", "device.toml", "--sizes", "63"], &["--sizes", "63"]);
    refused(&["suite", "failover", "device.toml"], &["nothing is done to the SUT", "inject"]);
    let set = ["--set", "topology.sut.kind=forwarder"];
    refused(
        &[&["suite", "rfc9693", "device.toml"], &set[..]].concat(),
        &["a forwarder keeps none"],
    );
    refused(&["suite", "rfc9693", "device.toml", "--resume"], &["--out"]);
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "nothing was written");
}
