//! The gate as people and CI call it. What measures slices is played by small programs that say what
//! they are told to, so that what is judged is known; the real one is asked once.

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const SCENARIO: &str = r#"schema = 1
question = "Is the candidate slower?"
[traffic]
connections = 1008
[[phase]]
name = "fill"
open = "1M/s"
[gate]
pairs = 16
"#;

fn krono(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command.output().expect("krono starts")
}

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    both.concat()
}

fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gate.toml"), SCENARIO).expect("written");
    folder
}

fn script(folder: &Path, name: &str, lines: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made a program");
    path
}

/// A program that says that everything takes so many cycles, a shell expression.
fn program(folder: &Path, name: &str, frames: &str, cycles: &str) -> PathBuf {
    let hello = json!({
        "protocol": "krono.slices/1", "offered": frames, "translated": "b", "version": "0",
        "connections": 1008,
    });
    let metrics = ["forward.cycles_per_packet", "open.cycles_per_connection"];
    let metrics = metrics.into_iter().chain(["expire.cycles_per_connection"]);
    let metrics: Vec<String> = metrics.map(|name| format!("\"{name}\":'$c'")).collect();
    let answer = format!("{{\"packets\":1,\"metrics\":{{{}}}}}", metrics.join(","));
    let lines =
        format!("echo '{hello}'\nwhile read -r line; do\n  c={cycles}\n  echo '{answer}'\ndone");
    script(folder, name, &lines)
}

/// A gate of two such programs, by time.
fn gate(folder: &Path, base: &Path, candidate: &Path) -> Output {
    let [base, candidate] = [base, candidate].map(|path| path.to_str().expect("text"));
    let arguments = ["gate", "gate.toml", "--tier", "relative", "--base", base];
    krono(folder, &[&arguments[..], &["--candidate", candidate]].concat())
}

#[test]
fn each_verdict_has_its_exit_code() {
    let folder = folder();
    let make = |name, frames, cycles| program(folder.path(), name, frames, cycles);
    let base = make("base", "a", "1000");
    let slower = gate(folder.path(), &base, &make("slower", "a", "1030"));
    assert_exit(&slower, 1);
    let said = text(&slower);
    assert!(said.contains("+3.00 %") && said.contains("\nregressed\n"), "{said}");
    assert!(
        said.contains("forward.cycles_per_packet: regressed: worse by more than 0.5 %"),
        "{said}"
    );
    assert_exit(&gate(folder.path(), &base, &make("same", "a", "1000")), 0);
    assert_exit(&gate(folder.path(), &base, &make("faster", "a", "900")), 0);
    // Less than is tolerated is no regression, however sure it is.
    assert_exit(&gate(folder.path(), &base, &make("tolerated", "a", "1004")), 0);
    // Another amount for each process: nothing can be said. By the square of its number, as numbers that
    // follow each other would differ by the same amount.
    let wild = make("wild", "a", "$((500 + ($$ * $$ * 7919) % 1000))");
    let erratic = gate(folder.path(), &wild, &wild);
    assert_exit(&erratic, 4);
    assert!(text(&erratic).contains("16 pairs spread so much"), "{}", text(&erratic));
    let other = gate(folder.path(), &base, &make("other", "c", "1000"));
    assert_exit(&other, 3);
    assert!(text(&other).contains("offer different frames"), "{}", text(&other));
}

#[test]
fn a_program_that_cannot_be_measured_is_named_with_the_reason() {
    let folder = folder();
    let base = program(folder.path(), "base", "a", "1000");
    let refuse = "echo \"error: unrecognized subcommand 'slices'\" >&2; exit 2";
    let old = gate(folder.path(), &script(folder.path(), "old", refuse), &base);
    assert_exit(&old, 3);
    assert!(text(&old).contains("/old does not know `krono slices`"), "{}", text(&old));
    let missing = gate(folder.path(), &folder.path().join("nowhere"), &base);
    assert_exit(&missing, 3);
    let dies = script(folder.path(), "dies", "echo 'out of luck' >&2; exit 5");
    let dead = gate(folder.path(), &base, &dies);
    assert_exit(&dead, 4);
    assert!(text(&dead).contains("/dies ended: out of luck"), "{}", text(&dead));
    assert_exit(&krono(folder.path(), &["gate"]), 2);
    let bad = ["gate", "--aa", "--set", "gate.alpha=0.5"];
    assert_exit(&krono(folder.path(), &bad), 2);
}

#[test]
fn without_valgrind_the_exact_tier_says_what_to_install() {
    let folder = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.args(["gate", "gate.toml", "--aa"]).current_dir(folder.path()).env("PATH", "/nowhere");
    let output = command.output().expect("krono starts");
    assert_exit(&output, 3);
    assert!(text(&output).contains("apt-get install valgrind"), "{}", text(&output));
}

#[test]
fn the_rate_of_false_alarms_is_told() {
    let folder = folder();
    let base = program(folder.path(), "base", "a", "$((10000 + ($$ * 7919) % 60))");
    let base = base.to_str().expect("text");
    let arguments = ["gate", "gate.toml", "--tier", "relative", "--aa", "--base", base];
    let output = krono(folder.path(), &arguments);
    assert_exit(&output, 0);
    let said = text(&output);
    assert!(said.contains("16 gates resampled from 16 pairs"), "{said}");
    assert!(said.contains("false alarms 0 (0.0 %)"), "{said}");
}

#[test]
fn the_program_itself_measures_what_it_is_asked_for() {
    let folder = folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_krono"));
    command.args(["slices", "gate.toml"]).current_dir(folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let work =
        "{\"seed\":1,\"bursts\":80,\"cohorts\":2}\n{\"seed\":1,\"bursts\":0,\"cohorts\":0}\n";
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, work.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    assert_exit(&output, 0);
    let said = text(&output);
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["protocol"], "krono.slices/1");
    assert_ne!(lines[0]["offered"], lines[0]["translated"]);
    let metrics = lines[1]["metrics"].as_object().expect("metrics");
    assert_eq!(metrics.len(), 3, "{metrics:?}");
    assert!(metrics.values().all(|value| value.as_f64().is_some_and(|value| value > 1.0)));
    // 80 bursts and a warm-up of an eighth; two cohorts of twice as many as there are subscribers.
    assert_eq!(lines[1]["packets"], 90 * 32 + 2 * 32);
    assert_eq!(lines[2], json!({"packets": 0, "metrics": {}}));
}

/// Run directories of a side: at these minutes, with these cycles a packet.
fn runs(folder: &Path, side: &str, runs: &[(usize, f64)]) -> Vec<String> {
    let scenario = folder.join("run.toml");
    let phase = "[[phase]]\nname = \"steady\"\nrate = \"100kpps\"\nfor = \"20ms\"\n";
    fs::write(&scenario, format!("{SCENARIO}{phase}").replace("[gate]\npairs = 16\n", ""))
        .expect("written");
    let template = folder.join("template");
    if !template.exists() {
        let out = template.to_str().expect("text");
        krono(folder, &["run", "run.toml", "--testbed", "sim", "--no-live", "--out", out]);
    }
    let summary = fs::read_to_string(template.join("summary.json")).expect("a summary");
    let mut summary: Value = serde_json::from_str(&summary).expect("JSON");
    let of = |(minute, cycles): &(usize, f64)| {
        summary["valid"] = json!(true);
        summary["invalid_reasons"] = json!([]);
        summary["run"]["started"] = json!(format!("2026-11-23T10:{minute:02}:00Z"));
        summary["sut"]["cores"][0]["cycles_per_packet"] = json!(cycles);
        let dir = folder.join(format!("{side}-{minute}"));
        fs::create_dir(&dir).expect("a run directory");
        fs::write(dir.join("summary.json"), summary.to_string()).expect("written");
        dir.to_str().expect("text").to_owned()
    };
    runs.iter().map(of).collect()
}

fn gate_of_runs(folder: &Path, base: &[String], candidate: &[String]) -> Output {
    let strings = |list: &[String]| list.iter().map(String::to_owned).collect::<Vec<_>>();
    let words = ["gate".to_owned(), "gate.toml".to_owned(), "--baseline".to_owned()];
    let all = [words.to_vec(), strings(base), vec!["--candidate".to_owned()], strings(candidate)];
    let all = all.concat();
    krono(folder, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn stored_runs_are_judged_if_they_were_taken_by_turns() {
    let folder = folder();
    let noise = |at: usize| 1.0 + 0.001 * (at * 7 % 5) as f64;
    // Every third pair the candidate went first.
    let minute =
        |at: usize, candidate: bool| 4 * at + usize::from(candidate != (at.is_multiple_of(3)));
    let side = |factor: f64, candidate: bool| -> Vec<(usize, f64)> {
        (0..9).map(|at| (minute(at, candidate), 100.0 * factor * noise(at))).collect()
    };
    let base = runs(folder.path(), "base", &side(1.0, false));
    let slower =
        gate_of_runs(folder.path(), &base, &runs(folder.path(), "slower", &side(1.03, true)));
    assert_exit(&slower, 1);
    assert!(text(&slower).contains("sut.cycles_per_packet"), "{}", text(&slower));
    let same = runs(folder.path(), "same", &side(1.0, true));
    assert_exit(&gate_of_runs(folder.path(), &base, &same), 0);
    let block: Vec<(usize, f64)> = (0..9).map(|at| (40 + at, 100.0)).collect();
    let block = gate_of_runs(folder.path(), &base, &runs(folder.path(), "block", &block));
    assert_exit(&block, 3);
    assert!(text(&block).contains("not taken by turns"), "{}", text(&block));
    assert_exit(&gate_of_runs(folder.path(), &base, &same[..3]), 3);
    let nothing = folder.path().join("nothing").to_str().expect("text").to_owned();
    assert_exit(&gate_of_runs(folder.path(), &[nothing], &same[..1]), 2);
}

/// Changes the summary of a run directory.
fn change(dir: &str, change: impl FnOnce(&mut Value)) {
    let path = Path::new(dir).join("summary.json");
    let text = fs::read_to_string(&path).expect("a summary");
    let mut summary: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut summary);
    fs::write(path, summary.to_string()).expect("written");
}

#[test]
fn stored_runs_that_prove_nothing_are_not_judged() {
    let folder = folder();
    let minutes = |first: usize| -> Vec<(usize, f64)> {
        (0..8).map(|at| (4 * at + (first + usize::from(at == 3)) % 2, 100.0)).collect()
    };
    let base = runs(folder.path(), "base", &minutes(0));
    let candidate = runs(folder.path(), "candidate", &minutes(1));
    let gate = || gate_of_runs(folder.path(), &base, &candidate);
    assert_exit(&gate(), 0);
    type Change = fn(&mut Value);
    let bound: Change = |s| {
        s["throughput"]["bound"] = json!("sut");
        s["throughput"]["at_least"] = json!(false);
    };
    let table: [(Change, i32, &str); 5] = [
        (|s| s["run"]["interrupted"] = json!(true), 2, "let it run to its end"),
        (|s| s["ledger"]["planned"] = json!(1), 2, "do not add up"),
        (|s| s["run"]["version"] = json!("0.0.9"), 3, "runs of two revisions or versions"),
        (|s| s["run"]["started"] = json!("noon"), 3, "`noon` is no time"),
        // What one run of one side alone knows is not judged, and does not pass.
        (bound, 3, "known of 0 of 8 runs of the base and 1 of 8 of the candidate"),
    ];
    for (damage, code, words) in table {
        let file = Path::new(&candidate[5]).join("summary.json");
        let before = fs::read(&file).expect("a summary");
        change(&candidate[5], damage);
        let output = gate();
        assert_exit(&output, code);
        assert!(text(&output).contains(words), "{words}: {}", text(&output));
        fs::write(&file, before).expect("written");
    }
    let twice = gate_of_runs(folder.path(), &base, &base);
    assert_exit(&twice, 3);
    assert!(text(&twice).contains("a run is on both sides"), "{}", text(&twice));
}

/// A program that counts as one does that measures slices, with `EXTRA` for each packet.
const COUNTED: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
volatile unsigned long sink;
__attribute__((noinline)) void measured_step(unsigned long packets) {
  for (unsigned long i = 0; i < packets; i++) { sink += i; EXTRA; }
}
__attribute__((noinline)) void measured_turn(unsigned long packets) {
  for (unsigned long i = 0; i < packets; i++) { sink += i; }
}
int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "run")) { execv(KRONO, argv); return 1; }
  puts("{\"protocol\":\"krono.slices/1\",\"offered\":\"a\",\"translated\":\"b\","
       "\"version\":\"0\",\"connections\":1008}");
  fflush(stdout);
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    unsigned long seed, bursts, cohorts;
    const char *form = "{\"seed\":%lu,\"bursts\":%lu,\"cohorts\":%lu}";
    if (sscanf(line, form, &seed, &bursts, &cohorts) != 3) return 2;
    unsigned long packets = bursts * 32 + cohorts * 64;
    measured_step(packets);
    measured_turn(packets);
    printf("{\"packets\":%lu,\"metrics\":{}}\n", packets);
    fflush(stdout);
  }
}
"#;

#[test]
fn one_more_instruction_for_each_packet_is_seen() {
    let missing = ["cc", "valgrind"].into_iter().find(|program| {
        let found = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        !found.is_ok_and(|status| status.success())
    });
    if let Some(program) = missing {
        eprintln!("skipped: {program} is not here");
        return;
    }
    let folder = folder();
    fs::write(folder.path().join("counted.c"), COUNTED).expect("written");
    let build = |name: &str, extra: &str| {
        let mut command = Command::new("cc");
        command.args(["-O1", "-g", "counted.c", "-o", name]).arg(format!("-DEXTRA={extra}"));
        command.arg(format!("-DKRONO=\"{}\"", env!("CARGO_BIN_EXE_krono")));
        let built = command.current_dir(folder.path()).status().expect("cc starts");
        assert!(built.success(), "{name}");
        folder.path().join(name).to_str().expect("text").to_owned()
    };
    let (base, slower) = (build("base", ""), build("slower", "__asm__ volatile(\"nop\")"));
    let arguments = ["gate", "gate.toml", "--tier", "exact", "--base", &base];
    let output = krono(folder.path(), &[&arguments[..], &["--candidate", &slower]].concat());
    assert_exit(&output, 1);
    let said = text(&output);
    let reasons = said.lines().filter(|line| line.contains("+1.0 for each")).count();
    // Outbound and inbound of both protocols, and what opens connections; not their end.
    assert_eq!(reasons, 5, "{said}");
    for passed in ["expire", "step.allocations", "translated.frames", "simulated.figures"] {
        let row = said.lines().find(|line| line.starts_with(passed)).expect("a row");
        assert!(row.trim_end().ends_with("pass"), "{row}");
    }
}
