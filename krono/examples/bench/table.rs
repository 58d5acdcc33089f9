//! The flow table beside `rte_hash` and the machine's own limit, by the example `table`.

use super::programs::{Programs, named, number, numbers};
use super::row::{Asked, Row, Spread, median};
use anyhow::{Context, bail};
use serde_json::Value;

/// What the example calls the two.
const RTE_HASH: &str = "DPDK rte_hash";
const FLOW_TABLE: &str = "flow table + record";

/// Figures of both, round by round.
struct Pair {
    ours: Value,
    theirs: Value,
    machine: Vec<f64>,
}

impl Pair {
    fn measure(programs: &Programs, arguments: &[&str]) -> anyhow::Result<Pair> {
        let lines = programs.lines("table", arguments)?;
        Ok(Pair {
            ours: table(&lines, FLOW_TABLE)?,
            theirs: table(&lines, RTE_HASH)?,
            machine: numbers(named(&lines, "machine")?, "lines_mops")?,
        })
    }

    /// Ours to theirs, in millions a second.
    fn row(&self, what: &str, list: &str, asked: f64) -> anyhow::Result<Row> {
        let (ours, theirs) = (numbers(&self.ours, list)?, numbers(&self.theirs, list)?);
        let ratio = Spread::of_ratios(&ours, &theirs).context("no rounds")?;
        let from = from(&ours, &theirs);
        Ok(Row::new(what, (ratio, ""), Asked::AtLeast(asked), from))
    }
}

fn from(of: &[f64], to: &[f64]) -> String {
    format!("{:.1} / {:.1} M/s", median(of), median(to))
}

fn table(lines: &[Value], name: &str) -> anyhow::Result<Value> {
    if let Some(line) = lines.iter().find(|line| line["table"] == name) {
        return Ok(line.clone());
    }
    match lines.iter().find_map(|line| line["missing"].as_str()) {
        Some(why) => bail!("{why}"),
        None => bail!("the example `table` says nothing of {name}"),
    }
}

/// 32 Mi slots at load 0.8.
pub(crate) fn large(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let arguments = ["--entries", "26843545", "--rounds", "7", "--lookups", "1000000"];
    let pair = Pair::measure(programs, &arguments)?;
    let mut rows = vec![
        pair.row("table, 32 Mi slots: present keys ÷ rte_hash", "positive_mops", 2.0)?,
        pair.row("table, 32 Mi slots: absent keys ÷ rte_hash", "negative_mops", 2.0)?,
    ];
    let turns = [&pair.ours, &pair.theirs].map(|table| numbers(table, "insert_turns_mops"));
    let [ours, theirs] = turns;
    let turns = Spread::of_ratios(&ours?, &theirs?).context("no turns")?;
    let (ours, theirs) = (number(&pair.ours, "insert_mops")?, number(&pair.theirs, "insert_mops")?);
    rows.push(Row::new(
        "table, 32 Mi slots: insert ÷ rte_hash_add_key",
        (Spread { median: ours / theirs, ..turns }, ""),
        Asked::AtLeast(3.0),
        from(&[ours], &[theirs]),
    ));
    let positive = numbers(&pair.ours, "positive_mops")?;
    rows.push(Row::new(
        "table, 32 Mi slots: present keys ÷ random lines",
        (Spread::of_ratios(&positive, &pair.machine).context("no rounds")?, ""),
        Asked::AtLeast(0.7),
        from(&positive, &pair.machine),
    ));
    Ok(rows)
}

/// 1 Mi slots at load 0.8.
pub(crate) fn small(programs: &Programs) -> anyhow::Result<Vec<Row>> {
    let pair = Pair::measure(programs, &["--rounds", "9"])?;
    Ok(vec![
        pair.row("table, 1 Mi slots: present keys ÷ rte_hash", "positive_mops", 2.0)?,
        pair.row("table, 1 Mi slots: absent keys ÷ rte_hash", "negative_mops", 1.5)?,
    ])
}

/// Present keys that `rte_hash` finds a second, in millions.
pub(crate) fn rte_hash(programs: &Programs, entries: &str) -> anyhow::Result<f64> {
    let arguments = ["--only-rte-hash", "--entries", entries, "--rounds", "3"];
    let lines = programs.lines("table", &arguments)?;
    let rates = numbers(&table(&lines, RTE_HASH)?, "positive_mops")?;
    Ok(Spread::of(&rates).context("no rounds")?.median)
}
