//! Other systems in the SUT's place: each is held to the same by the generator, alone and in turn.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const SCENARIO: &str = r#"schema = 1
question = "What do others do?"

[topology]
polling = "adaptive"

[traffic]
connections = 2048

[sut]
port_block = 256

[[phase]]
name = "fill"
open = "100k/s"

[[phase]]
name = "churn"
open = "20k/s"
close = "20k/s"
rate = "50kpps"
for = "300ms"

[pass]
"ledger.lost" = { max = 0 }
"ledger.corrupt" = { max = 0 }
"ledger.misrouted" = { max = 0 }
"ledger.mistranslated" = { max = 0 }
"connections.failed" = { max = 0 }
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("peers.toml"), SCENARIO).expect("written");
    folder
}

fn krono(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_krono"))
        .args(["run", "peers.toml", "--no-live", "--out", "out"])
        .args(more)
        .current_dir(folder)
        .output()
        .expect("krono starts")
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn summary(folder: &Path) -> serde_json::Value {
    let text = fs::read_to_string(folder.join("out/summary.json")).expect("a summary");
    serde_json::from_str(&text).expect("JSON")
}

/// Two cores on one table, whose connections come and go, in an order that a seed decides.
#[test]
fn a_shared_table_serves_two_cores_under_either_lock() {
    for kind in ["locked-nat", "rwlock-nat"] {
        let folder = folder();
        let kind = format!("topology.sut.kind={kind}");
        let two = ["--testbed", "sim", "--set", &kind, "--set", "topology.sut.cores=2"];
        let output = krono(folder.path(), &two);
        assert_eq!(output.status.code(), Some(0), "{kind}: {}", said(&output));
        let summary = summary(folder.path());
        let cores = summary["sut"]["cores"].as_array().expect("cores");
        assert!(cores.iter().all(|core| core["forwarded"].as_u64() > Some(1000)), "{cores:?}");
        let peak = summary["sut"]["connections_peak"].as_u64();
        assert!(peak >= Some(2048), "all of them in the one table, not {peak:?}");
    }
}

/// The same on threads of their own, in turn with Krononat: every peer has a figure and a ratio.
#[test]
fn peers_run_in_turn_and_each_is_told_beside_the_sut() {
    let folder = folder();
    let scenario = SCENARIO.replace(
        "[traffic]",
        "[peers]\nkinds = [\"forwarder\", \"locked-nat\", \"rwlock-nat\"]\nrounds = 2\n[traffic]",
    );
    fs::write(folder.path().join("peers.toml"), scenario).expect("written");
    let output = krono(folder.path(), &["--set", "topology.sut.cores=2"]);
    // What is lost to a machine that is busy otherwise is not the matter here.
    let summary = summary(folder.path());
    let trials = |of: &serde_json::Value| of["trials"].as_array().map(Vec::len);
    assert_eq!(trials(&summary["throughput"]), Some(2), "{}", said(&output));
    let peers = summary["peers"].as_array().expect("peers");
    let kinds: Vec<_> = peers.iter().filter_map(|peer| peer["kind"].as_str()).collect();
    assert_eq!(kinds, ["forwarder", "locked-nat", "rwlock-nat"]);
    for peer in peers {
        assert_eq!(peer["verified"], true, "{peer}");
        assert_eq!(trials(peer), Some(2), "{peer}");
        assert!(peer["ratio"]["value"].as_f64() > Some(0.1), "{peer}");
    }
    let page = fs::read_to_string(folder.path().join("out/report.html")).expect("a report");
    assert!(page.contains("a mutex per burst"), "the report tells what a peer is");
    assert!(said(&output).contains("rwlock-nat: "), "{}", said(&output));
}

#[test]
fn what_cannot_be_compared_is_refused_by_name() {
    let cases = [
        ("[peers]\nkinds = [\"krononat\"]\n", "run twice"),
        ("[peers]\nkinds = [\"external\"]\n", "external: missing"),
        ("[peers]\nkinds = [\"forwarder\"]\nrounds = 0\n", "1 to 100"),
    ];
    for (peers, expected) in cases {
        let folder = folder();
        let scenario = SCENARIO.replace("[traffic]", &format!("{peers}[traffic]"));
        fs::write(folder.path().join("peers.toml"), scenario).expect("written");
        let output = krono(folder.path(), &[]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    let folder = folder();
    let servers = ["--set", "topology.sut.kind=locked-nat", "--set", "topology.sut.servers=2"];
    let output = krono(folder.path(), &servers);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("only krononat runs on several"), "{}", said(&output));
}

/// Runs a system that others made in the SUT's place. Where it can run its answers are right and
/// nothing of it is left; elsewhere it is refused with what it takes, and nothing is written.
fn is_held_to_its_answers(kind: &str) {
    let folder = folder();
    let kind_is = format!("topology.sut.kind={kind}");
    let output = krono(folder.path(), &["--set", &kind_is, "--set", "phase.churn.rate=20kpps"]);
    if output.status.code() == Some(3) {
        let refused = format!("`{kind}` cannot run here: ");
        assert!(said(&output).contains(&refused), "{}", said(&output));
        assert!(!folder.path().join("out").exists(), "nothing is written before it is refused");
        eprintln!("skipped: {}", said(&output));
        return;
    }
    assert!(folder.path().join("out/summary.json").exists(), "{}", said(&output));
    let summary = summary(folder.path());
    assert_eq!(summary["sut"]["kind"], kind);
    assert_eq!(summary["connections"]["failed"], 0, "{}", said(&output));
    assert!(summary["connections"]["opened"].as_u64() > Some(2048), "{}", said(&output));
    for wrong in ["corrupt", "misrouted", "mistranslated"] {
        assert_eq!(summary["ledger"][wrong], 0, "{}", said(&output));
    }
    assert!(summary["ledger"]["on_time"].as_u64() > Some(1000), "{}", said(&output));
    let left = Command::new("ip").args(["netns", "list"]).output();
    let left = left.map(|left| String::from_utf8_lossy(&left.stdout).into_owned());
    let role = kind.split('-').next().expect("a first word");
    let mine = |name: &str| name.starts_with("krono-") && name.contains(role);
    assert!(!left.unwrap_or_default().lines().any(mine), "a namespace is left");
}

#[test]
fn the_kernel_is_started_held_to_its_answers_and_removed() {
    is_held_to_its_answers("kernel");
}

#[test]
fn open_vswitch_is_started_held_to_its_answers_and_removed() {
    is_held_to_its_answers("ovs-dpdk");
}

#[test]
fn a_store_is_started_held_to_its_answers_and_removed() {
    is_held_to_its_answers("remote-state");
}

#[test]
fn a_namespace_for_each_subscriber_is_started_held_to_its_answers_and_removed() {
    is_held_to_its_answers("per-subscriber");
}

/// As on a machine where nobody has installed anything.
#[test]
fn what_is_not_installed_is_told_with_the_command_that_installs_it() {
    for kind in ["ovs-dpdk", "remote-state"] {
        let folder = folder();
        let output = Command::new(env!("CARGO_BIN_EXE_krono"))
            .args(["run", "peers.toml", "--no-live", "--set"])
            .arg(format!("topology.sut.kind={kind}"))
            .current_dir(folder.path())
            .env("PATH", "/nonexistent")
            .output()
            .expect("krono starts");
        assert_eq!(output.status.code(), Some(3), "{kind}: {}", said(&output));
        assert!(said(&output).contains("apt-get install "), "{kind}: {}", said(&output));
        assert!(!folder.path().join("results").exists(), "{kind}: something is written");
    }
}

/// A peer whose packets come back with another port than at first has no figure, and ends the run.
#[test]
fn a_peer_that_answers_wrongly_is_never_measured() {
    let folder = folder();
    let more =
        "[faults]\nmistranslate = \"1/100\"\n[peers]\nkinds = [\"locked-nat\"]\nrounds = 1\n";
    let scenario = SCENARIO.replace("[traffic]", &format!("{more}[traffic]"));
    let (scenario, _) = scenario.split_once("[pass]").expect("limits");
    fs::write(folder.path().join("peers.toml"), scenario).expect("written");
    let output = krono(folder.path(), &[]);
    let summary = summary(folder.path());
    let peer = &summary["peers"][0];
    assert_eq!(peer["verified"], false, "{peer}");
    assert!(peer["mpps_per_core"].is_null() && peer["ratio"].is_null(), "{peer}");
    assert!(peer["wrong"].to_string().contains("another translation"), "{peer}");
    assert!(said(&output).contains("NOT VERIFIED"), "{}", said(&output));
    // 4 where the machine was busy otherwise; never 0.
    assert!(matches!(output.status.code(), Some(1 | 4)), "{:?}", output.status);
}

/// A kernel of this machine as anybody's device, in namespaces that are removed with this.
struct Lab(String);

impl Lab {
    /// A namespace for krono, and one with a NAT; `None` where they cannot be made.
    fn new(station: &str) -> Option<Lab> {
        let lab = Lab(format!("krtest-{}", std::process::id()));
        let Lab(name) = &lab;
        let lines = format!(
            "set -e
            ip netns add {name}-a; ip netns add {name}-b
            ip -n {name}-a link add ext0 type veth peer name dev0 netns {name}-b address {station}
            ip -n {name}-a link set ext0 arp off up; ip -n {name}-a link set lo up
            ip -n {name}-b link set dev0 up; ip -n {name}-b address add 192.0.2.1/32 dev dev0
            ip netns exec {name}-b nft -v"
        );
        lab.shell(&lines).then_some(lab)
    }

    fn shell(&self, lines: &str) -> bool {
        let output = Command::new("sh").args(["-c", lines]).output().expect("a shell");
        if !output.status.success() {
            eprintln!("{}", said(&output));
        }
        output.status.success()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shell(&format!("ip netns delete {0}-a; ip netns delete {0}-b; true", self.0));
    }
}

/// Whoever reads what `krono explain` says can set up a device that passes.
#[test]
fn a_device_that_was_told_what_explain_says_passes() {
    const STATION: &str = "02:00:5e:00:53:01";
    let Some(lab) = Lab::new(STATION) else {
        eprintln!("skipped: namespaces cannot be made here");
        return;
    };
    let name = &lab.0;
    let folder = folder();
    let device = format!("[external]\ninterface = \"ext0\"\nmac = \"{STATION}\"\n[traffic]");
    let scenario = SCENARIO.replace("[traffic]", &device);
    let scenario = scenario.replace("polling =", "sut.kind = \"external\"\npolling =");
    fs::write(folder.path().join("peers.toml"), scenario.replace("50kpps", "20kpps"))
        .expect("written");
    let inside = |arguments: &[&str]| {
        Command::new("ip")
            .args(["netns", "exec", &format!("{name}-a"), env!("CARGO_BIN_EXE_krono")])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("ip starts")
    };
    let explained = said(&inside(&["explain", "peers.toml"]));
    let (_, told) = explained.split_once("is to translate ").expect("told what to translate");
    let words: Vec<&str> = told.split_whitespace().collect();
    let [subscribers, _, external, _, _, _, _, _, router, _, mac, ..] = words[..] else {
        panic!("{told}");
    };
    let outside: ipnet::Ipv4Net = external.parse().expect("a prefix");
    let nat = format!(
        "set -e
        run='ip netns exec {name}-b'
        ip -n {name}-b neighbour add {router} lladdr {mac} nud permanent dev dev0
        ip -n {name}-b route add default via {router} dev dev0 onlink
        ip -n {name}-b route add blackhole {external}
        $run sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.dev0.rp_filter=0 \
          net.ipv4.conf.dev0.send_redirects=0 net.ipv4.conf.all.send_redirects=0 \
          net.netfilter.nf_conntrack_tcp_be_liberal=1 net.netfilter.nf_conntrack_checksum=0 \
          net.ipv4.ip_forward=1
        $run nft 'table ip t {{ chain c {{ type nat hook postrouting priority srcnat; \
          ip saddr {subscribers} snat to {}-{} persistent; }}; }}'",
        outside.network(),
        outside.broadcast()
    );
    assert!(lab.shell(&nat), "the device is set up");
    let output = inside(&["run", "peers.toml", "--no-live", "--out", "out"]);
    if output.status.code() == Some(3) {
        eprintln!("skipped: {}", said(&output));
        return;
    }
    assert!(folder.path().join("out/summary.json").exists(), "{}", said(&output));
    let summary = summary(folder.path());
    assert_eq!(summary["sut"]["kind"], "external");
    assert_eq!(summary["connections"]["failed"], 0, "{}", said(&output));
    // Of packets with another translation there are a few: CHANGELOG, known limits.
    for wrong in ["corrupt", "misrouted"] {
        assert_eq!(summary["ledger"][wrong], 0, "{}", said(&output));
    }
    assert!(summary["ledger"]["on_time"].as_u64() > Some(1000), "{}", said(&output));
    // One that is not there is refused before anything is written.
    let absent = ["--set", "external.interface=none0", "--out", "other"];
    let output = inside(&[&["run", "peers.toml", "--no-live"][..], &absent].concat());
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("none0"), "{}", said(&output));
}
