//! The verdicts as a table.

use analysis::gate::{Class, Row};
use comfy_table::{CellAlignment, Table, presets};

/// All rows, and below them the reasons of those that do not pass.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    let heads = ["metric", "base", "candidate", "change", "interval", "seen from", "verdict"];
    table.set_header(heads);
    for row in rows {
        table.add_row(cells(row));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        column.set_cell_alignment(CellAlignment::Left);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    for row in rows.iter().filter(|row| row.class != Class::Pass) {
        if let Some(why) = &row.why {
            text.push_str(&format!("{}: {}: {why}\n", row.metric, row.class));
        }
    }
    text
}

fn cells(row: &Row) -> [String; 7] {
    let none = || "-".to_owned();
    let value = |value: Option<f64>| {
        value.map_or_else(none, |value| format!("{value:.2} {}", row.unit).trim_end().to_owned())
    };
    let interval = row.low.zip(row.high).map(|(low, high)| {
        let confidence = row.confidence.map(|it| format!(" ({:.0} %)", it * 100.0));
        format!("{} to {}{}", percent(low), percent(high), confidence.unwrap_or_default())
    });
    [
        row.metric.clone(),
        value(row.base),
        value(row.value),
        row.change.map_or_else(none, percent),
        interval.unwrap_or_else(none),
        row.seen_from.map_or_else(none, percent),
        row.class.to_string(),
    ]
}

/// A share with its sign; 0 has none.
fn percent(share: f64) -> String {
    let text = format!("{:+.2} %", share * 100.0);
    if text.trim_start_matches(['+', '-']).starts_with("0.00 ") {
        "0.00 %".to_owned()
    } else {
        text
    }
}
