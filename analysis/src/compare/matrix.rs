//! Many runs against the first: one line each.
//!
//! Every run is compared with the first as two runs are; the table shows the rates that hardware is
//! chosen by, and the verdict on the rate per core. A run that is not comparable has no figures,
//! only its reasons.

use super::figures::{self, Figure};
use super::render::{change, interval, value, verdict};
use super::{Comparison, Options, Row, Side, compare_labelled, scale, side};
use crate::comparable::Kind;
use crate::grid::{Grid, Lean, markdown};
use crate::load::Run;
use crate::scaling::Curve;
use serde::Serialize;

/// The figures shown, and their heads.
const SHOWN: [(&str, &str); 6] = [
    ("forwarded", "Mpps"),
    ("forwarded per core", "per core"),
    ("forwarded per core and GHz (TSC)", "and GHz"),
    ("forwarded per watt", "per W"),
    ("forwarded per money", "G packets per money"),
    ("cycles per packet", "cycles/packet"),
];

/// The figure whose verdict stands in the table.
const JUDGED: &str = "forwarded per core";

/// Runs against the first of them.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// Always `krono.compare-matrix/1`.
    pub schema: &'static str,
    /// The run that the others are compared with.
    pub base: Side,
    /// Its figures, in the order of the columns of the text form; `null` where it has none.
    pub base_figures: Vec<Option<f64>>,
    /// The others, in their order.
    pub others: Vec<Comparison>,
    /// Scale-up over the runs that are comparable; `null` where all have as many cores.
    pub scale: Option<Curve>,
    #[serde(skip)]
    base_cells: Vec<String>,
}

/// The label of the `i`-th run: `A` to `Z`, then `R27` and on.
pub fn label(i: usize) -> String {
    match u8::try_from(i) {
        Ok(i @ 0..26) => char::from(b'A' + i).to_string(),
        _ => format!("R{}", i + 1),
    }
}

/// Compares each of `runs` with the first; `None` of fewer than two.
pub fn matrix(runs: &[Run], options: &Options) -> Option<Matrix> {
    let (base, others) = runs.split_first().filter(|(_, others)| !others.is_empty())?;
    let first = label(0);
    let figures = figures::of(base, options.prices.get(&first));
    let shown = |name: &str| figures.iter().find(|figure| figure.name == name);
    let shown: Vec<Option<&Figure>> = SHOWN.iter().map(|(name, _)| shown(name)).collect();
    let known = |figure: &&Figure| figure.value.clone().ok();
    let others: Vec<Comparison> = others
        .iter()
        .enumerate()
        .map(|(i, run)| compare_labelled((&first, base), (&label(i + 1), run), options))
        .collect();
    let comparable = others.iter().map(Comparison::comparable);
    let beside = runs.iter().zip([true].into_iter().chain(comparable));
    let scale = scale::curve(beside.filter(|(_, comparable)| *comparable).map(|(run, _)| run));
    Some(Matrix {
        schema: "krono.compare-matrix/1",
        base: side((&first, base)),
        base_figures: shown.iter().map(|it| it.as_ref().and_then(known)).collect(),
        base_cells: shown
            .iter()
            .map(|it| value(it.as_ref().and_then(known), it.is_some_and(|it| it.at_least)))
            .collect(),
        others,
        scale,
    })
}

impl Matrix {
    /// Whether every run may be compared with the first.
    pub fn comparable(&self) -> bool {
        self.others.iter().all(Comparison::comparable)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = self.grid().text();
        if let Some(curve) = &self.scale {
            text += &format!("\nScale-up\n{}", scale::grid(curve).text());
            scale::sentences(curve).iter().for_each(|line| text += &format!("  {line}\n"));
        }
        text += "\nWhat differs from A\n";
        self.each_difference(|label, what| text += &format!("  {label}: {what}\n"));
        if !self.comparable() {
            text += "\nNot comparable\n";
            self.each_obstacle(|label, why| text += &format!("  {label}: {why}\n"));
        }
        text
    }

    /// In Markdown.
    pub fn markdown(&self) -> String {
        let mut text = self.grid().markdown();
        if let Some(curve) = &self.scale {
            text += &format!("\nScale-up:\n\n{}\n", scale::grid(curve).markdown());
            let lines = scale::sentences(curve);
            lines.iter().for_each(|line| text += &format!("* {}\n", markdown(line)));
        }
        text += "\nWhat differs from A:\n\n";
        self.each_difference(|label, what| text += &format!("* {label}: {}\n", markdown(what)));
        if !self.comparable() {
            text += "\nNot comparable:\n\n";
            self.each_obstacle(|label, why| text += &format!("* {label}: {}\n", markdown(why)));
        }
        text
    }

    fn grid(&self) -> Grid {
        let mut columns = vec![("", Lean::Left), ("run", Lean::Left)];
        columns.extend(SHOWN.map(|(_, head)| (head, Lean::Right)));
        columns.extend([
            ("change per core", Lean::Right),
            ("interval", Lean::Right),
            ("verdict", Lean::Left),
        ]);
        let mut grid = Grid::new(&columns);
        let name = |side: &Side| [side.label.clone(), side.id.clone()];
        let base = name(&self.base).into_iter().chain(self.base_cells.iter().cloned());
        grid.push(base.chain([String::new(), String::new(), "the first".to_owned()]));
        for other in &self.others {
            let of = |name: &str| other.rows.iter().find(|row| row.figure == name);
            let cell = |row: Option<&Row>| match row {
                Some(row) => value(row.b, row.b_at_least),
                None => String::new(),
            };
            let cells = SHOWN.iter().map(|(name, _)| cell(of(name)));
            let judged = of(JUDGED);
            let last = match judged {
                Some(row) => {
                    let change = row.change.map_or_else(String::new, change);
                    [change, interval(row), verdict(row.verdict).to_owned()]
                }
                None => [String::new(), String::new(), "not comparable".to_owned()],
            };
            grid.push(name(&other.b).into_iter().chain(cells).chain(last));
        }
        grid
    }

    fn each_difference(&self, mut line: impl FnMut(&str, &str)) {
        for other in &self.others {
            let weighty = other.differences.iter().filter(|it| it.kind != Kind::Note);
            let all: Vec<String> = weighty.map(|it| it.name.clone()).collect();
            let all = if all.is_empty() { "nothing but notes".to_owned() } else { all.join(", ") };
            line(&other.b.label, &all);
        }
    }

    fn each_obstacle(&self, mut line: impl FnMut(&str, &str)) {
        for other in &self.others {
            other.obstacles.iter().for_each(|why| line(&other.b.label, why));
        }
    }
}
