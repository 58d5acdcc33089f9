//! Exports, held against what their readers publish, and as snapshots.

mod stored;

use analysis::export::{Target, json, of_rows, of_runs};
use analysis::gate::{Class, Direction, Row};
use analysis::load::load_whole;
use serde_json::Value;
use stored::Store;

fn run(change: impl FnOnce(&mut format::Summary)) -> analysis::Run {
    let store = Store::new();
    let mut run = load_whole(&store.changed("imix-lab", change)).expect("a whole run");
    run.dir = "results/imix-lab".into();
    run
}

fn written(run: &analysis::Run, target: Target) -> String {
    of_runs(std::slice::from_ref(run)).write(target, Some(true)).expect("written")
}

/// A row of each verdict.
fn rows() -> Vec<Row> {
    let row = |metric: &str, class, change: f64, why: Option<&str>| Row {
        metric: metric.to_owned(),
        unit: "cycles".to_owned(),
        direction: Direction::LowerIsBetter,
        base: Some(200.0),
        value: Some(200.0 * (1.0 + change)),
        change: Some(change),
        low: Some(change - 0.01),
        high: Some(change + 0.01),
        confidence: Some(0.99),
        seen_from: Some(0.02),
        class,
        why: why.map(str::to_owned),
    };
    vec![
        row("forward.cycles", Class::Pass, 0.001, None),
        row("open.cycles", Class::Regressed, 0.08, Some("the interval lies above 2 %")),
        row("frames <&> \"quotes\"", Class::Erratic, 0.01, Some("pairs | differ by 30 %\n")),
    ]
}

/// <https://bencher.dev/bmf.json>: object of objects of objects whose `value` is a number, and
/// whose `lower_value` and `upper_value` are numbers where they are there.
#[test]
fn bencher_metric_format_is_as_its_schema_asks() {
    let text = written(&run(|_| {}), Target::Bmf);
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let benchmarks = value.as_object().expect("an object");
    assert_eq!(benchmarks.keys().collect::<Vec<_>>(), ["imix (embedded)"]);
    for (slug, metric) in benchmarks.values().flat_map(|it| it.as_object().expect("an object")) {
        assert!(slug.len() <= 64 && slug.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        assert!(metric["value"].is_number(), "{slug}");
        for key in metric.as_object().expect("an object").keys() {
            assert!(["value", "lower_value", "upper_value"].contains(&key.as_str()), "{key}");
            assert!(metric[key].is_number(), "{slug} {key}");
        }
    }
    insta::assert_snapshot!("bmf", text);
}

#[test]
fn github_gets_a_list_of_one_direction() {
    let sheet = of_runs(&[run(|_| {})]);
    let mut names = Vec::new();
    for bigger in [true, false] {
        let text = sheet.write(Target::Github, Some(bigger)).expect("written");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        for point in value.as_array().expect("a list") {
            assert!(point["name"].is_string() && point["unit"].is_string());
            assert!(point["value"].is_number());
            names.push(point["name"].as_str().expect("text").to_owned());
        }
        insta::assert_snapshot!(if bigger { "github-bigger" } else { "github-smaller" }, text);
    }
    assert!(names.iter().any(|name| name.ends_with(": forwarded per core")));
    assert!(names.iter().any(|name| name.ends_with(": cycles per packet")));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "each figure has one direction");
    let error = sheet.write(Target::Github, None).expect_err("no direction");
    assert!(error.to_string().contains("--better"), "{error}");
}

#[test]
fn a_lower_bound_and_an_invalid_run_are_no_measurements() {
    let bound = run(|summary| summary.throughput.at_least = true);
    let sheet = of_runs(std::slice::from_ref(&bound));
    for target in [Target::Bmf, Target::Github] {
        assert!(!written(&bound, target).contains("forwarded"), "{target:?}");
    }
    let left_out = sheet.left_out();
    assert!(left_out.iter().any(|why| why.contains("lower bound")));
    assert!(left_out.iter().any(|why| why.contains("queues were full")), "{left_out:?}");
    assert!(!written(&bound, Target::Bmf).contains("latency"));
    assert!(written(&bound, Target::Markdown).contains("at least 9.26"));
    let invalid = run(|summary| {
        summary.valid = false;
        summary.invalid_reasons = vec!["generator was late".to_owned()];
    });
    assert_eq!(written(&invalid, Target::Bmf), "{}\n");
    let junit = written(&invalid, Target::Junit);
    assert!(junit.contains("generator was late") && !junit.contains("<failure"), "{junit}");
}

/// The shape of Jenkins' schema: suites of cases, counts that agree with what is in them.
#[test]
fn junit_counts_what_it_holds() {
    let of_run = written(&run(|summary| summary.pass.criteria[0].met = false), Target::Junit);
    let of_gate = of_rows("gate", &rows()).write(Target::Junit, None).expect("written");
    for text in [&of_run, &of_gate] {
        let document = roxmltree::Document::parse(text).expect("XML");
        let root = document.root_element();
        assert_eq!(root.tag_name().name(), "testsuites");
        for suite in root.children().filter(|node| node.has_tag_name("testsuite")) {
            let cases: Vec<_> = suite.children().filter(|n| n.has_tag_name("testcase")).collect();
            let with = |tag: &str| {
                let has = |case: &&roxmltree::Node| case.children().any(|n| n.has_tag_name(tag));
                cases.iter().filter(has).count().to_string()
            };
            assert_eq!(suite.attribute("tests"), Some(cases.len().to_string().as_str()));
            assert_eq!(suite.attribute("failures"), Some(with("failure").as_str()));
            assert_eq!(suite.attribute("errors"), Some(with("error").as_str()));
            assert!(cases.iter().all(|case| case.attribute("name").is_some()));
        }
    }
    assert_eq!((of_run.matches("<failure").count(), of_gate.matches("<error").count()), (1, 1));
    insta::assert_snapshot!("junit-run", of_run);
    insta::assert_snapshot!("junit-gate", of_gate);
}

#[test]
fn markdown_and_tables_hold_everything() {
    let run = run(|_| {});
    insta::assert_snapshot!("markdown-run", written(&run, Target::Markdown));
    insta::assert_snapshot!("csv-run", written(&run, Target::Csv));
    let gate = of_rows("gate", &rows());
    insta::assert_snapshot!("markdown-gate", gate.write(Target::Markdown, None).expect("written"));
    let text = gate.write(Target::Json, None).expect("written");
    insta::assert_snapshot!("json-gate", text);
    // What the schema requires is there.
    let (value, schema): (Value, Value) =
        (serde_json::from_str(&text).expect("JSON"), json::schema());
    let required = |at: &Value| -> Vec<String> {
        let names = at["required"].as_array().expect("a list").iter();
        names.map(|name| name.as_str().expect("text").to_owned()).collect()
    };
    for name in required(&schema) {
        assert!(value.get(&name).is_some(), "{name}");
    }
    for name in required(&schema["$defs"]["Entry"]) {
        assert!(value["entries"][0].get(&name).is_some(), "{name}");
    }
    let table = gate.write(Target::Csv, None).expect("written");
    let records = csv::Reader::from_reader(table.as_bytes()).into_records();
    assert_eq!(records.filter(Result::is_ok).count(), rows().len());
}

#[test]
fn runs_of_one_benchmark_keep_their_names_apart() {
    let store = Store::new();
    let runs = ["a", "b"].map(|name| load_whole(&store.changed(name, |_| {})).expect("whole"));
    let text = of_runs(&runs).write(Target::Bmf, None).expect("written");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<&String> = value.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["imix (embedded) a", "imix (embedded) b"]);
}
