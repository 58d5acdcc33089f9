//! The page of scenario keys is what the types say.

use format::schema;

#[test]
fn the_page_of_keys_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scenarios.md");
    let page = schema::scenario_markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, &page).expect("docs/scenarios.md can be written");
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        committed == page,
        "docs/scenarios.md is out of date: UPDATE_DOCS=1 cargo test -p format --test docs"
    );
}

#[test]
fn every_key_of_a_scenario_has_a_meaning() {
    let page = schema::scenario_markdown();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 40, "{} rows", rows.len());
    for row in rows {
        assert!(!row.ends_with("|  |"), "no meaning: {row}");
        assert!(!row.contains("| any |"), "no kind: {row}");
    }
    for section in ["[traffic.direction]", "[[phase]]", "[sut.timers]", "[topology.generators]"] {
        assert!(page.contains(&format!("## `{section}`")), "{section}");
    }
}

#[test]
fn the_summary_schema_requires_every_value_even_if_null() {
    let schema = schema::summary();
    let ledger = &schema["$defs"]["Ledger"]["required"];
    assert_eq!(ledger.as_array().map(Vec::len), Some(14));
    let latency = schema["$defs"]["Latency"]["required"].as_array().map(Vec::len);
    assert_eq!(latency, Some(7), "a value that could not be had is null, not absent");
    assert_eq!(schema::scenario()["additionalProperties"], false);
}
