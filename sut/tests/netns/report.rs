//! What came out of every check through each NAT, as a table.

use crate::checks::{Check, Outcome};
use crate::nat::Kind;
use std::fmt;
use std::time::Duration;

/// One check's outcomes.
struct Row {
    name: &'static str,
    expected: &'static str,
    /// Nothing as long as it did not run.
    krononat: Option<Outcome>,
    nftables: Option<Outcome>,
}

impl Row {
    fn is_expected(&self, outcome: &Option<Outcome>) -> bool {
        outcome.as_ref().is_some_and(|outcome| outcome.result == self.expected)
    }

    fn passed(&self) -> bool {
        self.is_expected(&self.krononat) && self.is_expected(&self.nftables)
    }

    /// Whose fault it is, in a word.
    fn verdict(&self) -> &'static str {
        let result = |outcome: &Option<Outcome>| outcome.as_ref().map(|it| it.result.clone());
        match (self.is_expected(&self.krononat), self.is_expected(&self.nftables)) {
            (true, true) => "ok",
            (false, true) => "KRONONAT DIFFERS",
            (_, false) if result(&self.krononat) == result(&self.nftables) => "CHECK IS WRONG",
            (_, false) => "NFTABLES DIFFERS",
        }
    }
}

fn words(outcome: &Option<Outcome>) -> String {
    match outcome {
        Some(outcome) => format!("{}  {}", outcome.result, outcome.note),
        None => "did not run".to_owned(),
    }
}

/// All outcomes.
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// No outcomes yet.
    pub(crate) fn new(checks: &[&Check]) -> Report {
        let rows = checks.iter().map(|check| Row {
            name: check.name,
            expected: check.expected,
            krononat: None,
            nftables: None,
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
            let came_out = Some(Outcome { result, note });
            match kind {
                Kind::Krononat => row.krononat = came_out,
                Kind::Nftables => row.nftables = came_out,
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
            let sign = |outcome| if row.is_expected(outcome) { "same" } else { "NOT" };
            let (krononat, nftables) = (sign(&row.krononat), sign(&row.nftables));
            let (name, expected, verdict) = (row.name, row.expected, row.verdict());
            writeln!(f, "{name:18} {expected:42} {krononat:9} {nftables:9} {verdict}")?;
        }
        let failed: Vec<_> = self.rows.iter().filter(|row| !row.passed()).collect();
        // Last, where whoever sees only the end of a log still sees it.
        for row in &failed {
            writeln!(f, "{}: {}: {} was expected", row.name, row.verdict(), row.expected)?;
            writeln!(f, "    krononat: {}", words(&row.krononat))?;
            writeln!(f, "    nftables: {}", words(&row.nftables))?;
        }
        let all = self.rows.len();
        writeln!(f, "{} of {all} checks passed", all - failed.len())
    }
}
