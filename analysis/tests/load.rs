//! Run directories: whole, partial, damaged and of another version.

mod fixture;

use analysis::load::{LoadError, load};
use std::fs;

#[test]
fn a_whole_run_is_read_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fixture::write(dir.path(), &fixture::summary());
    let run = load(dir.path()).expect("a whole run");
    assert_eq!(run.summary, fixture::summary());
    assert_eq!((run.samples.len(), run.events.len()), (52, 5));
    assert_eq!(run.latency.expect("a log").by_tag.len(), 2);
    assert_eq!(run.plan.as_deref(), Some("seed = 24301\n"));
    assert!(run.notes.is_empty(), "{:?}", run.notes);
}

#[test]
fn a_partial_run_is_read_with_notes() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut summary = fixture::summary();
    summary.run.interrupted = true;
    fixture::write(dir.path(), &summary);
    for name in ["samples.csv", "events.csv", "host.json", "plan.toml", "latency.hlog"] {
        fs::remove_file(dir.path().join(name)).expect("written above");
    }
    let run = load(dir.path()).expect("a partial run");
    assert_eq!(run.notes.len(), 3, "{:?}", run.notes);
    assert_eq!(run.host, summary.host);
}

#[test]
fn errors_name_the_file_and_the_remedy() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name);
    let message = || load(dir.path()).expect_err("broken on purpose").to_string();

    assert!(matches!(load(dir.path()), Err(LoadError::NotARun(_))));
    assert!(message().contains("no summary.json"));

    fs::write(at("summary.json"), r#"{"schema": "krono.summary/99"}"#).expect("temporary");
    assert!(matches!(load(dir.path()), Err(LoadError::Schema { .. })));
    assert!(message().contains("krono.summary/99") && message().contains("newer"), "{}", message());

    fs::write(at("summary.json"), "{\"schema\": \"krono.summary/1\",\n 7}").expect("temporary");
    assert!(message().contains("line 2"), "{}", message());

    fs::write(at("summary.json"), "{}").expect("temporary");
    assert!(message().contains("no `schema`"), "{}", message());

    for (name, bytes) in [
        ("samples.csv", &b"t_s\nsoon\n"[..]),
        ("events.csv", b"t_s,kind,what\nx,y,z\n"),
        ("host.json", b"["),
        ("plan.toml", b"\xff"),
        ("latency.hlog", b"nonsense\n"),
    ] {
        fixture::write(dir.path(), &fixture::summary());
        fs::write(at(name), bytes).expect("temporary");
        assert!(message().contains(name) && message().contains("restore it"), "{}", message());
    }
}
