//! The formats in machine-readable form (`krono schema`), and the page of keys made from it.
//!
//! Both come from the types and their comments, so that neither can say what the code does not. A
//! test compares `docs/scenarios.md` with [`scenario_markdown`].

use crate::scenario::keys::Keys;
use crate::summary::Summary;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// JSON schema of a scenario, as it is read.
pub fn scenario() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Keys>().to_value()
}

/// JSON schema of `summary.json`, as it is written.
pub fn summary() -> Value {
    written::<Summary>()
}

/// JSON schema of what is written and read by others: a field that may be `null` is there.
pub fn written<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// The page of all scenario keys, in Markdown: `docs/scenarios.md`.
pub fn scenario_markdown() -> String {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<Keys>().to_value();
    let mut page = INTRODUCTION.to_owned();
    table(&mut page, "Top level", &schema);
    page.push_str(CLOSING);
    for name in crate::judge::METRICS {
        page.push_str(&format!("- `{name}`\n"));
    }
    page
}

const INTRODUCTION: &str = r#"# Scenarios

<!-- Made from the types by `format::schema::scenario_markdown`. After a change of keys:
     UPDATE_DOCS=1 cargo test -p format --test docs -->

A scenario is a TOML file that asks a question and describes the traffic that answers it. The same
file runs on every testbed that can do what it asks; the others refuse it. `krono check FILE` says
whether it is valid, `krono explain FILE` what it means in numbers; `scenarios/` holds examples,
each with comments.

Quantities are texts with a unit:

| quantity | written | means |
| --- | --- | --- |
| number per second | `"1M/s"`, `"80k/s"`, `"0/s"` | k, M and G are 10^3, 10^6 and 10^9 |
| packet rate | `"max"`, `"10Mpps"` | packets per second, both directions, all generator cores |
| packet rate | `"40Gbps"` | bits per second on the wire: L1, mean frame + 20 bytes |
| time | `"10s"`, `"3.3ms"`, `"500us"` | ns, us, ms, s, min, h |
| time or range of times | `"1s"`, `"1s..1.1s"` | from the begin of the phase |
| share of frames | `"1/1000"` | one frame in so many |
| target | `"sut.server[1]"`, `"sut.server[1].core[0]"` | a server, or a core; from 0 |

The 20 bytes are preamble, start of frame and gap (IEEE 802.3). Counts are plain numbers and may be
grouped: `1_032_192`. Frame sizes are L2 frames with FCS.

`--set PATH=VALUE` replaces a number, truth value or text: `--set traffic.connections=64512`,
`--set phase.steady.rate=5Mpps` (a phase by its name), `--set traffic.rate_pps=5e6`.
"#;

const CLOSING: &str = r#"
## Values that `[pass]` can limit

Limits are inclusive. A value that could not be had meets no limit. Values of `recovery_ms` are the
largest of all events, and could not be had where one event has none.

"#;

/// Appends a section for one table, then one for each table inside it.
fn table(page: &mut String, heading: &str, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    page.push_str(&format!("\n## {heading}\n\n| key | value | default | meaning |\n"));
    page.push_str("| --- | --- | --- | --- |\n");
    for (key, property) in properties {
        let default = match required.contains(&key.as_str()) {
            true => "required".to_owned(),
            false => property.get("default").map_or(String::new(), default_text),
        };
        let value = value_text(present(property));
        let meaning = meaning(property);
        page.push_str(&format!("| `{key}` | {value} | {default} | {meaning} |\n"));
    }
    for (key, property) in properties {
        let inner = present(property);
        match inner.get("items").filter(|items| items.get("properties").is_some()) {
            Some(items) => table(page, &format!("`[[{key}]]`"), items),
            None => table(page, &inner_heading(heading, key), inner),
        }
    }
}

fn inner_heading(heading: &str, key: &str) -> String {
    match heading.trim_matches(['`', '[', ']']) {
        "Top level" => format!("`[{key}]`"),
        outer => format!("`[{outer}.{key}]`"),
    }
}

/// The schema of a value that is there: an optional one without its null.
fn present(schema: &Value) -> &Value {
    let choices = schema.get("anyOf").and_then(Value::as_array);
    match choices.map(Vec::as_slice) {
        Some([some, null]) if null.get("type").is_some_and(|kind| kind == "null") => some,
        _ => schema,
    }
}

/// What to write, in a few words.
fn value_text(schema: &Value) -> String {
    let choices = ["anyOf", "oneOf"].iter().find_map(|any| schema.get(any)?.as_array());
    if let Some(choices) = choices {
        let words: Vec<String> = choices.iter().map(value_text).collect();
        return words.join(", ");
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{constant}`");
    }
    if let Some(title) = schema.get("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(Value::String(kind)) => Some(kind.as_str()),
        _ => None,
    };
    match kind {
        Some("string") => "text",
        Some("integer") => "whole number",
        Some("boolean") => "true or false",
        Some("number") => "number",
        Some("array") => "list",
        Some("object") => "table",
        _ => "any",
    }
    .to_owned()
}

/// A default where it is a plain value; those of tables stand in their own sections.
fn default_text(default: &Value) -> String {
    match default {
        Value::Null | Value::Object(_) | Value::Array(_) => String::new(),
        plain => format!("`{plain}`"),
    }
}

/// The comment of a key, in one line.
fn meaning(property: &Value) -> String {
    let described = |schema: &Value| Some(schema.get("description")?.as_str()?.to_owned());
    let text = described(property).or_else(|| described(present(property))).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
