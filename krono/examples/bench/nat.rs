//! The NAT by itself, by the example `nat`.

use super::programs::{Programs, named, number, numbers};
use super::row::{Asked, Row, Spread};
use anyhow::Context;

/// Connections opened a second.
pub(crate) fn setup(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let lines = programs.lines("nat", &["setup", "--rounds", "41"])?;
    let setup = named(&lines, "setup")?;
    let millions = |name: &str| -> anyhow::Result<Spread> {
        let rates = numbers(setup, name)?;
        let rates: Vec<f64> = rates.iter().map(|rate| rate / 1e6).collect();
        Spread::of(&rates).context("no rounds")
    };
    let ended = millions("opened_and_ended_per_s")?;
    Ok(vec![Row::new(
        "connections opened by their first packet, 1 M held",
        (millions("opened_per_s")?, "M/s"),
        Asked::AtLeast(5.0),
        format!("with their end by expiry {:.1} M/s", ended.median),
    )])
}

/// Resident bytes a connection.
pub(crate) fn memory(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let lines = programs.lines("nat", &["memory", "--connections", "60000000"])?;
    let memory = named(&lines, "memory")?;
    let (held, bytes) = (number(memory, "connections")?, number(memory, "resident_bytes")?);
    Ok(vec![Row::new(
        "resident memory a connection, both directions",
        (Spread::single(bytes / held), "bytes"),
        Asked::AtMost(48.0),
        format!("{:.0} MiB for {:.0} M", bytes / f64::from(1 << 20), held / 1e6),
    )])
}

/// The longest work items: steps, and housekeeping between steps.
pub(crate) fn longest(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let lines = programs.lines("nat", &["longest", "--rounds", "5"])?;
    let kinds = named(&lines, "longest")?.as_array().context("no kinds")?;
    let row = |kind: &serde_json::Value| {
        let longest = Spread {
            least: number(kind, "median_us")?,
            median: number(kind, "longest_us")?,
            greatest: number(kind, "longest_with_interruptions_us")?,
        };
        let name = kind["kind"].as_str().context("no kind")?;
        Ok(Row::new(
            &format!("longest {name}"),
            (longest, "us"),
            Asked::AtMost(20.0),
            format!("{} items; 99.9th {:.2} us", number(kind, "items")?, number(kind, "p999_us")?),
        ))
    };
    kinds.iter().map(row).collect()
}
