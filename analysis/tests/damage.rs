//! Damaged runs: each is refused with a sentence that names the file and the remedy. Never a panic,
//! never a verdict from half the data.

mod stored;

use analysis::command::{self, Compare, Export, Outcome, Unusable};
use clap::Parser;
use std::fs;
use std::path::Path;
use stored::Store;

#[derive(Parser)]
struct CompareLine {
    #[command(flatten)]
    args: Compare,
}

#[derive(Parser)]
struct ExportLine {
    #[command(flatten)]
    args: Export,
}

/// Every command that judges or exports, on the damaged run.
fn call(good: &Path, bad: &Path) -> Vec<Result<Outcome, Unusable>> {
    let (good, bad) = (good.to_str().expect("text"), bad.to_str().expect("text"));
    let compare = |words: &[&str]| command::compare(&CompareLine::parse_from(words).args);
    let export = |words: &[&str]| command::export(&ExportLine::parse_from(words).args);
    vec![
        compare(&["compare", good, bad]),
        compare(&["compare", bad, good]),
        compare(&["compare", "--matrix", good, bad]),
        export(&["export", bad, "--to", "csv"]),
        export(&["export", bad, "--to", "junit"]),
    ]
}

/// Half of a file, cut within a line.
fn half(path: &Path) {
    let bytes = fs::read(path).expect("there");
    let mut end = bytes.len() / 2;
    while bytes[end - 1] == b'\n' {
        end -= 1;
    }
    fs::write(path, &bytes[..end]).expect("written");
}

/// Half of the lines of a file.
fn half_of_lines(path: &Path) {
    let text = fs::read_to_string(path).expect("there");
    let lines: Vec<&str> = text.lines().collect();
    fs::write(path, lines[..lines.len() / 2].join("\n") + "\n").expect("written");
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("there");
    assert!(text.contains(from), "{}: no `{from}`", path.display());
    fs::write(path, text.replacen(from, to, 1)).expect("written");
}

/// What is done to a run, the file that the refusal names, and words of it.
type Damage = (&'static str, fn(&Path), &'static str, &'static str);

#[test]
fn every_damage_is_refused_with_its_file_and_remedy() {
    let table: [Damage; 23] = [
        ("no summary", |d| fs::remove_file(d.join("summary.json")).unwrap(), "", "no summary.json"),
        ("half a summary", |d| half(&d.join("summary.json")), "summary.json", "restore"),
        (
            "an empty summary",
            |d| fs::write(d.join("summary.json"), "").unwrap(),
            "summary.json",
            "restore",
        ),
        (
            "of a later schema",
            |d| replace(&d.join("summary.json"), "krono.summary/1", "krono.summary/2"),
            "summary.json",
            "krono version",
        ),
        (
            "of no schema",
            |d| replace(&d.join("summary.json"), "\"schema\"", "\"scheme\""),
            "summary.json",
            "no `schema`",
        ),
        (
            "no number",
            |d| {
                replace(
                    &d.join("summary.json"),
                    "\"forwarded_mpps\": 9.2602432",
                    "\"forwarded_mpps\": NaN",
                )
            },
            "summary.json",
            "restore",
        ),
        (
            "too large a number",
            |d| {
                replace(
                    &d.join("summary.json"),
                    "\"forwarded_mpps\": 9.2602432",
                    "\"forwarded_mpps\": 1e999",
                )
            },
            "summary.json",
            "restore",
        ),
        (
            "a missing field",
            |d| replace(&d.join("summary.json"), "\"genome\"", "\"gnome\""),
            "summary.json",
            "genome",
        ),
        (
            "no trial",
            |d| stored::edit(d, |s| s.throughput.trials.clear()),
            "summary.json",
            "no trial",
        ),
        (
            "a negative rate",
            |d| stored::edit(d, |s| s.throughput.trials[0].forwarded_mpps = -1.0),
            "summary.json",
            "trial 1",
        ),
        (
            "a ledger that does not add up",
            |d| stored::edit(d, |s| s.ledger.lost += 1),
            "summary.json",
            "add up",
        ),
        (
            "interrupted",
            |d| stored::edit(d, |s| s.run.interrupted = true),
            "summary.json",
            "run to its end",
        ),
        (
            "another host",
            |d| replace(&d.join("host.json"), "AMD EPYC", "other"),
            "host.json",
            "two runs",
        ),
        (
            "another plan",
            |d| replace(&d.join("plan.toml"), "sut_cores = 1", "sut_cores = 2"),
            "plan.toml",
            "two runs",
        ),
        ("half a table", |d| half(&d.join("samples.csv")), "samples.csv", "restore"),
        ("half of its rows", |d| half_of_lines(&d.join("samples.csv")), "samples.csv", "covers"),
        (
            "a missing column",
            |d| replace(&d.join("samples.csv"), "forwarded_pps", "fwd"),
            "samples.csv",
            "forwarded_pps",
        ),
        (
            "a row that is no number",
            |d| replace(&d.join("samples.csv"), "2500895.847490196", "NaN"),
            "samples.csv",
            "line 2",
        ),
        (
            "a table cut within its last number",
            |d| {
                let path = d.join("samples.csv");
                let text = fs::read_to_string(&path).expect("there");
                fs::write(&path, text.trim_end()).expect("written");
            },
            "samples.csv",
            "cut off",
        ),
        (
            "valid in spite of its reasons",
            |d| stored::edit(d, |s| s.invalid_reasons.push("generator was late".to_owned())),
            "summary.json",
            "why it is invalid",
        ),
        (
            "a rate that no trial had",
            |d| stored::edit(d, |s| s.throughput.forwarded_mpps = Some(12.0)),
            "summary.json",
            "throughput.forwarded_mpps is 12",
        ),
        (
            "a rate below that of every trial",
            |d| stored::edit(d, |s| s.throughput.forwarded_mpps = Some(1.0)),
            "summary.json",
            "throughput.forwarded_mpps is 1,",
        ),
        ("half a histogram", |d| half(&d.join("latency.hlog")), "latency.hlog", "restore"),
    ];
    for (name, damage, file, words) in table {
        let store = Store::new();
        let (good, bad) = (store.copy("good"), store.copy("bad"));
        damage(&bad);
        for refused in call(&good, &bad) {
            let error = match refused {
                Err(error) => error.to_string(),
                Ok(outcome) => panic!("{name}: a result:\n{}", outcome.text),
            };
            let path = bad.join(file);
            let path = path.to_str().expect("text").trim_end_matches('/');
            assert!(error.starts_with(path), "{name}: {error}");
            assert!(error.contains(words), "{name}: {error}");
            let remedies = ["restore", "repeat", "run to its end", "krono version", "name a dir"];
            assert!(remedies.iter().any(|remedy| error.contains(remedy)), "{name}: {error}");
            assert!(!error.contains('\n'), "{name}: one sentence: {error}");
        }
    }
}

#[test]
fn what_is_only_missing_is_not_judged() {
    let store = Store::new();
    let (good, bad) = (store.copy("good"), store.copy("bad"));
    fs::remove_file(bad.join("samples.csv")).expect("there");
    let outcome = command::compare(
        &CompareLine::parse_from(["compare", good.to_str().unwrap(), bad.to_str().unwrap()]).args,
    );
    let text = outcome.expect("whole enough to be printed").text;
    let row = text.lines().find(|line| line.contains("forwarded per core ")).expect("printed");
    assert!(row.ends_with("not judged"), "{row}");
    assert!(text.contains("samples.csv is missing"), "{text}");
}
