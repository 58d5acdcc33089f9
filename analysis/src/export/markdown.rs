//! Markdown for the summary of a CI step: checks that are not passed first, then the figures.

use super::{Entry, Judgement, Sheet};
use crate::figure;
use crate::grid::{Grid, Lean, markdown};

/// Writes a sheet.
pub fn write(sheet: &Sheet) -> String {
    let mut text = format!("## {}\n\n", markdown(&sheet.title));
    let count = |result| sheet.checks.iter().filter(|check| check.result == result).count();
    let (failed, unjudged) = (count(Judgement::Failed), count(Judgement::Unjudged));
    text += &match (sheet.checks.len(), failed, unjudged) {
        (0, ..) => "Nothing was judged.\n".to_owned(),
        (all, 0, 0) => format!("All {all} checks passed.\n"),
        (all, failed, 0) => format!("**{failed} of {all} checks failed.**\n"),
        (all, failed, unjudged) => {
            format!("**{failed} of {all} checks failed, {unjudged} could not be judged.**\n")
        }
    };
    let mut checks = Grid::new(&[
        ("check", Lean::Left),
        ("of", Lean::Left),
        ("result", Lean::Left),
        ("what was found", Lean::Left),
    ]);
    for check in sheet.checks.iter().filter(|check| check.result != Judgement::Passed) {
        let result = if check.result == Judgement::Failed { "failed" } else { "not judged" };
        let cells = [&check.name, &check.of, result, &check.message];
        checks.push(cells.map(str::to_owned));
    }
    if !checks.is_empty() {
        text += &format!("\n{}", checks.markdown());
    }
    if !sheet.entries.is_empty() {
        text += &format!("\n{}", figures(&sheet.entries).markdown());
    }
    text
}

fn figures(entries: &[Entry]) -> Grid {
    let mut grid = Grid::new(&[
        ("benchmark", Lean::Left),
        ("figure", Lean::Left),
        ("value", Lean::Right),
        ("unit", Lean::Left),
        ("interval", Lean::Right),
        ("change", Lean::Right),
        ("verdict", Lean::Left),
        ("note", Lean::Left),
    ]);
    for entry in entries {
        let value = match entry.value {
            Some(value) if entry.at_least => format!("at least {}", figure::significant(value, 4)),
            Some(value) => figure::significant(value, 4),
            None => figure::MISSING.to_owned(),
        };
        let invalid = (!entry.valid && entry.verdict.is_none()).then(|| "invalid".to_owned());
        grid.push([
            entry.benchmark.clone(),
            entry.figure.clone(),
            value,
            entry.unit.clone(),
            entry.low.zip(entry.high).map_or_else(String::new, |(low, high)| {
                format!("{} to {}", figure::significant(low, 4), figure::significant(high, 4))
            }),
            entry.change.map_or_else(String::new, super::percent),
            entry.verdict.clone().or(invalid).unwrap_or_default(),
            entry.why.clone().unwrap_or_default(),
        ]);
    }
    grid
}
