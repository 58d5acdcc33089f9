//! Every scenario in which servers fail, leave or come, in virtual time: same seed, same run.

use format::summary::Summary;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn shipped(scenario: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    root.join("scenarios").join(scenario)
}

/// Runs a shipped scenario on the simulator; what it says.
fn simulated(scenario: &str, changes: &[&str]) -> (Option<i32>, Summary) {
    run(&shipped(scenario), changes)
}

/// The same with other words in the place of some.
fn reworded(scenario: &str, words: &[(&str, &str)]) -> (Option<i32>, Summary) {
    let mut text = fs::read_to_string(shipped(scenario)).expect("a scenario");
    for (from, to) in words {
        assert!(text.contains(from), "{scenario}: {from}");
        text = text.replace(from, to);
    }
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    fs::write(file.path(), text).expect("written");
    run(file.path(), &[])
}

fn run(scenario: &Path, changes: &[&str]) -> (Option<i32>, Summary) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.arg("run").arg(scenario);
    command.args(["--testbed", "sim", "--format", "json", "--no-live", "--out"]).arg(&out);
    for change in changes {
        command.args(["--set", change]);
    }
    let output = command.output().expect("krono runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let summary = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{}: {error}: {text}{}", scenario.display(), String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code(), summary)
}

/// What a silent failure may cost: three BFD intervals of 3.3 ms, and the 2 ms between two probes of
/// one direction of a connection.
const SILENT_MS: f64 = 9.9 + 2.0;

#[test]
fn a_server_that_dies_is_missed_for_three_intervals() {
    let (code, summary) = simulated("server-failure.toml", &[]);
    let recovery = &summary.recovery_ms[0];
    assert_eq!(code, Some(0), "{recovery:?}");
    assert!(recovery.max.is_some_and(|ms| ms > 4.0 && ms <= SILENT_MS), "{recovery:?}");
    assert!(recovery.detected < recovery.takeover, "{recovery:?}");
    let connections = &summary.connections;
    assert_eq!((connections.lost, connections.remapped), (Some(0), Some(0)));
    assert_eq!(connections.recovered, Some(32), "half of the sample");
    assert_eq!(recovery.collateral_lost, Some(0));
}

#[test]
fn without_copies_the_same_failure_is_noticed_for_good() {
    let changes = ["sut.replicate=false"];
    let (code, summary) = simulated("server-failure.toml", &changes);
    assert_eq!(code, Some(1), "{:?}", summary.recovery_ms);
    assert!(summary.connections.lost.is_some_and(|lost| lost > 9_000), "{:?}", summary.connections);
}

#[test]
fn departures_arrivals_and_upgrades_go_unnoticed() {
    for (scenario, events) in
        [("server-leave.toml", 1), ("server-join.toml", 1), ("rolling-upgrade.toml", 3)]
    {
        let (code, summary) = simulated(scenario, &[]);
        assert_eq!(code, Some(0), "{scenario}: {:?} {:?}", summary.recovery_ms, summary.ledger);
        assert_eq!(summary.recovery_ms.len(), events);
        assert_eq!((summary.ledger.lost, summary.connections.kept), (0, Some(20_000)));
    }
}

#[test]
fn whoever_comes_back_is_filled_first_and_serves_then() {
    for scenario in ["server-return.toml", "core-hang.toml", "partition.toml"] {
        let (code, summary) = simulated(scenario, &[]);
        let [fault, remedy] = &summary.recovery_ms[..] else { panic!("{scenario}: two events") };
        assert_eq!(code, Some(0), "{scenario}: {fault:?} {remedy:?}");
        assert!(fault.max.is_some_and(|ms| ms <= SILENT_MS + 1.0), "{scenario}: {fault:?}");
        assert_eq!(remedy.max, Some(0.0), "{scenario}: {remedy:?}");
    }
}

#[test]
fn a_link_that_goes_down_is_not_waited_for() {
    let (code, summary) = simulated("link-down.toml", &[]);
    let [down, up] = &summary.recovery_ms[..] else { panic!("two events") };
    assert_eq!(code, Some(0), "{down:?} {up:?}");
    assert_eq!((down.event.as_str(), up.max), ("link-down sut.server[0]", Some(0.0)));
    // The other server takes over after three beats of 10 ms; BFD would have taken 100 to 150 ms.
    assert!(down.detected.is_some_and(|ms| ms < 0.1), "{down:?}");
    assert!(down.max.is_some_and(|ms| ms > 18.0 && ms <= 30.0 + 2.0 + 1.0), "{down:?}");
    assert_eq!(summary.connections.recovered, Some(32), "half of the sample");
    // A silent cut of the same length is waited for.
    let cut = r#"partition = { target = "sut.server[0]" }"#;
    let words = [(r#"link-down = "sut.server[0]""#, cut), ("link-up", "heal")];
    let (code, summary) = reworded("link-down.toml", &words);
    assert_eq!(code, Some(1), "{:?}", summary.recovery_ms);
    assert!(summary.recovery_ms[0].max.is_some_and(|ms| ms > 95.0), "{:?}", summary.recovery_ms);
}

/// The scenario of a kill with a delay in its place.
fn delayed(by: &str) -> (Option<i32>, Summary) {
    let delay = format!(r#"delay = {{ target = "sut.server[0]", by = "{by}" }}"#);
    reworded("server-failure.toml", &[(r#"kill = "sut.server[0]""#, &delay)])
}

#[test]
fn a_longer_cable_delays_each_way_and_loses_nothing() {
    let (code, summary) = delayed("2ms");
    assert_eq!(code, Some(0), "{:?}", summary.recovery_ms);
    assert_eq!((summary.ledger.lost, summary.connections.recovered), (0, Some(0)));
    // Half of the packets go there and come back for most of the time, the others do not.
    let latency = &summary.latency_us;
    assert!(latency.min.is_some_and(|us| us < 200.0), "{latency:?}");
    assert!(latency.p99.is_some_and(|us| (4_000.0..4_300.0).contains(&us)), "{latency:?}");
}

#[test]
fn a_delay_that_bfd_does_not_bear_begins_with_an_outage() {
    let (_, summary) = delayed("40ms");
    let recovery = &summary.recovery_ms[0];
    assert!(recovery.detected.is_some_and(|ms| ms <= 10.0), "{recovery:?}");
    assert!(recovery.max.is_some_and(|ms| ms > 4.0), "{recovery:?}");
    assert_eq!((summary.connections.lost, summary.connections.remapped), (Some(0), Some(0)));
}

#[test]
fn a_server_of_many_takes_no_connection_with_it() {
    // As shipped it is 64 servers: a minute of a release build.
    let smaller = ["topology.sut.servers=8", "traffic.connections=40000"];
    let (code, summary) = simulated("scale-64.toml", &smaller);
    let (recovery, connections) = (&summary.recovery_ms[0], &summary.connections);
    assert_eq!(code, Some(0), "{recovery:?} {connections:?}");
    assert_eq!((connections.lost, connections.remapped), (Some(0), Some(0)));
    assert_eq!((connections.recovered, recovery.collateral_lost), (Some(512 / 8), Some(0)));
    let said = summary.warnings.iter().find(|it| it.kind == "aggregate").expect("a warning");
    assert!(said.message.contains("1,600,000 connections on 320 cores"), "{}", said.message);
}

#[test]
fn a_seed_gives_the_same_run() {
    let one = simulated("server-failure.toml", &["seed=7"]).1;
    let two = simulated("server-failure.toml", &["seed=7"]).1;
    assert_eq!((one.ledger, one.recovery_ms), (two.ledger, two.recovery_ms));
}
