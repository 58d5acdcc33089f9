//! A row of the table, and the table.

use super::disturbance::Disturbance;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

/// Least, median and greatest of figures taken in turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// `None` of no figures.
    pub(crate) fn of(figures: &[f64]) -> Option<Spread> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&least, &greatest) = (sorted.first()?, sorted.last()?);
        Some(Spread { least, median: sorted[sorted.len() / 2], greatest })
    }

    /// Of the ratios of figures taken beside each other.
    pub(crate) fn of_ratios(of: &[f64], to: &[f64]) -> Option<Spread> {
        Spread::of(&of.iter().zip(to).map(|(of, to)| of / to).collect::<Vec<f64>>())
    }

    /// One figure alone.
    pub(crate) fn single(figure: f64) -> Spread {
        Spread { least: figure, median: figure, greatest: figure }
    }
}

/// Median of figures; not a number if there are none.
pub(crate) fn median(figures: &[f64]) -> f64 {
    Spread::of(figures).map_or(f64::NAN, |spread| spread.median)
}

/// What is asked of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing: it is to be told.
    Told,
}

impl Asked {
    /// Whether the figure does it; `None` where nothing is asked.
    fn is_met(self, figure: f64) -> Option<bool> {
        match self {
            Asked::AtLeast(least) => Some(figure >= least),
            Asked::AtMost(most) => Some(figure <= most),
            Asked::Told => None,
        }
    }

    fn text(self) -> String {
        match self {
            Asked::AtLeast(least) => format!("at least {least}"),
            Asked::AtMost(most) => format!("at most {most}"),
            Asked::Told => String::new(),
        }
    }
}

/// One figure.
pub(crate) struct Row {
    what: String,
    /// With its unit; a ratio has none.
    measured: Option<(Spread, &'static str)>,
    asked: Asked,
    /// What the figure is made of, or why it is not there.
    from: String,
    pub(crate) disturbance: Option<Disturbance>,
}

impl Row {
    pub(crate) fn new(
        what: &str,
        (spread, unit): (Spread, &'static str),
        asked: Asked,
        from: impl Into<String>,
    ) -> Row {
        let (what, measured) = (what.to_owned(), Some((spread, unit)));
        Row { what, measured, asked, from: from.into(), disturbance: None }
    }

    /// What could not be measured, and why.
    pub(crate) fn without_figure(what: &str, why: &str) -> Row {
        Row {
            what: what.to_owned(),
            measured: None,
            asked: Asked::Told,
            from: why.to_owned(),
            disturbance: None,
        }
    }

    fn is_met(&self) -> Option<bool> {
        self.asked.is_met(self.measured?.0.median)
    }

    fn is_busy(&self) -> bool {
        self.disturbance.is_some_and(|disturbance| disturbance.is_grave())
    }

    pub(crate) fn json(&self) -> Value {
        let asked = match self.asked {
            Asked::AtLeast(least) => json!({ "min": least }),
            Asked::AtMost(most) => json!({ "max": most }),
            Asked::Told => Value::Null,
        };
        let spread = self.measured.map(|(spread, _)| spread);
        json!({
            "what": self.what,
            "median": spread.map(|spread| spread.median),
            "least": spread.map(|spread| spread.least),
            "greatest": spread.map(|spread| spread.greatest),
            "unit": self.measured.map(|(_, unit)| unit),
            "asked": asked,
            "reached": self.is_met(),
            "from": self.from,
            "stolen_share": self.disturbance.and_then(|disturbance| disturbance.stolen),
            "others_share": self.disturbance.and_then(|disturbance| disturbance.others),
        })
    }

    fn cells(&self) -> [String; 5] {
        let Some((spread, unit)) = self.measured else {
            let none = String::new;
            return [self.what.clone(), "no figure".to_owned(), none(), none(), self.from.clone()];
        };
        let Spread { least, median, greatest } = spread;
        let range = if least == greatest {
            String::new()
        } else {
            format!(" ({} to {})", digits(least), digits(greatest))
        };
        let measured = format!("{}{range} {unit}", digits(median)).trim_end().to_owned();
        let reached = match (self.is_met(), self.is_busy()) {
            (None, false) => "",
            (None, true) => "busy",
            (Some(true), false) => "yes",
            (Some(false), false) => "no",
            (Some(true), true) => "yes, busy",
            (Some(false), true) => "no, busy",
        };
        [self.what.clone(), measured, self.asked.text(), reached.to_owned(), self.from.clone()]
    }
}

/// Three digits that count.
fn digits(figure: f64) -> String {
    let places = match figure.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{figure:.places$}")
}

/// All rows.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["", "median (least to greatest)", "asked", "reached", "from"]);
    for row in rows {
        table.add_row(row.cells());
    }
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
        column.set_cell_alignment(CellAlignment::Left);
    }
    format!("\n{}\n", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(figures: &[f64]) -> (f64, f64, f64) {
        let Spread { least, median, greatest } = Spread::of(figures).unwrap();
        (least, median, greatest)
    }

    #[test]
    fn ratios_are_of_figures_taken_together() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]), (1.0, 2.0, 3.0));
        let ratios = Spread::of_ratios(&[2.0, 6.0, 8.0], &[1.0, 2.0, 2.0]).unwrap();
        assert_eq!((ratios.least, ratios.median, ratios.greatest), (2.0, 3.0, 4.0));
        assert!(Spread::of(&[]).is_none() && median(&[]).is_nan());
    }

    #[test]
    fn the_median_decides_and_no_figure_reaches_nothing() {
        let row = |asked, figures: &[f64]| {
            Row::new("a row", (Spread::of(figures).unwrap(), "us"), asked, "somewhere")
        };
        let reached = |asked| row(asked, &[1.0, 2.0, 9.0]).is_met();
        assert_eq!(reached(Asked::AtLeast(2.0)), Some(true));
        assert_eq!(reached(Asked::AtLeast(2.1)), Some(false));
        assert_eq!(reached(Asked::AtMost(2.0)), Some(true));
        assert_eq!(reached(Asked::AtMost(1.9)), Some(false));
        assert_eq!(reached(Asked::Told), None);
        let none = Row::without_figure("a part", "no memory");
        assert_eq!((none.is_met(), &none.json()["median"]), (None, &Value::Null));
        let text = table(&[row(Asked::AtMost(1.9), &[1.0, 2.0, 300.0]), none]);
        for part in ["2.00 (1.00 to 300) us", "at most 1.9", " no ", "no figure", "no memory"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}
