//! Results of other tools: what TRex says of a run, and what FD.io CSIT publishes of a test.
//!
//! Of TRex the statistics that its Python clients return (`get_stats()` of STL and ASTF), written as JSON;
//! of CSIT the `*.info.json` of a test case, of model 0.2 (`results`) and of 1.x (`result`): MRR, NDR
//! and PDR, and soak. Whatever else such a file holds is left alone.
//!
//! It refuses a file of neither tool, a test that CSIT says has failed, and a unit it does not know; a
//! figure that is absent is absent. Nothing here says that two results are comparable: nobody recorded
//! with them what that would take.

use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file is no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ForeignError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no JSON, or none of these tools'.
    #[error("{}: {why}; expected the JSON of TRex's get_stats(), or CSIT's info.json of a test case",
            path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The test it tells of did not pass.
    #[error("{}: the test has failed: {message}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What it says of that.
        message: String,
    },
}

/// A figure as its tool gives it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// Name in words; the same words for the same thing.
    pub figure: String,
    /// Unit.
    pub unit: &'static str,
    /// The value.
    pub value: f64,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Foreign {
    /// Who made it.
    pub tool: &'static str,
    /// What was tested, as far as the file says.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Its figures.
    pub figures: Vec<Reading>,
}

/// Reads a result.
///
/// # Errors
/// A file that cannot be read, is of neither tool, or tells of a failure.
pub fn load(path: &Path) -> Result<Foreign, ForeignError> {
    let io = |source| ForeignError::Io { path: path.to_owned(), source };
    let unknown = |why: String| ForeignError::Unknown { path: path.to_owned(), why };
    let bytes = fs::read(path).map_err(io)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| unknown(e.to_string()))?;
    let csit = value.get("result").or_else(|| value.get("results")).is_some();
    let mut result = Foreign {
        tool: if csit { "CSIT" } else { "TRex" },
        name: name(&value, path),
        path: path.to_owned(),
        figures: Vec::new(),
    };
    if csit {
        let passed = value.get("passed").and_then(Value::as_bool).unwrap_or(true)
            && value.get("status").and_then(Value::as_str).unwrap_or("PASS") == "PASS";
        if !passed {
            let message = value.get("message").and_then(Value::as_str).unwrap_or("no message");
            return Err(ForeignError::Failed {
                path: path.to_owned(),
                message: message.to_owned(),
            });
        }
        result.figures = csit_figures(&value).map_err(unknown)?;
    } else {
        result.figures = trex_figures(&value);
    }
    match result.figures.is_empty() {
        true => Err(unknown("no figure that is known".to_owned())),
        false => Ok(result),
    }
}

fn name(value: &Value, path: &Path) -> String {
    let told = ["test_name_long", "test_id", "test_name"];
    let told = told.iter().find_map(|key| value.get(key)?.as_str());
    let file = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    told.map(str::to_owned).or_else(file).unwrap_or_default()
}

fn at<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| value.get(key))
}

fn number(value: &Value, keys: &[&str]) -> Option<f64> {
    at(value, keys)?.as_f64().filter(|number| number.is_finite())
}

/// A rate in the unit that stands beside it.
fn rate(figure: &str, value: f64, unit: &str) -> Result<Reading, String> {
    let (unit, scale) = match unit {
        "pps" => ("Mpps", 1e6),
        "cps" => ("connections/s", 1.0),
        other => return Err(format!("a rate in `{other}`")),
    };
    Ok(Reading { figure: figure.to_owned(), unit, value: value / scale })
}

fn csit_figures(value: &Value) -> Result<Vec<Reading>, String> {
    let mut figures = Vec::new();
    // Model 0.2 has an object named for the type of test around what 1.x has beside it.
    let result = value.get("result").or_else(|| value.get("results")).unwrap_or(&Value::Null);
    let of = |kind: &str| result.get(kind).unwrap_or(result);
    let mut add = |figure: &str, number: Option<f64>, unit: Option<&Value>| {
        let (Some(number), Some(unit)) = (number, unit.and_then(Value::as_str)) else {
            return Ok(());
        };
        figures.push(rate(figure, number, unit)?);
        Ok::<(), String>(())
    };
    let mrr = result.get("receive_rate").and_then(|it| it.get("rate"));
    add("forwarded", mrr.and_then(|it| number(it, &["avg"])), mrr.and_then(|it| it.get("unit")))?;
    let samples = at(result, &["mrr", "samples"]).and_then(|it| it.get(0));
    let unit = samples.and_then(|it| at(it, &["rate", "unit"]));
    add("forwarded", number(result, &["mrr", "avg"]), unit)?;
    for (figure, kind, bounds) in [
        ("NDR", "ndrpdr", "ndr"),
        ("PDR", "ndrpdr", "pdr"),
        ("critical rate", "soak", "critical_rate"),
    ] {
        let inside = of(kind);
        let bounds = inside.get(bounds).or(match result.get(kind) {
            Some(soak) if kind == "soak" => Some(soak),
            _ => None,
        });
        let Some(bounds) = bounds else { continue };
        for bound in ["lower", "upper"] {
            let found = |key: &str| at(bounds, &[bound, "rate", key]);
            add(
                &format!("{figure}, {bound} bound"),
                found("value").and_then(Value::as_f64),
                found("unit"),
            )?;
        }
    }
    let inside = of("ndrpdr");
    for direction in ["latency_forward", "latency_reverse"] {
        let latency = at(inside, &[direction, "pdr_50"]);
        for (key, words) in [("avg", "mean"), ("max", "longest")] {
            let Some(value) = latency.and_then(|it| number(it, &[key])) else { continue };
            let figure = format!("latency at half of PDR, {words}, {}", &direction[8..]);
            figures.push(Reading { figure, unit: "us", value });
        }
    }
    Ok(figures)
}

fn trex_figures(value: &Value) -> Vec<Reading> {
    let mut figures = Vec::new();
    let mut add = |figure: &str, unit: &'static str, value: Option<f64>| {
        let new = value.map(|value| Reading { figure: figure.to_owned(), unit, value });
        figures.extend(new);
    };
    let either =
        |key: &str| number(value, &["global", key]).or_else(|| number(value, &["total", key]));
    add("offered", "Mpps", either("tx_pps").map(|pps| pps / 1e6));
    add("forwarded", "Mpps", either("rx_pps").map(|pps| pps / 1e6));
    let [sent, back] = ["opackets", "ipackets"].map(|key| number(value, &["total", key]));
    let lost = sent.zip(back).filter(|(sent, _)| *sent > 0.0);
    add("lost", "share", lost.map(|(sent, back)| ((sent - back) / sent).max(0.0)));
    add("opened", "connections/s", number(value, &["global", "tx_cps"]));
    add("held", "connections", number(value, &["global", "active_flows"]));
    // The worst stream speaks for all.
    let streams = value.get("latency").and_then(Value::as_object);
    let streams = || streams.into_iter().flatten().filter_map(|(_, stream)| stream.get("latency"));
    let worst = |key: &str| streams().filter_map(|it| number(it, &[key])).reduce(f64::max);
    add("latency, mean", "us", worst("average"));
    add("latency, longest", "us", worst("total_max"));
    figures
}
