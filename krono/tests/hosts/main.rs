//! The hosts testbed on loopback: servers reached by agents with mutual TLS or over ssh, their
//! programs joined by memif. Needs DPDK and the programs of the workspace, built;
//! `tests/hosts_netns` does what takes namespaces.

mod bench;
#[path = "../child/mod.rs"]
mod child;
mod faults;
mod jobs;
mod liar;
mod ssh;
#[path = "../child/sshd.rs"]
mod sshd;

use bench::{Bench, can_run};
use child::ended;
use serde_json::Value;
use std::fs;
use std::process::Output;

fn count(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or_else(|| panic!("{name} of {of}"))
}

/// What a run on `left` and `right` is that is well.
#[track_caller]
fn assert_counted(bench: &Bench, output: &Output) {
    let summary = bench.json("summary.json", output);
    let (ledger, connections) = (&summary["ledger"], &summary["connections"]);
    assert_eq!(connections["held_peak"], 2000, "{summary:#}");
    assert!(count(ledger, "planned") >= 20_000, "{ledger}");
    let arrived = count(ledger, "on_time") + count(ledger, "late");
    // A machine that is busy otherwise may lose some at a full link.
    assert!(arrived * 10 >= count(ledger, "planned") * 9, "{ledger}");
    assert_eq!((count(ledger, "corrupt"), count(ledger, "mistranslated")), (0, 0), "{ledger}");
    assert_eq!(summary["sut"]["cores"][0]["server"], 0);
    let servers = bench.json("servers.json", output);
    assert_eq!((&servers[0]["name"], &servers[1]["name"]), (&"left".into(), &"right".into()));
    let phases = servers[0]["phases"].as_array().expect("a list");
    assert_eq!(phases.len(), 2, "{servers:#}");
    for phase in phases {
        assert!(count(phase, "bound_ns") < 100_000_000, "{phase}");
        assert_eq!(phase["late_ns"], 0, "{phase}");
    }
    assert!(count(&servers[0]["after"], "bound_ns") < 100_000_000, "{servers:#}");
    assert!(servers[1]["host"]["tsc_hz"].as_u64().is_some_and(|hz| hz > 100_000_000));
    bench.assert_none_left();
}

#[test]
fn a_run_on_two_agents_counts_every_packet() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("1s");
    let output = ended(bench.krono().spawn().expect("krono starts"));
    assert_counted(&bench, &output);
}

#[test]
fn servers_that_cannot_be_reached_are_named_and_nothing_is_written() {
    let bench = Bench::empty("1s");
    let krono = |hosts: &str| {
        fs::write(bench.path("hosts.toml"), hosts).expect("written");
        let output = ended(bench.krono().spawn().expect("krono starts"));
        assert!(!bench.path("out").exists());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let nobody = "agent = \"127.0.0.1:9\"\n".to_owned();
    bench.list(&[nobody.clone(), nobody]);
    let hosts = fs::read_to_string(bench.path("hosts.toml")).expect("written");
    let (code, text) = krono(&hosts);
    assert!(code == Some(3) && text.contains("left (127.0.0.1:9)"), "{text}");
    let (code, text) = krono(hosts.split_once("[[server]]\nname = \"right\"").expect("two").0);
    assert!(code == Some(2) && text.contains("hosts.toml: server: 0 of role \"sut\""), "{text}");
    let (code, text) = krono(&hosts.replace("generator", "router"));
    assert!(code == Some(2) && text.contains("hosts.toml:3: "), "{text}");
}
