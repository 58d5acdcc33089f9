//! `krono schema`: the JSON schema of what people write and of what they read.

use crate::cli::Subject;
use format::schema::{scenario, written};
use format::{Paper, Suite, Summary};
use serde_json::json;

/// The schema of one format, or of all under their names.
///
/// # Errors
/// None in practice: a schema is JSON.
pub fn schema(of: Option<Subject>) -> serde_json::Result<String> {
    let value = match of {
        Some(Subject::Scenario) => scenario(),
        Some(Subject::Summary) => written::<Summary>(),
        Some(Subject::Suite) => written::<Suite>(),
        Some(Subject::Paper) => written::<Paper>(),
        Some(Subject::Export) => analysis::export::json::schema(),
        None => {
            let export = analysis::export::json::schema();
            json!({
                "scenario": scenario(),
                "summary": written::<Summary>(),
                "suite": written::<Suite>(),
                "paper": written::<Paper>(),
                "export": export,
            })
        }
    };
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_schemas_describe_their_fields() {
        let text = schema(None).expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let described = |path| value.pointer(path).and_then(|text| text.as_str()).unwrap_or("");
        assert!(described("/scenario/properties/question/description").contains("question"));
        assert!(described("/summary/properties/valid/description").contains("figures"));
        assert!(described("/suite/properties/valid/description").contains("results"));
        assert!(described("/paper/properties/claims/description").contains("claims"));
        let required = value.pointer("/summary/required").and_then(|list| list.as_array());
        assert!(required.expect("a list").contains(&json!("recovery_ms")), "null, and there");
        let one = schema(Some(Subject::Summary)).expect("JSON");
        assert!(one.contains("mpps_per_core") && !one.contains("\"phase\""));
    }
}
