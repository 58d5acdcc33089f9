//! Stored runs side by side: what is refused, what is judged, what is only printed.

mod stored;

use analysis::command::{Compare, Outcome, Unusable, compare};
use clap::Parser;
use format::Summary;
use format::summary::{Bound, Energy};
use std::path::Path;
use stored::{Store, scale_rates, trials};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Compare,
}

fn call(store: &Store, line: &str) -> Result<Outcome, Unusable> {
    let words = line.split_whitespace().map(str::to_owned);
    let mut args = Line::parse_from(["compare".to_owned()].into_iter().chain(words)).args;
    args.runs.iter_mut().for_each(|run| *run = store.path().join(&run));
    compare(&args)
}

fn compared(store: &Store, line: &str) -> Outcome {
    call(store, line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// The row of a figure in the text.
fn line<'a>(text: &'a str, figure: &str) -> &'a str {
    let row = text.lines().find(|line| line.trim_start().starts_with(figure));
    row.unwrap_or_else(|| panic!("no `{figure}` in\n{text}"))
}

#[test]
fn a_run_beside_itself_differs_in_nothing() {
    let store = Store::new();
    store.copy("a");
    let outcome = compared(&store, "a a");
    assert_eq!(outcome.code, 0);
    assert!(outcome.text.contains("nothing that is recorded"), "{}", outcome.text);
    for figure in ["forwarded per core ", "cycles per packet", "lost", "memory per connection"] {
        let row = line(&outcome.text, figure);
        assert!(row.ends_with("no difference seen"), "{row}");
    }
    let row = line(&outcome.text, "latency, median");
    assert!(row.ends_with("not judged"), "queues were full: {row}");
    assert!(outcome.text.contains("windows"), "{}", outcome.text);
}

#[test]
fn results_of_other_tools_stand_beside_a_run_and_are_not_judged() {
    let store = Store::new();
    store.copy("a");
    let write = |name: &str, text: &str| {
        std::fs::write(store.path().join(name), text).expect("written");
    };
    write(
        "trex.json",
        r#"{"global": {"tx_pps": 6000000.0, "rx_pps": 5.4e6, "tx_cps": 1200.5, "active_flows": 64512},
            "total": {"opackets": 60000000, "ipackets": 54000000},
            "latency": {"7": {"latency": {"average": 21.5, "total_max": 90, "histogram": {}}},
                        "8": {"latency": {"average": 11, "total_max": 140}}, "global": {}}}"#,
    );
    write(
        "mrr.info.json",
        r#"{"version": "1.2.0", "passed": true, "message": "", "test_name_long": "x-64b-1t1c-nat44",
            "result": {"type": "mrr", "receive_rate": {"rate":
              {"avg": 9.5e6, "stdev": 1e4, "unit": "pps", "values": [9.4e6, 9.6e6]}}}}"#,
    );
    write(
        "ndr.info.json",
        r#"{"version": "0.2.0", "status": "PASS", "test_id": "nat.ndrpdr", "results": {"ndrpdr": {
            "ndr": {"lower": {"rate": {"value": 8e6, "unit": "pps"}, "bandwidth": {"value": 5, "unit": "Gbps"}},
                    "upper": {"rate": {"value": 8.1e6, "unit": "pps"}}},
            "pdr": {"lower": {"rate": {"value": 250000, "unit": "cps"}},
                    "upper": {"rate": {"value": 260000, "unit": "cps"}}},
            "latency_forward": {"pdr_50": {"avg": 12, "max": 50, "min": 5}}}}}"#,
    );
    let outcome = compared(&store, "a trex.json mrr.info.json ndr.info.json --format json");
    assert_eq!(outcome.code, 0);
    let found: serde_json::Value = serde_json::from_str(&outcome.text).expect("JSON");
    let row = |figure: &str, unit: &str| {
        let rows = found["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["figure"] == figure && row["unit"] == unit);
        row.unwrap_or_else(|| panic!("no {figure} in {unit}: {found:#}"))["values"].clone()
    };
    let forwarded = row("forwarded", "Mpps");
    assert!(forwarded[0].as_f64().is_some_and(|mpps| mpps > 0.0), "{forwarded}");
    assert_eq!((&forwarded[1], &forwarded[2]), (&5.4.into(), &9.5.into()));
    assert_eq!(row("lost", "share")[1], 0.1);
    assert_eq!(row("latency, mean", "us")[1], 21.5);
    assert_eq!(row("latency, longest", "us")[1], 140.0);
    assert_eq!(row("opened", "connections/s")[1], 1200.5);
    assert_eq!(row("NDR, lower bound", "Mpps")[3], 8.0);
    assert_eq!(row("PDR, upper bound", "connections/s")[3], 260_000.0);
    assert_eq!(row("latency at half of PDR, mean, forward", "us")[3], 12.0);
    assert_eq!(found["sides"][2]["name"], "x-64b-1t1c-nat44");
    let text = compared(&store, "a trex.json").text;
    assert!(text.contains("B  TRex: trex") && text.contains("are not judged"), "{text}");
}

#[test]
fn what_is_no_result_of_another_tool_is_refused() {
    let store = Store::new();
    store.copy("a");
    for (text, part) in [
        ("no json", "expected the JSON of TRex"),
        ("{}", "no figure that is known"),
        (r#"{"passed": false, "message": "DUT is gone", "result": {}}"#, "failed: DUT is gone"),
        (r#"{"result": {"receive_rate": {"rate": {"avg": 1, "unit": "fps"}}}}"#, "a rate in `fps`"),
    ] {
        std::fs::write(store.path().join("x.json"), text).expect("written");
        let error = call(&store, "a x.json").expect_err(text).to_string();
        assert!(error.contains("x.json") && error.contains(part), "{error}");
    }
}

#[test]
fn a_change_has_its_interval_and_verdict() {
    let store = Store::new();
    store.copy("a");
    scale_rates(&store.copy("slow"), 0.8);
    let outcome = compared(&store, "a slow");
    let row = line(&outcome.text, "forwarded per core ");
    assert!(row.contains("−20 %") && row.ends_with("worse"), "{row}");
    let back = compared(&store, "slow a");
    let row = line(&back.text, "forwarded per core ");
    assert!(row.contains("+25 %") && row.ends_with("better"), "{row}");
    assert_eq!(compared(&store, "a slow"), outcome, "the same every time");
}

#[test]
fn six_trials_stand_for_themselves_and_fewer_do_not() {
    let store = Store::new();
    store.changed("a", |s| trials(s, &[9.0, 9.1, 9.05, 9.02, 9.08, 9.03]));
    store.changed("b", |s| trials(s, &[8.0, 8.1, 8.05, 8.02, 8.08, 8.03]));
    let outcome = compared(&store, "a b");
    let row = line(&outcome.text, "forwarded per core ");
    assert!(row.contains("6 and 6 trials") && row.ends_with("worse"), "{row}");
    store.changed("c", |s| trials(s, &[8.0, 8.1, 8.05, 8.02, 8.08]));
    let row = compared(&store, "a c").text;
    assert!(line(&row, "forwarded per core ").contains("windows"), "{row}");
}

#[test]
fn losses_are_told_apart_only_where_no_trial_of_one_side_reaches_the_other() {
    let store = Store::new();
    let with = |lost: [u64; 6]| {
        move |summary: &mut Summary| {
            trials(summary, &[9.0; 6]);
            let trials = summary.throughput.trials.iter_mut();
            trials.zip(lost).for_each(|(trial, lost)| trial.lost = lost);
        }
    };
    store.changed("none", with([0; 6]));
    store.changed("some", with([0, 9, 0, 0, 7, 0]));
    store.changed("all", with([5, 9, 8, 4, 7, 3]));
    let verdict = |pair: &str| line(&compared(&store, pair).text, "lost").to_owned();
    assert!(verdict("none some").ends_with("no difference seen"));
    assert!(verdict("none all").ends_with("worse"));
    assert!(verdict("all none").ends_with("better"));
}

#[test]
fn a_lower_bound_is_printed_as_such_and_never_judged() {
    let store = Store::new();
    store.copy("a");
    let bound = store.changed("bound", |summary| {
        summary.throughput.bound = Some(Bound::Generator);
        summary.throughput.at_least = true;
    });
    scale_rates(&bound, 0.5);
    for pair in ["a bound", "bound a"] {
        let text = compared(&store, pair).text;
        let row = line(&text, "forwarded per core ");
        assert!(row.contains("at least") && row.ends_with("not judged"), "{row}");
        assert!(!row.contains('%'), "no change of a bound: {row}");
        // The SUT's own cost is no bound.
        assert!(line(&text, "cycles per packet").contains("windows"), "{text}");
    }
}

/// What is changed, the fact that must be named, whether --hosts lifts it, whether --allow does.
type Case = (&'static str, fn(&mut Summary), bool, bool);

#[test]
fn what_differs_is_listed_first_and_forbids_what_it_must() {
    let cases: [Case; 12] = [
        ("genome", |s| s.throughput.genome = "imix-tiny".into(), false, false),
        ("frame-size", |s| s.throughput.mean_frame_bytes = 64.0, false, false),
        ("scenario", |s| s.run.scenario = "other".into(), false, true),
        ("testbed", |s| s.run.testbed = "process".into(), false, true),
        ("cpu", |s| s.host.cpu_model = Some("other".into()), true, true),
        ("virtualisation", |s| s.host.virtualised = Some("none".into()), true, true),
        ("smt", |s| s.host.smt = Some(true), false, true),
        ("governor", |s| s.host.governor = Some("powersave".into()), false, true),
        ("mitigations", |s| s.host.mitigations = Some(Vec::new()), false, true),
        ("numa", |s| s.host.numa_nodes = Some(2), false, true),
        ("page-sizes", |s| s.host.page_sizes_bytes = Some(vec![4096]), false, true),
        ("build", |s| s.host.build_flags = Some("debug".into()), false, true),
    ];
    for (fact, change, hosts, allowed) in cases {
        let store = Store::new();
        store.copy("a");
        store.changed("b", change);
        let refused = compared(&store, "a b");
        assert_eq!(refused.code, 3, "{fact}: {}", refused.text);
        let differs = refused.text.find("What differs").expect("listed");
        assert!(refused.text.find("Not comparable").is_some_and(|at| at > differs), "{fact}");
        assert!(!refused.text.contains("Figures"), "{fact}: {}", refused.text);
        assert_eq!(compared(&store, "--hosts a b").code, if hosts { 0 } else { 3 }, "{fact}");
        if allowed {
            assert!(refused.text.contains(&format!("--allow {fact}")), "{}", refused.text);
            assert_eq!(compared(&store, &format!("--allow {fact} a b")).code, 0, "{fact}");
        } else {
            assert!(refused.text.contains("never compared"), "{}", refused.text);
        }
    }
}

#[test]
fn a_plan_is_compared_key_by_key() {
    let store = Store::new();
    store.copy("a");
    let two = |name: &str, from: &str, to: &str| {
        let dir = store.copy(name);
        let path = dir.join("plan.toml");
        let text = std::fs::read_to_string(&path).expect("a plan").replace(from, to);
        stored::edit(&dir, |summary| summary.run.plan_hash = format::Plan::hash_of(&text));
        std::fs::write(&path, text).expect("written");
    };
    two("cores", "sut_cores = 1", "sut_cores = 2");
    two("again", "seed = 24301", "seed = 7");
    let refused = compared(&store, "a cores");
    assert_eq!(refused.code, 3);
    assert!(refused.text.contains("--allow plan.topology.sut_cores"), "{}", refused.text);
    for allowed in ["plan", "plan.topology", "plan.topology.sut_cores"] {
        assert_eq!(compared(&store, &format!("--allow {allowed} a cores")).code, 0, "{allowed}");
    }
    assert_eq!(compared(&store, "--allow plan.topology.sut a cores").code, 3, "no such key");
    assert_eq!(compared(&store, "a again").code, 0, "a seed is no difference of what is measured");
}

#[test]
fn invalid_runs_and_nothing_to_compare_are_refused() {
    let store = Store::new();
    store.copy("a");
    store.changed("invalid", |summary| {
        summary.valid = false;
        summary.invalid_reasons = vec!["generator was late".to_owned()];
    });
    let refused = compared(&store, "a invalid");
    assert_eq!(refused.code, 3);
    assert!(refused.text.contains("generator was late"), "{}", refused.text);
    for wrong in ["a a a", "--price C=1/h a a", "--price A=1EUR/h --price B=1USD/h a a", "a none"] {
        assert!(call(&store, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn packets_per_watt_and_per_money_where_they_are_known() {
    let store = Store::new();
    store.copy("a");
    let plain = compared(&store, "a a").text;
    assert!(line(&plain, "forwarded per watt").contains("not available"), "{plain}");
    assert!(line(&plain, "forwarded per money").contains("not available"), "{plain}");
    store.changed("b", |summary| {
        summary.energy =
            Energy { package_j: Some(926.0), seconds: Some(10.0), watts: Some(92.602432) };
    });
    let text = compared(&store, "--price A=2EUR/h --price B=1EUR/h b b").text;
    assert!(line(&text, "forwarded per watt").contains("0.1000"), "{text}");
    let row = line(&text, "forwarded per money");
    assert!(row.contains("G packets per EUR") && row.contains("+100 %"), "{row}");
}

#[test]
fn many_runs_stand_beside_the_first() {
    let store = Store::new();
    store.copy("a");
    scale_rates(&store.copy("slow"), 0.8);
    store.changed("other", |summary| summary.host.smt = Some(true));
    let outcome = compared(&store, "--matrix a slow other");
    assert_eq!(outcome.code, 3);
    assert!(line(&outcome.text, "B  slow").ends_with("worse"), "{}", outcome.text);
    assert!(line(&outcome.text, "C  other").ends_with("not comparable"), "{}", outcome.text);
    assert!(outcome.text.contains("C: SMT differs"), "{}", outcome.text);
    assert_eq!(compared(&store, "--matrix a slow").code, 0);
    let json = compared(&store, "--matrix --format json a slow").text;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["others"][0]["rows"][0]["verdict"], "worse");
}

#[test]
fn the_forms_say_the_same() {
    let store = Store::new();
    store.copy("a");
    scale_rates(&store.copy("slow"), 0.8);
    let plain = |text: String, root: &Path| text.replace(&root.display().to_string(), "results");
    insta::assert_snapshot!("text", plain(compared(&store, "a slow").text, store.path()));
    let markdown = compared(&store, "--format markdown a slow").text;
    // Markdown escapes what a temporary folder may be named.
    assert!(markdown.contains("| forwarded per core | Mpps | higher |"), "{markdown}");
    let json = compared(&store, "--format json a slow").text;
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(value["schema"], "krono.compare/1");
    assert_eq!(value["rows"][1]["figure"], "forwarded per core");
    assert_eq!(value["rows"][1]["verdict"], "worse");
    assert_eq!(value["rows"][1]["interval"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_reference_runs_are_whole() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference");
    for run in std::fs::read_dir(all).expect("listed") {
        let run = run.expect("an entry").path();
        if run.join("summary.json").exists() {
            analysis::load::load_whole(&run).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
