//! Medians over the rounds, and of the ratios within each.

use super::contenders::Contender;
use serde_json::json;
use std::fmt::Write;

/// What is measured of each table, in millions of operations a second.
#[derive(Clone, Copy)]
pub(crate) enum Column {
    Positive,
    Negative,
    /// Of all keys together.
    Insert,
    /// Of the keys of one turn.
    InsertTurn,
}

/// Figures by round: of each contender, and the machine's.
pub(crate) struct Report {
    figures: Vec<[Vec<f64>; 4]>,
    limit: Vec<f64>,
}

impl Report {
    pub(crate) fn new(contenders: usize) -> Report {
        Report { figures: vec![Default::default(); contenders], limit: Vec::new() }
    }

    pub(crate) fn add(&mut self, contender: usize, column: Column, mops: f64) {
        self.figures[contender][column as usize].push(mops);
    }

    pub(crate) fn add_limit(&mut self, mops: f64) {
        self.limit.push(mops);
    }

    /// A line for each contender with the figures of every round, and one for the machine.
    pub(crate) fn json(
        &self,
        contenders: &[Box<dyn Contender>],
        huge: &[Option<f64>],
        entries: u32,
        bytes: usize,
    ) -> String {
        let mut text = String::new();
        for ((contender, figures), huge) in contenders.iter().zip(&self.figures).zip(huge) {
            let [positive, negative, insert, insert_turns] = figures;
            let line = json!({
                "table": contender.name(),
                "entries": entries,
                "load": f64::from(entries) / contender.slots() as f64,
                "bytes": contender.bytes(),
                "huge_percent": huge,
                "positive_mops": positive,
                "negative_mops": negative,
                "insert_mops": insert.first(),
                "insert_turns_mops": insert_turns,
            });
            writeln!(text, "{line}").unwrap();
        }
        let machine = json!({"machine": {"lines_mops": self.limit, "bytes": bytes}});
        writeln!(text, "{machine}").unwrap();
        text
    }

    /// Two tables: the rates, and each one's ratios to the first contender and to the limit.
    pub(crate) fn text(
        &self,
        contenders: &[Box<dyn Contender>],
        huge: &[Option<f64>],
        entries: u32,
        bytes: usize,
    ) -> String {
        let rounds = self.limit.len();
        let mut text = format!("{entries} entries, one core, bursts of 32, {rounds} rounds\n\n");
        let head = "M/s (median)";
        writeln!(text, "{head:22} positive negative   insert   load bytes/entry on 2 MiB pages")
            .unwrap();
        for ((contender, figures), huge) in contenders.iter().zip(&self.figures).zip(huge) {
            let [positive, negative, insert] = [0, 1, 2].map(|i| spread(&figures[i])[1]);
            let load = f64::from(entries) / contender.slots() as f64;
            let size = contender.bytes() as f64 / f64::from(entries);
            let name = contender.name();
            let rates = format!("{positive:9.1}{negative:9.1}{insert:9.1}");
            let pages = huge.map_or("unknown".to_owned(), |share| format!("{share:.0} %"));
            writeln!(text, "{name:22}{rates} {load:6.3} {size:11.1} {pages:>14}").unwrap();
        }
        let [_, limit, _] = spread(&self.limit);
        let mib = bytes >> 20;
        writeln!(text, "{:22}{limit:9.1} random 64-byte lines of {mib} MiB", "this machine")
            .unwrap();
        self.ratios(contenders, &mut text);
        text
    }

    fn ratios(&self, contenders: &[Box<dyn Contender>], text: &mut String) {
        let reference = contenders[0].name();
        let head = "ratio (min-max)";
        let share = "positive / machine";
        writeln!(
            text,
            "\n{head:22} {:>20} {:>20} {:>6} {share:>20}",
            "positive", "negative", "insert"
        )
        .unwrap();
        for (contender, figures) in contenders.iter().zip(&self.figures) {
            let [positive, negative, insert] =
                [0, 1, 2].map(|i| ratio(&figures[i], &self.figures[0][i]));
            let [_, insert, _] = insert;
            let share = range(ratio(&figures[0], &self.limit));
            let (positive, negative) = (range(positive), range(negative));
            let name = contender.name();
            writeln!(text, "{name:22} {positive:>20} {negative:>20} {insert:6.2} {share:>20}")
                .unwrap();
        }
        writeln!(text, "ratios but the last are to {reference}").unwrap();
    }
}

/// Least, median and greatest.
fn spread(figures: &[f64]) -> [f64; 3] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.as_slice() {
        [] => [f64::NAN; 3],
        all => [all[0], all[all.len() / 2], all[all.len() - 1]],
    }
}

/// Spread of the ratios round by round.
fn ratio(of: &[f64], to: &[f64]) -> [f64; 3] {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    spread(&ratios)
}

fn range([least, median, greatest]: [f64; 3]) -> String {
    format!("{median:.2} ({least:.2}-{greatest:.2})")
}
