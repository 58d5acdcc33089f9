//! Key by key: in what two resolved plans differ.

use super::{Difference, Kind};
use format::Plan;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Keys that say how often, for whom and under which name is measured, not what.
const SAID_ELSEWHERE: [&str; 7] =
    ["schema", "question", "scenario", "scenario_hash", "seed", "repeat", "testbed"];

/// A difference for each key, in alphabetical order.
pub(super) fn differences(a: &Plan, b: &Plan) -> Vec<Difference> {
    let (a, b) = (keys(a), keys(b));
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name))
        .map(|name| Difference {
            fact: format!("plan.{name}"),
            name: format!("plan: {name}"),
            kind: Kind::Design,
            a: Some(a.get(name).cloned().unwrap_or_else(|| "not set".to_owned())),
            b: Some(b.get(name).cloned().unwrap_or_else(|| "not set".to_owned())),
        })
        .collect()
}

/// Dotted keys with their values as text; lists of plain values are one value.
fn keys(plan: &Plan) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    // A plan that is no JSON has no keys, and then the hashes are what is compared.
    if let Ok(Value::Object(top)) = serde_json::to_value(plan) {
        for (name, value) in &top {
            let left_out = SAID_ELSEWHERE.contains(&name.as_str()) || name == "pass";
            if !left_out {
                flatten(name.clone(), value, &mut keys);
            }
        }
    }
    keys
}

fn flatten(path: String, value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                flatten(format!("{path}.{name}"), value, keys);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                // A phase goes by its name, as after `--set`.
                let name = item.get("name").and_then(Value::as_str);
                let name = name.map_or_else(|| i.to_string(), str::to_owned);
                flatten(format!("{path}.{name}"), item, keys);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            keys.insert(path, text.clone());
        }
        plain => {
            keys.insert(path, plain.to_string());
        }
    }
}
