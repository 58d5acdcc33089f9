//! A table for a terminal or for Markdown: columns as wide as their widest cell.
//!
//! Text of scenarios and hosts may hold line breaks, bars and terminal codes; in a cell they become
//! spaces or are escaped. [`compare`](crate::compare), [`trend`](crate::trend) and the exporters
//! print with it.

use std::fmt::Write;

/// Which side of a column its cells lean to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lean {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a head.
#[derive(Clone, Debug)]
pub struct Grid {
    columns: Vec<(&'static str, Lean)>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// An empty table with these columns.
    pub fn new(columns: &[(&'static str, Lean)]) -> Grid {
        Grid { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Appends a row; cells that are not given are empty.
    ///
    /// # Panics
    /// With more cells than columns.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| plain(&cell)).collect();
        assert!(row.len() <= self.columns.len(), "a cell for each column at most");
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Aligned, indented by two spaces, a line per row.
    pub fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| {
                let cells = self.rows.iter().map(|row| row[i].chars().count());
                cells.chain([self.columns[i].0.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let head: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut text = String::new();
        for row in [&head].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, lean)) in row.iter().zip(&widths).zip(&self.columns) {
                let room = " ".repeat(width - cell.chars().count());
                line += &match lean {
                    Lean::Left => format!("  {cell}{room}"),
                    Lean::Right => format!("  {room}{cell}"),
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let line = |cells: &mut dyn Iterator<Item = String>| {
            cells.fold("|".to_owned(), |line, cell| line + " " + &cell + " |") + "\n"
        };
        text += &line(&mut self.columns.iter().map(|(name, _)| (*name).to_owned()));
        text += &line(&mut self.columns.iter().map(|(_, lean)| match lean {
            Lean::Left => "---".to_owned(),
            Lean::Right => "---:".to_owned(),
        }));
        for row in &self.rows {
            let _ = write!(text, "{}", line(&mut row.iter().map(|cell| markdown(cell))));
        }
        text
    }
}

fn plain(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text that Markdown shows as it is.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '\\' | '#' | '~') {
            escaped.push('\\');
        }
        escaped.push(if c.is_control() { ' ' } else { c });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_breaks_out_of_a_cell() {
        let mut grid = Grid::new(&[("figure", Lean::Left), ("A", Lean::Right)]);
        grid.push(["per core".to_owned(), "9.26".to_owned()]);
        grid.push(["a|b\n\u{1b}[31m".to_owned()]);
        assert_eq!(grid.text(), "  figure        A\n  per core   9.26\n  a|b  [31m\n");
        let markdown = grid.markdown();
        assert!(markdown.starts_with("| figure | A |\n| --- | ---: |\n| per core | 9.26 |\n"));
        assert!(markdown.contains("| a\\|b  \\[31m |  |\n"), "{markdown}");
    }
}
