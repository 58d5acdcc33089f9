//! `krono run --metrics`: what is answered while a run lasts, to curl, and what a parser of the
//! format by others makes of it.

mod child;

use child::{ended, line_after};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const KRONO: &str = env!("CARGO_BIN_EXE_krono");

const SCENARIO: &str = r#"
schema = 1
question = "What does it say of itself?"
seed = 7
[topology]
polling = "adaptive"
[traffic]
genome = "imix-7-4-1"
connections = 2048
[[phase]]
name = "fill"
open = "20k/s"
[[phase]]
name = "steady"
rate = "20kpps"
for = "5s"
"#;

/// Reads the text as the format's own people do, and says how many samples it has.
const PARSER: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
print(sum(len(family.samples) for family in parse(sys.stdin.read())))
";

fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-s", "-S", "--max-time", "10"]).args(arguments);
    let output = command.output().expect("curl");
    String::from_utf8(output.stdout).expect("text")
}

fn is_there(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Samples that another parser finds; `None` where it is not there.
fn parsed(text: &str) -> Option<usize> {
    if !is_there("python3", &["-c", "import prometheus_client.openmetrics.parser"]) {
        println!("no second opinion: apt-get install python3-prometheus-client");
        return None;
    }
    let mut command = Command::new("python3");
    command.args(["-c", PARSER]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = command.spawn().expect("python3");
    python.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = ended(python);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}: {text}");
    Some(String::from_utf8_lossy(&output.stdout).trim().parse().expect(&said))
}

#[test]
fn a_run_answers_while_it_lasts() {
    if !is_there("curl", &["--version"]) {
        println!("skipped: apt-get install curl");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.toml"), SCENARIO).expect("written");
    let mut command = Command::new(KRONO);
    command.args(["run", "a.toml", "--metrics", "127.0.0.1:0", "--out", "out", "--no-live"]);
    command.current_dir(folder.path()).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = command.spawn().expect("krono starts");
    let url = line_after("metrics: ", run.stderr.take());
    let begun = Instant::now();
    let text = loop {
        let text = curl(&[&url]);
        if text.contains("krono_forwarded_pps{role=\"sut\"") && text.contains("\"steady\"") {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{text}");
        assert_eq!(run.try_wait().expect("ours"), None, "it ended: {text}");
        thread::sleep(Duration::from_millis(50));
    };
    assert!(text.ends_with("# EOF\n"), "{text}");
    let is_sample = |line: &&str| !line.starts_with('#');
    let samples = text.lines().filter(is_sample).count();
    assert!(samples >= 10, "{text}");
    for sample in text.lines().filter(is_sample) {
        let value = sample.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= 0.0), "{sample}");
        let name = sample.split(['{', ' ']).next().expect("a name");
        let family = name.trim_end_matches("_total").trim_end_matches("_info");
        assert!(text.contains(&format!("# TYPE {family} ")), "{family}: {text}");
    }
    if let Some(others) = parsed(&text) {
        assert_eq!(others, samples, "{text}");
    }
    let head = curl(&["-i", &url]).to_lowercase();
    let expected = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.starts_with("http/1.1 200") && head.contains(expected), "{head}");
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&[&status[..], &[&url, "-X", "POST"]].concat()), "405");
    assert_eq!(curl(&[&status[..], &[&url.replace("metrics", "other")]].concat()), "404");
    let output = ended(run);
    assert!(folder.path().join("out/summary.json").is_file(), "{output:?}");
    assert_eq!(curl(&[&url]), "", "it is gone with the run");
}

#[test]
fn an_address_that_is_taken_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.toml"), SCENARIO).expect("written");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut command = Command::new(KRONO);
    command.args(["run", "a.toml", "--metrics", &address, "--out", "out"]);
    command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = ended(command.spawn().expect("krono starts"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains(&address), "{said}");
    assert!(!folder.path().join("out").exists());
}
