//! Histories: what gets in, and where their level changed.

mod stored;

use analysis::command::{self, Add, History, HistoryCommand, Trend};
use clap::Parser;
use std::fs;
use std::path::{Path, PathBuf};
use stored::{Store, edit, scale_rates};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Trend,
}

fn add(runs: &[PathBuf], to: &Path) -> Result<command::Outcome, command::Unusable> {
    let add = Add { runs: runs.to_vec(), to: to.to_owned() };
    command::history(&History { command: HistoryCommand::Add(add) })
}

fn trend(file: &Path, more: &[&str]) -> Result<command::Outcome, command::Unusable> {
    let words = ["trend", file.to_str().expect("text")].into_iter().chain(more.iter().copied());
    command::trend(&Line::parse_from(words).args)
}

/// A history of so many runs, the last of which have another rate.
fn history(store: &Store, runs: usize, changed: usize, factor: f64) -> PathBuf {
    let file = store.path().join(format!("lab-{runs}-{changed}-{factor}.ndjson"));
    for i in 0..runs {
        let dir = store.copy(&format!("run-{runs}-{changed}-{factor}-{i:02}"));
        // Some noise of a per mille that repeats every seven runs.
        let noise = 1.0 + 0.001 * ((i * 3 % 7) as f64 - 3.0);
        scale_rates(&dir, noise * if i >= runs - changed { factor } else { 1.0 });
        edit(&dir, |summary| {
            summary.run.started = format!("2026-11-{:02}T00:00:00Z", i + 1);
            summary.run.git = Some(format!("rev{i:02}"));
        });
        add(&[dir], &file).unwrap_or_else(|error| panic!("{error}"));
    }
    file
}

#[test]
fn a_change_is_told_with_its_commits_and_exit_code() {
    let store = Store::new();
    let steady = trend(&history(&store, 20, 0, 1.0), &[]).expect("a trend");
    assert_eq!(steady.code, 0, "{}", steady.text);
    assert!(steady.text.contains("No change"), "{}", steady.text);
    let slower = history(&store, 20, 6, 0.95);
    let worse = trend(&slower, &[]).expect("a trend");
    assert_eq!(worse.code, 1, "{}", worse.text);
    assert!(worse.text.contains("rev13..rev14") && worse.text.contains("worse"), "{}", worse.text);
    assert_eq!(trend(&slower, &["--recent", "5"]).expect("a trend").code, 0, "old news");
    let faster = trend(&history(&store, 20, 6, 1.05), &[]).expect("a trend");
    assert_eq!(faster.code, 0, "{}", faster.text);
    assert!(faster.text.contains("better"), "{}", faster.text);
    let few = trend(&history(&store, 5, 0, 1.0), &[]).expect("a trend");
    assert_eq!(few.code, 4, "{}", few.text);
    assert!(few.text.contains("at least 8 are needed"), "{}", few.text);
}

#[test]
fn runs_of_another_class_are_another_series() {
    let store = Store::new();
    let file = history(&store, 12, 0, 1.0);
    let other = store.copy("other");
    scale_rates(&other, 0.5);
    edit(&other, |summary| summary.host.cpu_model = Some("other".to_owned()));
    add(&[other], &file).expect("added");
    let json = trend(&file, &["--format", "json"]).expect("a trend");
    let value: serde_json::Value = serde_json::from_str(&json.text).expect("JSON");
    let series = value["series"].as_array().expect("a list");
    let runs: Vec<u64> = series
        .iter()
        .filter(|it| it["figure"] == "forwarded per core")
        .map(|it| it["runs"].as_u64().expect("a count"))
        .collect();
    assert_eq!(runs.iter().sum::<u64>(), 13);
    assert!(runs.contains(&1) && runs.contains(&12), "{runs:?}");
    assert_eq!(json.code, 0, "half the rate on another host is no news");
}

#[test]
fn what_proves_nothing_stays_out_and_nothing_gets_in_twice() {
    let store = Store::new();
    let file = store.path().join("lab.ndjson");
    let run = store.changed("a", |_| {});
    let invalid = store.changed("b", |summary| summary.valid = false);
    assert!(add(std::slice::from_ref(&invalid), &file).is_err());
    assert!(add(&[run.clone(), invalid], &file).is_err());
    assert!(!file.exists(), "all or none");
    add(std::slice::from_ref(&run), &file).expect("added");
    let again = add(&[run], &file).expect_err("twice").to_string();
    assert!(again.contains("in it already"), "{again}");
    let bound = store.changed("bound", |summary| summary.throughput.at_least = true);
    add(&[bound], &file).expect("added");
    let json = trend(&file, &["--format", "json"]).expect("a trend").text;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let of = |figure: &str| {
        let series = value["series"].as_array().expect("a list").iter();
        series.filter(|it| it["figure"] == figure).map(|it| it["runs"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("forwarded per core"), [1], "a lower bound is no point of a trend");
    assert_eq!(of("cycles per packet"), [2]);
}

#[test]
fn a_damaged_history_is_refused_by_line() {
    let store = Store::new();
    let file = history(&store, 3, 0, 1.0);
    let whole = fs::read_to_string(&file).expect("there");
    for (damaged, words) in [
        (whole[..whole.len() - 40].to_owned(), "line 3: it ends in the middle"),
        (whole.replacen("krono.history/1", "krono.history/9", 1), "line 1: schema is"),
        (whole.replacen("\"value\"", "\"worth\"", 1), "line 1"),
        (whole.clone() + "nonsense\n", "line 4"),
    ] {
        fs::write(&file, damaged).expect("written");
        let error = trend(&file, &[]).expect_err(words).to_string();
        assert!(error.contains(words) && error.contains("restore"), "{error}");
        let run = store.path().join("run-3-0-1-00");
        assert!(add(&[run], &file).is_err(), "nothing is added to a damaged history");
    }
    assert!(trend(&store.path().join("none"), &[]).is_err());
}
