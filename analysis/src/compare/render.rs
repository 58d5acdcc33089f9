//! A comparison for people: on a terminal and in Markdown.

use super::{Basis, Comparison, Row, Side, Verdict};
use crate::comparable::{Difference, Kind};
use crate::figure;
use crate::gate::Direction;
use crate::grid::{Grid, Lean, markdown};
use format::summary::Source;

/// Characters of a fact that are shown in text; a list of mitigations would fill the screen.
const FACT_MAX: usize = 48;

impl Comparison {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for side in [&self.a, &self.b] {
            text += &format!("{}  {}\n", side.label, described(side));
        }
        text += "\nWhat differs\n";
        match self.differences.is_empty() {
            true => text += "  nothing that is recorded\n",
            false => text += &differences(&self.differences, Some(FACT_MAX)).text(),
        }
        if !self.comparable() {
            text += "\nNot comparable\n";
            self.obstacles.iter().for_each(|why| text += &format!("  {why}\n"));
            return text;
        }
        text += &format!("\nFigures, with {} intervals of the change\n", self.percent());
        text += &self.figures().text();
        for row in self.rows.iter().filter(|row| row.why.is_some()) {
            let why = row.why.as_deref().unwrap_or_default();
            text += &format!("  {}: {why}\n", row.figure);
        }
        if !self.notes.is_empty() {
            text.push('\n');
            self.notes.iter().for_each(|note| text += &format!("note: {note}\n"));
        }
        text
    }

    /// In Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {} and {}\n\n", markdown(&self.a.id), markdown(&self.b.id));
        for side in [&self.a, &self.b] {
            text += &format!("* {}: {}\n", side.label, markdown(&described(side)));
        }
        text += "\n### What differs\n\n";
        match self.differences.is_empty() {
            true => text += "Nothing that is recorded.\n",
            false => text += &differences(&self.differences, None).markdown(),
        }
        if !self.comparable() {
            text += "\n### Not comparable\n\n";
            self.obstacles.iter().for_each(|why| text += &format!("* {}\n", markdown(why)));
            return text;
        }
        text += &format!("\n### Figures, with {} intervals of the change\n\n", self.percent());
        text += &self.figures().markdown();
        let why = self.rows.iter().filter_map(|row| Some((row, row.why.as_ref()?)));
        let why = why.map(|(row, why)| format!("* {}: {}\n", markdown(&row.figure), markdown(why)));
        text += &format!("\n{}", why.collect::<String>());
        self.notes.iter().for_each(|note| text += &format!("* {}\n", markdown(note)));
        text
    }

    fn percent(&self) -> String {
        figure::percent(self.confidence)
    }

    fn figures(&self) -> Grid {
        let (a, b) = if self.a.label == "A" { ("A", "B") } else { ("base", "this") };
        let mut grid = Grid::new(&[
            ("figure", Lean::Left),
            ("unit", Lean::Left),
            ("better", Lean::Left),
            ("counted by", Lean::Left),
            (a, Lean::Right),
            (b, Lean::Right),
            ("change", Lean::Right),
            ("interval", Lean::Right),
            ("of", Lean::Left),
            ("verdict", Lean::Left),
        ]);
        for row in &self.rows {
            grid.push([
                row.figure.clone(),
                row.unit.clone(),
                match row.direction {
                    Direction::HigherIsBetter => "higher".to_owned(),
                    Direction::LowerIsBetter => "lower".to_owned(),
                },
                match row.source {
                    Source::BlackBox => "black-box".to_owned(),
                    Source::WhiteBox => "white-box".to_owned(),
                },
                value(row.a, row.a_at_least),
                value(row.b, row.b_at_least),
                row.change.map_or_else(String::new, change),
                interval(row),
                basis(row),
                verdict(row.verdict).to_owned(),
            ]);
        }
        grid
    }
}

fn described(side: &Side) -> String {
    let revision = side.revision.as_deref().unwrap_or("revision unknown");
    format!("{} ({}, {revision})", side.dir, side.started)
}

/// The differences as a table; texts longer than `limit` are cut in the middle.
fn differences(all: &[Difference], limit: Option<usize>) -> Grid {
    let mut grid = Grid::new(&[
        ("kind", Lean::Left),
        ("fact", Lean::Left),
        ("A", Lean::Left),
        ("B", Lean::Left),
    ]);
    for difference in all {
        let kind = match difference.kind {
            Kind::Traffic => "traffic",
            Kind::Design => "design",
            Kind::Hardware => "hardware",
            Kind::Setting => "setting",
            Kind::Note => "note",
        };
        let fact = |value: &Option<String>| match value.as_deref() {
            None => figure::MISSING.to_owned(),
            Some("") => "none".to_owned(),
            Some(text) => limit.map_or_else(|| text.to_owned(), |limit| shortened(text, limit)),
        };
        let (a, b) = (fact(&difference.a), fact(&difference.b));
        grid.push([kind.to_owned(), difference.name.clone(), a, b]);
    }
    grid
}

fn shortened(text: &str, limit: usize) -> String {
    let count = text.chars().count();
    if count <= limit {
        return text.to_owned();
    }
    let head: String = text.chars().take(limit / 2).collect();
    let tail: String = text.chars().skip(count - limit / 2).collect();
    format!("{head}…{tail}")
}

pub(super) fn value(value: Option<f64>, at_least: bool) -> String {
    match value {
        Some(value) if at_least => format!("at least {}", figure::significant(value, 4)),
        Some(value) => figure::significant(value, 4),
        None => figure::MISSING.to_owned(),
    }
}

/// A change in percent with its sign: `+1.2 %`, `−0.3 %`, `0 %`.
pub(super) fn change(change: f64) -> String {
    let sign = if change > 0.0 { "+" } else { "" };
    format!("{sign}{} %", figure::significant(change * 100.0, 2))
}

pub(super) fn interval(row: &Row) -> String {
    row.interval.map_or_else(String::new, |(low, high)| {
        format!("{} to {}", change(low).trim_end_matches(" %"), change(high))
    })
}

pub(super) fn basis(row: &Row) -> String {
    match row.basis {
        Some(Basis::Trials(a, b)) => format!("{a} and {b} trials"),
        Some(Basis::Windows(a, b)) => format!("{a} and {b} windows"),
        None => String::new(),
    }
}

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::NoDifferenceSeen => "no difference seen",
        Verdict::NotJudged => "not judged",
    }
}
