//! Claims end to end in virtual time: what is asked is made once, goes on after a kill, and is told as
//! what it is.

use format::paper::{Kind, Paper, Verdict};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SCENARIO: &str = r#"schema = 1
question = "What do cores forward whose speed is known?"
seed = 3
[topology]
generators = { cores = 2 }
[traffic]
genome = 64
connections = 1024
batch = 64
deadline = "2ms"
drain = "4ms"
[[phase]]
name = "fill"
open = "200k/s"
[[phase]]
name = "steady"
rate = "max"
for = "60ms"
[pass]
"ledger.mistranslated" = { max = 0 }
"#;

/// Cores of 250 ns a packet: 4 Mpps each. The second run takes its cost from the first.
const LIST: &str = r#"schema = 1
title = "Claims of a test"
about = "Four million packets a second a core."
source = [{ name = "Test", title = "A test <of> claims" }]

[[run]]
name = "one"
scenario = "cores.toml"
testbed = "sim"
set = { "sut.packet_cost_ns" = 250 }

[[run]]
name = "three"
scenario = "cores.toml"
testbed = "sim"
set = { "topology.sut.cores" = 3, "topology.generators.cores" = 6, "traffic.connections" = 3072 }
from = { "sut.packet_cost_ns" = { run = "one", metric = "sut.ns_per_packet" } }

[[run]]
name = "none"
program = "nowhere-to-be-found"

[[run]]
name = "long"
scenario = "cores.toml"
testbed = "sim"
quick = { skip = "it is long" }

[[claim]]
id = "core"
title = "One core"
source = "Test"
says = "4 Mpps a core"
figure = { value = 3.9, unit = "Mpps", sense = "at-least" }
ours = [
  { kind = "simulated", what = "one", run = "one", metric = "throughput.mpps_per_core.value" },
  { kind = "simulated", what = "three", run = "three", metric = "throughput.forwarded_mpps" },
  { kind = "extrapolated", what = "ten", run = "one", metric = "throughput.mpps_per_core.value", times = 10, model = "ten of them" },
  { kind = "simulated", what = "lost", run = "one", metric = "ledger.lost", unit = "packets" },
]

[[claim]]
id = "scale"
title = "Scale-up"
source = "Test"
says = "linear"
figure = { value = 0.99, unit = "of linear", sense = "at-least" }
ours = [
  { kind = "simulated", what = "three to one", runs = ["one", "three"], metric = "scale.efficiency" },
]

[[claim]]
id = "rest"
title = "What is not there"
source = "Test"
says = "everything"
figure = { value = 1, sense = "at-least" }
ours = [
  { kind = "measured", what = "by a program", run = "none", metric = "mops" },
  { kind = "simulated", what = "by a long run", run = "long", metric = "ledger.lost" },
  { kind = "untested", what = "switches", note = "There is none here" },
]

[[cost]]
name = "Box"
mpps = 4
price = 8000
currency = "USD"
redundancy = "1+1"

[own_cost]
run = "one"
metric = "throughput.mpps_per_core.value"
redundancy = "N+1"
note = "linear"
"#;

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("cores.toml"), SCENARIO).expect("written");
    fs::write(folder.path().join("claims.toml"), LIST).expect("written");
    folder
}

fn command(folder: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.args(["paper", "claims.toml", "--no-live", "--out", out]);
    command.args(more).current_dir(folder);
    command
}

fn paper(folder: &Path, out: &str, more: &[&str]) -> Paper {
    let mut command = command(folder, out, more);
    let output = command.args(["--format", "json"]).output().expect("krono starts");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("a report")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_claim_is_told_as_what_it_is() {
    let folder = folder();
    let paper = paper(folder.path(), "out", &["--quick", "--price", "server=4000USD/2"]);
    let [core, scale, rest] = &paper.claims[..] else { panic!("three claims") };
    let [one, three, ten, lost] = &core.ours[..] else { panic!("four figures") };
    let mpps = |value: Option<f64>| value.expect("a rate");
    assert!((mpps(one.value) - 4.0).abs() < 0.05, "{one:?}");
    assert!((mpps(three.value) - 12.0).abs() < 0.2, "{three:?}");
    assert!(!one.at_least && one.verdict == Verdict::Met, "{one:?}");
    assert_eq!(mpps(ten.value), mpps(one.value) * 10.0);
    assert_eq!((ten.kind, ten.model.as_deref()), (Kind::Extrapolated, Some("ten of them")));
    assert_eq!((lost.value, lost.verdict), (Some(0.0), Verdict::Told));
    assert_eq!((scale.ours[0].verdict, scale.ours[0].curve.len()), (Verdict::Met, 2));
    let [program, long, switches] = &rest.ours[..] else { panic!("three") };
    assert!(rest.ours.iter().all(|it| it.verdict == Verdict::NoFigure && it.value.is_none()));
    assert!(program.notes[0].contains("--example nowhere-to-be-found"), "{program:?}");
    assert_eq!((&long.notes[0][..], &switches.notes[0][..]), ("it is long", "There is none here"));
    let taken = &paper.runs[1].taken[0];
    assert_eq!((&taken.run[..], &taken.setting[..]), ("one", "sut.packet_cost_ns"));
    assert!((taken.value - 250.0).abs() < 1.0, "{taken:?}");
    assert_eq!(paper.costs[0].price_per_mpps, Some(2000.0));
    let ours = &paper.costs[1];
    assert!(ours.price_per_mpps.is_some_and(|price| (price - 500.0).abs() < 10.0), "{ours:?}");
    let page = fs::read_to_string(folder.path().join("out/report.html")).expect("a page");
    for part in [
        "not available",
        "class=\"kind simulated\"",
        "class=\"kind extrapolated\"",
        "met",
        "Model: ten of them.",
        "&#60;of&#62;",
        "runs/one/report.html",
        "<svg class=\"krono-plot\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "it loads nothing");
    assert!(folder.path().join("out/runs/three/report.html").exists());
}

#[test]
fn a_report_that_was_killed_goes_on_and_makes_no_run_twice() {
    let folder = folder();
    let mut child =
        command(folder.path(), "cut", &[]).stdout(Stdio::null()).spawn().expect("starts");
    let (journal, begin) = (folder.path().join("cut/runs.jsonl"), Instant::now());
    while fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 1 {
        assert!(begin.elapsed() < Duration::from_secs(60), "no run within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    let refused = command(folder.path(), "cut", &["--resume", "--quick"]).output().expect("starts");
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("another list"), "{}", stderr(&refused));
    let first = fs::read_to_string(&journal).expect("there");
    let first = first.lines().next().expect("a line").to_owned();
    let resumed = paper(folder.path(), "cut", &["--resume"]);
    let whole = paper(folder.path(), "whole", &[]);
    assert_eq!(resumed.claims, whole.claims);
    let after = fs::read_to_string(&journal).expect("there");
    assert_eq!(after.lines().next(), Some(&first[..]), "its first run is the same");
    assert_eq!(after.matches("\"name\":\"one\"").count(), 1);
}

#[test]
fn ctrl_c_keeps_what_was_run_and_says_how_to_go_on() {
    let folder = folder();
    let long = SCENARIO.replace("\"60ms\"", "\"20s\"");
    fs::write(folder.path().join("cores.toml"), long).expect("written");
    let mut command = command(folder.path(), "cut", &[]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let begun = folder.path().join("cut/runs/one/samples.csv");
    let begin = Instant::now();
    while !begun.exists() {
        assert!(begin.elapsed() < Duration::from_secs(60), "no run within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("an id"));
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).expect("sent");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("--resume --out cut") && said.contains("was not made"), "{said}");
}
