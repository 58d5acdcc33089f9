//! A run beside results of other tools: the figures that both have, and no verdict.
//!
//! Such results tell nothing of genome, host, direction or losses that a comparison would need, so every
//! ratio is given as it is and none is judged. What it says instead is at the end of every output.

use crate::figure;
use crate::foreign::{Foreign, Reading};
use crate::grid::{Grid, Lean};
use crate::load::Run;
use serde::Serialize;

/// What has to be said beside such figures.
const NOTE: &str = "results of other tools are not judged: frame sizes, directions, connections, losses \
                    and hosts may differ, and are not recorded with them";

/// Results side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Beside {
    /// Always `krono.compare.foreign/1`.
    pub schema: &'static str,
    /// In the order given: who made it, and what it is of.
    pub sides: Vec<Label>,
    /// Figures, each with a value of each side.
    pub rows: Vec<Row>,
    /// What has to be said beside them.
    pub notes: Vec<String>,
}

/// One side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Label {
    /// `krono`, `TRex` or `CSIT`.
    pub tool: &'static str,
    /// What was run.
    pub name: String,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name.
    pub figure: String,
    /// Unit.
    pub unit: &'static str,
    /// Of each side; `null` where it has none.
    pub values: Vec<Option<f64>>,
    /// The last value ÷ the first; `null` where one is missing or nothing.
    pub ratio: Option<f64>,
}

/// One of the results.
pub enum Side {
    /// A run of krono.
    Run(Box<Run>),
    /// A result of another tool.
    Foreign(Foreign),
}

/// Sets them side by side, in this order.
pub fn beside(sides: &[Side]) -> Beside {
    let mut rows: Vec<Row> = Vec::new();
    for (index, side) in sides.iter().enumerate() {
        for Reading { figure, unit, value } in readings(side) {
            let same = |row: &&mut Row| row.figure == figure && row.unit == unit;
            match rows.iter_mut().find(same) {
                Some(row) => row.values[index] = Some(value),
                None => {
                    let mut values = vec![None; sides.len()];
                    values[index] = Some(value);
                    rows.push(Row { figure, unit, values, ratio: None });
                }
            }
        }
    }
    for row in &mut rows {
        let ends = row.values.first().copied().flatten().zip(row.values.last().copied().flatten());
        row.ratio = ends.filter(|(first, _)| *first > 0.0).map(|(first, last)| last / first);
    }
    let bounded = sides.iter().enumerate().filter_map(|(at, side)| match side {
        Side::Run(run) if run.summary.throughput.at_least => {
            let label = super::matrix::label(at);
            Some(format!("{label} could forward more than it was offered: at least that much"))
        }
        _ => None,
    });
    let notes = bounded.chain([NOTE.to_owned()]).collect();
    let label = |side: &Side| match side {
        Side::Run(run) => Label { tool: "krono", name: run.summary.run.id.clone() },
        Side::Foreign(foreign) => Label { tool: foreign.tool, name: foreign.name.clone() },
    };
    let sides = sides.iter().map(label).collect();
    Beside { schema: "krono.compare.foreign/1", sides, rows, notes }
}

fn readings(side: &Side) -> Vec<Reading> {
    let run = match side {
        Side::Foreign(foreign) => return foreign.figures.clone(),
        Side::Run(run) => run,
    };
    let summary = &run.summary;
    let (rates, latency) = (&summary.throughput, &summary.latency_us);
    let planned = summary.ledger.planned;
    let lost = (planned > 0).then(|| summary.ledger.lost as f64 / planned as f64);
    let mut all = vec![
        ("offered", "Mpps", rates.offered_mpps),
        ("forwarded", "Mpps", rates.forwarded_mpps),
        ("lost", "share", lost),
        ("latency, median", "us", latency.p50),
        ("latency, longest", "us", latency.max),
        ("held", "connections", Some(summary.connections.held_peak as f64)),
    ];
    if let Some(found) = &rates.search {
        let (lower, upper) = match found.goal.as_str() {
            "ndr" => ("NDR, lower bound", "NDR, upper bound"),
            _ => ("PDR, lower bound", "PDR, upper bound"),
        };
        all.extend([(lower, "Mpps", found.lower_mpps), (upper, "Mpps", found.upper_mpps)]);
    }
    let reading = |(figure, unit, value): (&str, &'static str, Option<f64>)| {
        Some(Reading { figure: figure.to_owned(), unit, value: value? })
    };
    all.into_iter().filter_map(reading).collect()
}

impl Beside {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = self.heads().map(|head| head + "\n").collect::<String>() + "\n";
        text += &self.grid().text();
        text.push('\n');
        text + &self.notes.iter().map(|note| format!("note: {note}\n")).collect::<String>()
    }

    /// In Markdown.
    pub fn markdown(&self) -> String {
        let heads = self.heads().map(|head| format!("* {}\n", crate::grid::markdown(&head)));
        let mut text = heads.collect::<String>() + "\n";
        text += &self.grid().markdown();
        text.push('\n');
        text + &self.notes.iter().map(|note| format!("{note}\n")).collect::<String>()
    }

    fn heads(&self) -> impl Iterator<Item = String> {
        let side = |(at, side): (usize, &Label)| {
            format!("{}  {}: {}", super::matrix::label(at), side.tool, side.name)
        };
        self.sides.iter().enumerate().map(side)
    }

    fn grid(&self) -> Grid {
        const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
        let mut columns = vec![("figure", Lean::Left), ("unit", Lean::Left)];
        columns.extend(LETTERS[..self.sides.len()].iter().map(|letter| (*letter, Lean::Right)));
        columns.push(("last ÷ first", Lean::Right));
        let mut grid = Grid::new(&columns);
        for row in &self.rows {
            let cell = |value: &Option<f64>| {
                value.map_or_else(|| "-".to_owned(), |value| figure::significant(value, 4))
            };
            let ends = [row.figure.clone(), row.unit.to_owned()].into_iter();
            let ratio = row.ratio.map_or_else(String::new, |ratio| figure::significant(ratio, 3));
            grid.push(ends.chain(row.values.iter().map(cell)).chain([ratio]));
        }
        grid
    }
}

/// Most results side by side.
pub const SIDES_MAX: usize = 8;
