//! The command as people and CI call it: what it prints where, and how it exits.

use etherparse::Ipv4HeaderSlice;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const SCENARIO: &str = r#"schema = 1
question = "What does one core forward?"

[traffic]
genome = "imix-7-4-1"
connections = 2048

[[phase]]
name = "fill"
open = "100k/s"

[[phase]]
name = "steady"
rate = "100kpps"
for = "500ms"

[pass]
"ledger.mistranslated" = { max = 0 }
"#;

fn krono(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_krono"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("krono starts")
}

/// A folder with a scenario in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("steady.toml"), SCENARIO).expect("written");
    folder
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", stdout(output), stderr(output));
}

#[test]
fn check_says_which_scenarios_are_valid_and_why_others_are_not() {
    let folder = folder();
    fs::write(folder.path().join("bad.toml"), SCENARIO.replace("connections", "conections"))
        .expect("written");
    let good = krono(folder.path(), &["check", "steady.toml"]);
    assert_exit(&good, 0);
    assert_eq!(stdout(&good), "steady.toml: valid\n");
    assert_eq!(stderr(&good), "");
    let both = krono(folder.path(), &["check", "bad.toml", "steady.toml"]);
    assert_exit(&both, 2);
    assert_eq!(stdout(&both), "steady.toml: valid\n");
    let text = stderr(&both);
    assert!(text.starts_with("bad.toml:6: traffic.conections: "), "{text}");
    assert!(text.contains("\"connections\""), "{text}");
    assert!(text.lines().count() <= 2, "{text}");
    assert_exit(&krono(folder.path(), &["check", "missing.toml"]), 2);
}

#[test]
fn explain_applies_what_is_set() {
    let folder = folder();
    let plain = krono(folder.path(), &["explain", "steady.toml"]);
    assert_exit(&plain, 0);
    assert!(stdout(&plain).contains("50,000 of data"), "{}", stdout(&plain));
    let set = ["explain", "steady.toml", "--set", "phase.steady.for=2s", "--seed", "7"];
    let set = krono(folder.path(), &set);
    assert!(stdout(&set).contains("200,000 of data"), "{}", stdout(&set));
    assert!(stdout(&set).contains("seed 7"), "{}", stdout(&set));
    let wrong = ["explain", "steady.toml", "--set", "traffic.connections=many"];
    let wrong = krono(folder.path(), &wrong);
    assert_exit(&wrong, 2);
    assert!(stderr(&wrong).contains("--set traffic.connections=many"), "{}", stderr(&wrong));
}

#[test]
fn every_help_has_an_example_and_wrong_usage_exits_with_2() {
    let folder = folder();
    let help = krono(folder.path(), &["--help"]);
    assert_exit(&help, 0);
    let text = stdout(&help);
    let commands = text.split("Commands:").nth(1).expect("a list").split("Options:").next();
    for line in commands.expect("a list").lines().filter(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next().unwrap_or("help");
        if name == "help" || line.starts_with("   ") {
            continue;
        }
        let help = krono(folder.path(), &[name, "--help"]);
        assert_exit(&help, 0);
        assert!(stdout(&help).contains(&format!("Example:\n  krono {name}")), "{name}");
    }
    for wrong in [&["frobnicate"][..], &["check"], &["explain", "steady.toml", "--testbed", "moon"]]
    {
        let output = krono(folder.path(), wrong);
        assert_exit(&output, 2);
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn doctor_and_schema_print_json() {
    let folder = folder();
    let doctor = krono(folder.path(), &["doctor", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&stdout(&doctor)).expect("JSON");
    let can_run = value["can_run"].as_bool().expect("said");
    assert_exit(&doctor, if can_run { 0 } else { 1 });
    let schema = krono(folder.path(), &["schema", "summary"]);
    assert_exit(&schema, 0);
    let value: serde_json::Value = serde_json::from_str(&stdout(&schema)).expect("JSON");
    assert!(value["properties"]["ledger"].is_object());
}

#[test]
fn a_directory_that_is_no_run_has_no_report() {
    let folder = folder();
    let output = krono(folder.path(), &["report", "."]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("no summary.json"), "{}", stderr(&output));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = folder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_krono"))
        .args(["schema"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("krono starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

/// Runs krono and ends it if it takes longer than a minute.
fn krono_within_a_minute(folder: &Path, arguments: &[&str]) -> Output {
    let child = Command::new("timeout")
        .args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_krono")])
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("krono starts");
    assert_ne!(child.status.code(), Some(137), "{arguments:?} took more than a minute");
    child
}

fn summary(folder: &Path) -> serde_json::Value {
    let text = fs::read_to_string(folder.join("summary.json")).expect("a summary");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_testbed_that_cannot_run_here_exits_with_3_and_writes_nothing() {
    let folder = folder();
    let fast = ["run", "steady.toml", "--testbed", "netns", "--set", "phase.steady.rate=1Mpps"];
    let output = krono(folder.path(), &fast);
    assert_exit(&output, 3);
    let text = stderr(&output);
    assert!(text.contains("netns") && text.contains("phase.steady.rate=20kpps"), "{text}");
    let output = krono(folder.path(), &["run", "steady.toml", "--testbed", "hosts:rack.toml"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("rack.toml: "), "{}", stderr(&output));
    assert!(!folder.path().join("results").exists());
}

#[test]
fn what_the_machine_lacks_exits_with_2_and_writes_nothing() {
    let folder = folder();
    let cores = ["run", "steady.toml", "--set", "topology.sut.cores=100", "--out", "out"];
    let cores = [&cores[..], &["--set", "traffic.connections=100000"]].concat();
    let output = krono(folder.path(), &cores);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("need 101 CPUs"), "{}", stderr(&output));
    assert!(!folder.path().join("out").exists());
}

#[test]
fn a_directory_that_is_taken_is_left_alone() {
    let folder = folder();
    fs::create_dir(folder.path().join("out")).expect("made");
    fs::write(folder.path().join("out/precious"), "mine").expect("written");
    let output = krono(folder.path(), &["run", "steady.toml", "--out", "out"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("not empty"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(folder.path().join("out")).expect("listed").count(), 1);
    let impossible = krono(folder.path(), &["run", "steady.toml", "--out", "steady.toml/out"]);
    assert_exit(&impossible, 2);
    assert!(stderr(&impossible).contains("no directory"), "{}", stderr(&impossible));
}

/// Processors this process may use; a run needs two.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn a_run_leaves_a_directory_with_everything_in_it() {
    if processors() < 2 {
        return println!("skipped: a run needs two processors");
    }
    let folder = folder();
    let run = ["run", "steady.toml", "--out", "out", "--format", "jsonl"];
    let output = krono_within_a_minute(folder.path(), &run);
    // On a busy machine the generator is late, and says so: that is no fault of the command.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4)), "{code:?} {}", stderr(&output));
    let out = folder.path().join("out");
    for file in ["plan.toml", "host.json", "samples.csv", "events.csv", "latency.hlog"] {
        assert!(out.join(file).metadata().is_ok_and(|file| file.len() > 0), "{file}");
    }
    assert_eq!(fs::read_to_string(out.join("scenario.toml")).expect("there"), SCENARIO);
    let page = fs::read_to_string(out.join("report.html")).expect("a report");
    assert!(page.contains("What does one core forward?"));
    let summary = summary(&out);
    assert_eq!(summary["schema"], "krono.summary/1");
    assert_eq!(summary["run"]["id"], "out");
    assert_eq!(summary["ledger"]["mistranslated"], 0);
    assert_eq!(summary["connections"]["held_peak"], 2048);
    assert_eq!(summary["valid"], code == Some(0));
    // The generator alone, at the rate of the run and over the same connections.
    let error = &summary["latency_error_us"];
    assert!(error["rate_mpps"].as_f64().is_some_and(|it| (it - 0.1).abs() < 0.001), "{error}");
    assert!(error["packets"].as_u64().is_some_and(|it| (40_000..=50_000).contains(&it)), "{error}");
    let bounds = ["p50", "p90", "p99", "p999"].map(|name| error[name].as_f64().expect("a bound"));
    assert!(bounds[0] > 0.064 && bounds.is_sorted(), "{error}");
    let text = stdout(&output);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
    let (last, before) = lines.split_last().expect("lines");
    assert_eq!(last["summary"], summary);
    assert!(before.iter().any(|line| line["progress"]["phase"] == "steady"), "{text}");
}

#[test]
fn an_interrupted_run_keeps_and_marks_what_it_has() {
    if processors() < 2 {
        return println!("skipped: a run needs two processors");
    }
    let folder = folder();
    let run = ["run", "steady.toml", "--out", "out", "--set", "phase.steady.for=50s"];
    let child = Command::new("timeout")
        .args(["--foreground", "--kill-after=20", "--signal=INT", "9"])
        .arg(env!("CARGO_BIN_EXE_krono"))
        .args(run)
        .args(["--format", "json", "--no-live"])
        .current_dir(folder.path())
        .output()
        .expect("krono starts");
    // `timeout` says 124 whatever the command it interrupted says.
    assert_exit(&child, 124);
    let summary = summary(&folder.path().join("out"));
    assert_eq!(summary["run"]["interrupted"], true, "{}", stderr(&child));
    assert!(summary["ledger"]["planned"].as_u64().is_some_and(|planned| planned > 0));
    let samples = fs::read_to_string(folder.path().join("out/samples.csv")).expect("samples");
    assert!(samples.lines().count() > 10, "{samples}");
}

/// A SUT that drops, damages, mistranslates or leaks is caught, and the summary names what it did.
/// The faults hit what the SUT sends; nothing else tells the generator of them.
#[test]
fn a_sut_at_fault_is_caught_and_named() {
    if processors() < 2 {
        return println!("skipped: a run needs two processors");
    }
    let folder = folder();
    for (fault, criterion) in [
        ("drop", "ledger.lost"),
        ("corrupt", "ledger.corrupt"),
        ("mistranslate", "ledger.mistranslated"),
        ("misdeliver", "ledger.mistranslated"),
    ] {
        let scenario = SCENARIO.replace("ledger.mistranslated", criterion)
            + &format!("\n[faults]\n{fault} = \"1/1000\"\n");
        let name = format!("{fault}.toml");
        fs::write(folder.path().join(&name), scenario).expect("written");
        let output = krono_within_a_minute(folder.path(), &["run", &name, "--out", fault]);
        let text = stderr(&output);
        // On a busy machine the run may be invalid beside: then that comes first.
        assert!(matches!(output.status.code(), Some(1 | 4)), "{fault}: {:?} {text}", output.status);
        let summary = summary(&folder.path().join(fault));
        let judged = &summary["pass"]["criteria"][0];
        assert_eq!(
            (&judged["name"], &judged["met"]),
            (&criterion.into(), &false.into()),
            "{fault}"
        );
        let count = summary["ledger"][criterion.trim_start_matches("ledger.")].as_u64();
        assert!(count.is_some_and(|count| count > 0), "{fault}: {count:?}");
        assert_eq!(summary["pass"]["met"], false, "{fault}");
        let kept = folder.path().join(fault).join("mistranslated.pcapng");
        assert_eq!(kept.exists(), criterion == "ledger.mistranslated", "{fault}");
        if kept.exists() {
            let comments = comments(&kept);
            assert!((1..=64).contains(&comments.len()), "{fault}: {} frames", comments.len());
            for comment in comments {
                assert!(comment.starts_with("mistranslated in phase "), "{fault}: {comment}");
                let (_, ends) = comment.split_once("expected ").expect("an expectation");
                let (expected, got) = ends.split_once(", got ").expect("what came");
                assert!(!got.starts_with(&format!("{expected};")), "{fault}: {comment}");
            }
        }
    }
}

/// A sample has each packet as it left and as the SUT sent it on, and an oracle that is not ours reads both.
#[test]
fn a_sample_shows_packets_on_both_sides() {
    if processors() < 2 {
        return println!("skipped: a run needs two processors");
    }
    let folder = folder();
    let run = ["run", "steady.toml", "--out", "out", "--capture-sample", "40"];
    let output = krono_within_a_minute(folder.path(), &run);
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", stderr(&output));
    let file = fs::File::open(folder.path().join("out/sample.pcapng")).expect("it is there");
    let mut reader = PcapNgReader::new(file).expect("a capture");
    let (mut sides, mut translated) = ([0, 0], 0);
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block.expect("a block") else { continue };
        sides[packet.interface_id as usize] += 1;
        let header = Ipv4HeaderSlice::from_slice(&packet.data[14..]).expect("a header");
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        // What comes back from inside bears an external address, and goes to the same server.
        let inside = |address: Ipv4Addr| address.octets()[0] == 100;
        let ends = [header.source_addr(), header.destination_addr()];
        assert!(packet.interface_id == 0 || header.ttl() < 64, "{}", header.ttl());
        translated += usize::from(packet.interface_id == 1 && !ends.into_iter().any(inside));
    }
    assert!((30..=40).contains(&sides[0]), "{sides:?}");
    assert!(sides[1] * 10 >= sides[0] * 9, "{sides:?}");
    assert!(translated * 4 > sides[1], "{translated} of {sides:?} left the subscribers' side");
    let refused = ["run", "steady.toml", "--testbed", "sim", "--capture-sample", "4"];
    assert_exit(&krono(folder.path(), &refused), 2);
}

/// Comments of the packets of a pcapng file.
fn comments(file: &Path) -> Vec<String> {
    let file = fs::File::open(file).expect("it is there");
    let mut reader = PcapNgReader::new(file).expect("a capture");
    let mut comments = Vec::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block.expect("a block") else { continue };
        comments.extend(packet.options.iter().filter_map(|option| match option {
            EnhancedPacketOption::Comment(text) => Some(text.to_string()),
            _ => None,
        }));
    }
    comments
}

/// More connections than the table holds, a flood by half of the subscribers and a scan: the limits are
/// held to the packet, every refusal has its reason, and of what is measured nothing is lost.
#[test]
fn attacks_are_stopped_and_what_is_established_loses_nothing() {
    if processors() < 2 {
        return println!("skipped: a run needs two processors");
    }
    let folder = folder();
    // 32 subscribers with 64 connections each. On a busy machine all their handshakes may be under way
    // at once: the limit is for the flood alone.
    let attack = "rate = \"max\"\nsyn_flood = \"50k/s\"\nattackers = 16\nscan = \"50k/s\"";
    let source = SCENARIO
        .replace("connections = 2048", "connections = 2048\nsubscribers = 32")
        .replace("rate = \"100kpps\"", attack);
    let roomy = "[sut]\nport_block = 128\nhalf_open_max = 64\n";
    let full = roomy.to_owned() + "table_entries = 2000\novercommit = true\n";
    for (name, sut, opened, passed, reason) in
        [("flood", roomy, 2048, 16 * 64, "half_open_limit"), ("full", &full, 2000, 0, "table_full")]
    {
        let file = format!("{name}.toml");
        let text = source.clone() + "\"ledger.scan_passed\" = { max = 0 }\n" + sut;
        fs::write(folder.path().join(&file), text).expect("written");
        let output = krono_within_a_minute(folder.path(), &["run", &file, "--out", name]);
        assert_exit(&output, 0);
        let summary = summary(&folder.path().join(name));
        let (ledger, drops) = (&summary["ledger"], &summary["sut"]["drops"]);
        let count = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
        assert_eq!(count(&summary["connections"]["opened"]), opened, "{name}");
        assert_eq!(count(&summary["sut"]["connections_peak"]), opened + passed, "{name}");
        assert_eq!(count(&summary["throughput"]["trials"][0]["lost"]), 0, "{name}");
        assert_eq!(count(&ledger["flood_passed"]), passed, "{name}");
        let (flood, scan) = (count(&ledger["flood_sent"]), count(&ledger["scan_sent"]));
        assert!(flood > 5_000 && scan > 5_000, "{name}: {flood} {scan}");
        // Whatever was sent and did not pass was refused by name.
        let given_up = count(&ledger["lost"]);
        assert_eq!(count(&drops[reason]), flood - passed + given_up, "{name}: {drops}");
        let scanned = count(&drops["unknown_inbound"]) + count(&drops["filtered_inbound"]);
        assert_eq!(scanned, scan, "{name}: {drops}");
    }
}
