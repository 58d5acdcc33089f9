//! What came out of every check through each NAT, as a table.

use crate::checks::{Check, Outcome};
use crate::nat::Kind;
use std::fmt;
use std::time::Duration;

/// One check's outcomes.
struct Row {
    name: &'static str,
    expected: &'static str,
    krononat: String,
    nftables: String,
}

impl Row {
    fn passed(&self) -> bool {
        self.krononat == self.expected && self.nftables == self.expected
    }

    /// Whose fault it is, in a word.
    fn verdict(&self) -> &'static str {
        match (self.krononat == self.expected, self.nftables == self.expected) {
            (true, true) => "ok",
            (false, true) => "KRONONAT DIFFERS",
            (_, false) if self.krononat == self.nftables => "CHECK IS WRONG",
            (_, false) => "NFTABLES DIFFERS",
        }
    }
}

/// All outcomes.
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// No outcomes yet.
    pub(crate) fn new(checks: &[&Check]) -> Report {
        let absent = || "did not run".to_owned();
        let rows = checks.iter().map(|check| Row {
            name: check.name,
            expected: check.expected,
            krononat: absent(),
            nftables: absent(),
        });
        Report { rows: rows.collect() }
    }

    /// Takes an outcome, and says it at once.
    pub(crate) fn note(
        &mut self,
        kind: Kind,
        check: &Check,
        outcome: anyhow::Result<Outcome>,
        took: Duration,
    ) {
        let Outcome { result, note } = outcome.unwrap_or_else(|error| {
            let result = format!("error: {error:#}").replace('\n', " ");
            Outcome { result, note: String::new() }
        });
        let sign = if result == check.expected { "ok " } else { "NOT" };
        println!("  {sign} {:18} {:5.1} s  {result}  {note}", check.name, took.as_secs_f64());
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == check.name) {
            match kind {
                Kind::Krononat => row.krononat = result,
                Kind::Nftables => row.nftables = result,
            }
        }
    }

    /// Whether everything came out as expected, through both.
    pub(crate) fn passed(&self) -> bool {
        self.rows.iter().all(Row::passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:18} {:42} krononat  nftables", "check", "expected of both")?;
        for row in &self.rows {
            let sign = |outcome: &String| if outcome == row.expected { "same" } else { "NOT" };
            let (krononat, nftables) = (sign(&row.krononat), sign(&row.nftables));
            let (name, expected, verdict) = (row.name, row.expected, row.verdict());
            writeln!(f, "{name:18} {expected:42} {krononat:9} {nftables:9} {verdict}")?;
            if !row.passed() {
                writeln!(f, "    krononat: {}", row.krononat)?;
                writeln!(f, "    nftables: {}", row.nftables)?;
            }
        }
        let passed = self.rows.iter().filter(|row| row.passed()).count();
        writeln!(f, "{passed} of {} checks passed", self.rows.len())
    }
}
