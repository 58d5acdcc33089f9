//! A table as data; the template draws it.

use super::missing;
use crate::figure;
use crate::plot::Plot;
use format::Summary;
use std::borrow::Cow;

/// A table with a heading and a sentence on how to read it.
pub(super) struct Table {
    pub(super) title: Cow<'static, str>,
    pub(super) note: String,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
}

/// A plot with the tables that say the same in figures.
pub(super) struct Part {
    pub(super) plot: Option<Plot>,
    pub(super) tables: Vec<Table>,
}

impl Part {
    /// A plot, if there is one, and its tables; those without rows are left out.
    pub(super) fn new<const N: usize>(plot: Option<Plot>, tables: [Table; N]) -> Part {
        let tables = tables.into_iter().filter(|table| !table.rows.is_empty()).collect();
        Part { plot, tables }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plot.is_none() && self.tables.is_empty()
    }
}

/// One row; the first cell names it.
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
}

/// One cell, escaped by the template.
pub(super) struct Cell {
    pub(super) text: String,
    /// CSS class: `number`, `code`, `source`, `good`, `bad` or none.
    pub(super) class: &'static str,
    /// Anchor on the page, or a page beside it.
    pub(super) link: Option<String>,
    /// Class of a mark that the text is set in.
    pub(super) mark: Option<&'static str>,
}

impl Table {
    pub(super) fn new(title: impl Into<Cow<'static, str>>, note: impl Into<String>) -> Table {
        Table { title: title.into(), note: note.into(), head: Vec::new(), rows: Vec::new() }
    }

    /// A table of nothing, which is not shown.
    pub(super) fn none() -> Table {
        Table::new("", "")
    }

    pub(super) fn head<const N: usize>(mut self, head: [&'static str; N]) -> Table {
        self.head = head.to_vec();
        self
    }

    pub(super) fn rows(mut self, rows: impl IntoIterator<Item = Row>) -> Table {
        self.rows.extend(rows);
        self
    }
}

impl Row {
    pub(super) fn new<const N: usize>(cells: [Cell; N]) -> Row {
        Row { cells: cells.into() }
    }
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), class: "", link: None, mark: None }
    }

    pub(super) fn number(text: impl Into<String>) -> Cell {
        Cell { class: "number", ..Cell::text(text) }
    }

    pub(super) fn link(text: &str, to: String) -> Cell {
        Cell { link: Some(to), ..Cell::text(text) }
    }

    /// Text of a class: `good`, `bad`, `doubtful` or none.
    pub(super) fn of(text: impl Into<String>, class: &'static str) -> Cell {
        Cell { class, ..Cell::text(text) }
    }

    /// How a figure came about: `measured`, `simulated`, `extrapolated` or `untested`.
    pub(super) fn kind(text: impl Into<String>, class: &'static str) -> Cell {
        Cell { mark: Some(class), ..Cell::text(text) }
    }

    pub(super) fn code(text: impl Into<String>) -> Cell {
        Cell { class: "code", ..Cell::text(text) }
    }

    pub(super) fn flag(good: bool, text: &str) -> Cell {
        Cell { class: if good { "good" } else { "bad" }, ..Cell::text(text) }
    }
}

/// Value with unit, or why there is none.
pub(super) fn or_missing(summary: &Summary, field: &str, value: Option<f64>, unit: &str) -> Cell {
    match value.filter(|value| value.is_finite()) {
        Some(value) => Cell::number(format!("{} {unit}", figure::trimmed(value, 4))),
        None => Cell::text(missing(summary, field)),
    }
}

/// Percentage, or why there is none.
pub(super) fn share_or_missing(summary: &Summary, field: &str, value: Option<f64>) -> Cell {
    match value.filter(|value| value.is_finite()) {
        Some(value) => Cell::number(figure::percent(value)),
        None => Cell::text(missing(summary, field)),
    }
}
