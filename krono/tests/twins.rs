//! Clusters that are broken on purpose are caught by a run of the shipped scenarios, which an honest
//! cluster passes (`failures.rs`): exit code 1, and the criterion that says why.

use clap::Parser;
use format::summary::Summary;
use krono::cli::{Cli, Command};
use krono::exit::Exit;
use krono::run;
use krono::testbed::sim::Twin;
use std::path::Path;

/// Runs a shipped scenario with a twin in the place of the servers, as `krono run` does; what it
/// says, and the criteria that are not met.
fn caught(scenario: &str, twin: Twin) -> (Summary, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = root.join("scenarios").join(scenario);
    let out = folder.path().join("run");
    let words = ["krono", "run"].into_iter().map(Into::into);
    let words = words.chain([scenario.clone().into_os_string()]);
    let more = ["--testbed", "sim", "--format", "json", "--no-live", "--out"].map(Into::into);
    let words = words.chain(more).chain([out.clone().into_os_string()]);
    let Command::Run(arguments) = Cli::parse_from(words).command else { panic!("krono run") };
    let answer = run::of_twin(&arguments, twin).expect("a run");
    let summary: Summary = serde_json::from_str(&answer.text).expect("a summary");
    assert_eq!(answer.exit, Exit::NotMet, "{twin:?}: {:?}", summary.recovery_ms);
    assert!(summary.valid, "the figures prove it: {:?}", summary.warnings);
    let criteria = summary.pass.criteria.iter().filter(|it| !it.met);
    let missed = criteria.map(|it| it.name.clone()).collect();
    (summary, missed)
}

#[test]
fn a_slave_that_drops_one_update_of_a_hundred_is_caught() {
    let (summary, missed) = caught("server-failure.toml", Twin::ForgetsOneIn(100));
    assert!(missed.contains(&"connections.lost".to_owned()), "{missed:?}");
    // A hundredth of the half that the dead server had; some are told twice.
    let lost = summary.connections.lost.expect("all are validated");
    assert!((20..=200).contains(&lost), "{lost}");
}

#[test]
fn a_walk_that_skips_records_is_caught() {
    let (summary, missed) = caught("server-return.toml", Twin::SkipsOneIn(50));
    assert!(missed.contains(&"connections.lost".to_owned()), "{missed:?}");
    let lost = summary.connections.lost.expect("all are validated");
    assert!((50..=600).contains(&lost), "{lost}");
}

#[test]
fn a_master_that_does_not_stop_when_cut_off_is_caught() {
    let (summary, missed) = caught("partition.toml", Twin::GoesOn);
    assert!(missed.contains(&"recovery_ms.max".to_owned()), "{missed:?}");
    assert_eq!(summary.recovery_ms[0].takeover, None, "the slave lets it go on");
}
