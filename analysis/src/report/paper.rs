//! The page of a publication's claims, and the same on a terminal.
//!
//! Of each claim the words and the figure that were published, and beside them what was found: a value
//! with its spread, a mark that says whether it was measured, simulated or extrapolated, the model
//! if there is one, the run, and the verdict. [`write`] is called by `krono paper`, which has all of
//! it in a [`Paper`]; the page adds no number.

use super::table::{Cell, Row, Table};
use super::{PAGE, ReportError, origin, replace, set};
use crate::figure;
use crate::plot::{self, Plot};
use crate::scaling::{self, Curve};
use askama::Template;
use format::Paper;
use format::paper::{Claim, Cost, Evidence, Figure, Kind, Run, Sense, Verdict};
use std::path::{Path, PathBuf};

#[derive(Template)]
#[template(path = "paper.html")]
struct Page {
    title: String,
    subtitle: String,
    answer: String,
    mood: &'static str,
    about: String,
    plot_style: String,
    kinds: [KindView; 4],
    overview: Table,
    claims: Vec<ClaimView>,
    behind: Vec<Table>,
}

struct KindView {
    class: &'static str,
    meaning: &'static str,
}

struct ClaimView {
    id: String,
    title: String,
    says: String,
    source: String,
    plots: Vec<Drawn>,
    tables: Vec<Table>,
}

struct Drawn {
    kind: &'static str,
    what: String,
    plot: String,
}

/// The four marks with their meaning.
const KINDS: [(Kind, &str); 4] = [
    (Kind::Measured, "on this host, in real time, in a run of this report"),
    (
        Kind::Simulated,
        "the same code in virtual time; where packets cost time, as much as was measured",
    ),
    (Kind::Extrapolated, "a figure of a run of this report, by the model named beside it"),
    (Kind::Untested, "not tested here, for the reason given"),
];

/// Writes the page into a directory; its path.
///
/// # Errors
/// The template's, or a file that cannot be written.
pub fn write(directory: &Path, paper: &Paper) -> Result<PathBuf, ReportError> {
    let path = directory.join(PAGE);
    replace(&path, render(paper)?.as_bytes())?;
    Ok(path)
}

/// The page.
///
/// # Errors
/// The template's.
pub fn render(paper: &Paper) -> Result<String, ReportError> {
    let call = &paper.invocation;
    let length = if call.quick { "short runs" } else { "full runs" };
    let page = Page {
        title: paper.title.clone(),
        subtitle: format!("{} · {length} · {}", call.started, host_name(paper)),
        answer: answer(paper),
        mood: if call.interrupted { "doubtful" } else { "good" },
        about: paper.about.clone(),
        plot_style: plot::style(),
        kinds: KINDS.map(|(kind, meaning)| KindView { class: class(kind), meaning }),
        overview: overview(paper),
        claims: paper.claims.iter().map(|it| claim(it, paper)).collect(),
        behind: [
            costs(&paper.costs),
            runs(&paper.runs),
            provenance(paper),
            origin::host(&paper.host),
        ]
        .into_iter()
        .filter(|table| !table.rows.is_empty())
        .collect(),
    };
    Ok(page.render()?)
}

fn host_name(paper: &Paper) -> &str {
    paper.host.cpu_model.as_deref().or(paper.host.name.as_deref()).unwrap_or("unknown host")
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Measured => "measured",
        Kind::Simulated => "simulated",
        Kind::Extrapolated => "extrapolated",
        Kind::Untested => "untested",
    }
}

/// How a figure came about; of one that is not there, that it did not.
fn mark(ours: &Evidence) -> Cell {
    match (ours.value, ours.kind) {
        (None, Kind::Measured | Kind::Simulated | Kind::Extrapolated) => {
            Cell::kind(format!("not {}", ours.kind), class(Kind::Untested))
        }
        _ => Cell::kind(ours.kind.to_string(), class(ours.kind)),
    }
}

fn mood(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "good",
        Verdict::NotMet => "bad",
        Verdict::NotShown | Verdict::Invalid => "doubtful",
        Verdict::Told | Verdict::NoFigure => "",
    }
}

/// The best a claim has to show: by a measurement if there is one, else by less.
fn best(claim: &Claim) -> Option<&Evidence> {
    let rank = |kind| KINDS.iter().position(|(it, _)| *it == kind);
    let judged = |it: &&Evidence| matches!(it.verdict, Verdict::Met | Verdict::NotMet);
    claim.ours.iter().filter(judged).min_by_key(|it| rank(it.kind))
}

/// Of how many claims what was found, in a sentence.
fn answer(paper: &Paper) -> String {
    let count = |verdict: Verdict, kind: Kind| {
        let of = paper.claims.iter().filter_map(best);
        of.filter(|it| it.verdict == verdict && it.kind == kind).count()
    };
    let parts = |verdict| {
        let kinds = KINDS.iter().map(|(kind, _)| (count(verdict, *kind), *kind));
        let some = kinds.filter(|(count, _)| *count > 0);
        some.map(|(count, kind)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    };
    let judged = paper.claims.iter().filter_map(best);
    let met = judged.filter(|it| it.verdict == Verdict::Met).count();
    let all = paper.claims.len();
    let mut text = format!("{met} of {} are met", figure::plural(all, "claim"));
    if met > 0 {
        text += &format!(" ({})", parts(Verdict::Met));
    }
    let missed = paper.claims.iter().filter_map(best).count() - met;
    text += &match missed {
        0 => ", none is not".to_owned(),
        missed => format!(", {missed} not ({})", parts(Verdict::NotMet)),
    };
    let open = all - met - missed;
    if open > 0 {
        text += &format!("; {open} could not be judged here");
    }
    if paper.invocation.interrupted {
        text = format!("In the part that ran before it was interrupted, {text}");
    }
    text + "."
}

/// Every piece of evidence, a row each.
fn overview(paper: &Paper) -> Table {
    let rows = paper.claims.iter().flat_map(|claim| {
        claim.ours.iter().map(|ours| {
            Row::new([
                Cell::link(&claim.title, format!("#{}", claim.id)),
                Cell::text(&ours.what),
                Cell::text(theirs(ours.theirs.as_ref())),
                Cell::text(value(ours)),
                mark(ours),
                Cell::of(ours.verdict.to_string(), mood(ours.verdict)),
            ])
        })
    });
    Table::new(
        "Claims",
        "What was published beside what was found here, in runs of this report. How sure a figure is \
         depends on how it came about: see the marks above.",
    )
    .head(["claim", "what", "published", "here", "how", "verdict"])
    .rows(rows)
}

fn theirs(figure: Option<&Figure>) -> String {
    let Some(figure) = figure else { return "—".to_owned() };
    let sense = match figure.sense {
        Sense::AtLeast => "at least",
        Sense::AtMost => "at most",
    };
    let value = match figure.value.fract() == 0.0 {
        true => figure::value(figure.value),
        false => figure::trimmed(figure.value, 4),
    };
    format!("{sense} {value} {}", figure.unit).trim_end().to_owned()
}

/// Value, unit and spread, or that there is none.
fn value(ours: &Evidence) -> String {
    let Some(value) = ours.value else { return figure::MISSING.to_owned() };
    let least = if ours.at_least { "at least " } else { "" };
    let one = |value: f64| match value.fract() == 0.0 && value.abs() < 1e15 {
        true => figure::value(value),
        false => figure::significant(value, 3),
    };
    let text = format!("{least}{} {}", one(value), ours.unit).trim_end().to_owned();
    match ours.low.zip(ours.high).filter(|(low, high)| low < high) {
        Some((low, high)) => format!("{text} ({}–{})", one(low), one(high)),
        None => text,
    }
}

fn claim(claim: &Claim, paper: &Paper) -> ClaimView {
    let curves: Vec<(&Evidence, Curve)> =
        claim.ours.iter().filter_map(|ours| Some((ours, curve(ours)?))).collect();
    let plots = curves.iter().filter_map(|(ours, curve)| {
        let drawn = plot::scale::plot(curve)?;
        Some(Drawn { kind: class(ours.kind), what: ours.what.clone(), plot: Plot::inline(&drawn) })
    });
    let rows = claim.ours.iter().map(|ours| {
        Row::new([
            Cell::text(&ours.what),
            Cell::text(value(ours)),
            mark(ours),
            Cell::of(ours.verdict.to_string(), mood(ours.verdict)),
            origin_of(ours, paper),
            Cell::text(remarks(ours)),
        ])
    });
    let table = Table::new(format!("Found: {}", claim.title), "")
        .head(["what", "here", "how", "verdict", "figure of", "remarks"])
        .rows(rows);
    let curves = curves.iter().map(|(ours, curve)| steps(ours, curve));
    ClaimView {
        id: claim.id.clone(),
        title: claim.title.clone(),
        says: claim.says.clone(),
        source: claim.source.clone(),
        plots: plots.collect(),
        tables: std::iter::once(table).chain(curves).collect(),
    }
}

/// Where a figure is from, with a link to the run's own page if there is one.
fn origin_of(ours: &Evidence, paper: &Paper) -> Cell {
    let Some(first) = ours.runs.first() else { return Cell::text("—") };
    let last = ours.runs.last().filter(|last| *last != first);
    let runs = last.map_or_else(|| first.clone(), |last| format!("{first} to {last}"));
    let text = format!("{runs}: {}", ours.metric);
    let run = paper.runs.iter().find(|run| run.name == *first);
    match run.and_then(|run| run.directory.as_ref()) {
        Some(directory) => Cell::link(&text, format!("{directory}/{PAGE}")),
        None => Cell::text(text),
    }
}

fn remarks(ours: &Evidence) -> String {
    let model = ours.model.iter().map(|model| format!("Model: {model}."));
    let notes = ours.notes.iter().map(|note| format!("{}.", note.trim_end_matches('.')));
    let all: Vec<String> = model.chain(notes).collect();
    if all.is_empty() { "—".to_owned() } else { all.join(" ") }
}

fn curve(ours: &Evidence) -> Option<Curve> {
    let points: Vec<(usize, f64, bool)> =
        ours.curve.iter().map(|it| (it.cores as usize, it.mpps, it.at_least)).collect();
    scaling::curve(&points)
}

fn steps(ours: &Evidence, curve: &Curve) -> Table {
    set::steps(&format!("{}, by cores ({})", ours.what, ours.kind), curve)
}

fn costs(costs: &[Cost]) -> Table {
    let number = |value: Option<f64>| match value {
        Some(value) => Cell::number(figure::value(value)),
        None => Cell::text("—"),
    };
    let money = |value: Option<f64>, currency: &str| match value {
        Some(value) => Cell::number(format!("{} {currency}", figure::value(value.round()))),
        None => Cell::text("—"),
    };
    let rows = costs.iter().map(|cost| {
        let kind = cost.kind.map_or_else(
            || Cell::text("published"),
            |kind| Cell::kind(kind.to_string(), class(kind)),
        );
        Row::new([
            Cell::text(&cost.name),
            number(cost.mpps.map(|mpps| (mpps * 100.0).round() / 100.0)),
            number(cost.gbps),
            money(cost.price, &cost.currency),
            money(cost.price_per_mpps, &cost.currency),
            Cell::text(&cost.redundancy),
            kind,
            Cell::text(&cost.note),
        ])
    });
    Table::new(
        "What a million packets per second costs",
        "Prices of the publication are of its time; ours is the one given with --price, divided by the \
         rate of so many cores.",
    )
    .head(["system", "Mpps", "Gbit/s", "price", "per Mpps", "redundancy", "rate", "remarks"])
    .rows(rows)
}

fn runs(runs: &[Run]) -> Table {
    let rows = runs.iter().map(|run| {
        let name = match &run.directory {
            Some(directory) => Cell::link(&run.name, format!("{directory}/{PAGE}")),
            None => Cell::text(&run.name),
        };
        let state = match run.valid {
            Some(true) => Cell::of("valid", "good"),
            Some(false) => Cell::of("invalid", "doubtful"),
            None => Cell::text("not made"),
        };
        let taken = run.taken.iter().map(|it| {
            let value = figure::trimmed(it.value, 6);
            format!("{} = {value}, which is {} of run {}", it.setting, it.metric, it.run)
        });
        let said: Vec<String> =
            run.reasons.iter().cloned().chain(taken).chain(run.warnings.iter().cloned()).collect();
        Row::new([
            name,
            state,
            Cell::number(run.attempts.to_string()),
            Cell::number(format!("{} s", figure::trimmed(run.seconds, 3))),
            Cell::code(&run.command),
            Cell::text(if said.is_empty() { "—".to_owned() } else { said.join("; ") }),
        ])
    });
    Table::new(
        "Runs",
        "Every run of this report, in the order made; each has a page of its own and can be made \
         alone.",
    )
    .head(["run", "state", "attempts", "took", "command", "remarks"])
    .rows(rows)
}

fn provenance(paper: &Paper) -> Table {
    let call = &paper.invocation;
    let row = |name: &str, value: Cell| Row::new([Cell::text(name), value]);
    let git = call.git.clone().unwrap_or_else(|| "not built in a repository".to_owned());
    let seed = call.seed.map_or_else(|| "those of the scenarios".to_owned(), |it| it.to_string());
    let sources = paper.sources.iter().map(|it| row(&it.name, Cell::text(&it.title)));
    Table::new("Provenance", "The list of claims lies beside this page as claims.toml.")
        .head(["what", "value"])
        .rows([
            row("started", Cell::text(&call.started)),
            row("took", Cell::number(format!("{} s", figure::trimmed(call.seconds, 4)))),
            row("reproduce", Cell::code(&call.command)),
            row("list", Cell::code(&call.list)),
            row("hash of list and scenarios", Cell::code(&call.list_hash)),
            row("seeds", Cell::text(seed)),
            row("git revision", Cell::code(git)),
            row("krono version", Cell::text(&call.version)),
        ])
        .rows(sources)
}

/// The claims on a terminal: the words, and a line for each thing found.
pub fn text(paper: &Paper) -> String {
    let mut text = format!("{}\n", answer(paper));
    for claim in &paper.claims {
        text += &format!("\n{}: “{}” ({})\n", claim.title, claim.says, claim.source);
        for ours in &claim.ours {
            let notes = match ours.value {
                None => ours.notes.join("; "),
                Some(_) => format!("{}, {}", ours.verdict, theirs(ours.theirs.as_ref())),
            };
            let kind = mark(ours).text;
            text += &format!("  {kind:<16}  {}: {}; {notes}\n", ours.what, value(ours));
        }
    }
    let priced = paper.costs.iter().filter(|cost| cost.price_per_mpps.is_some());
    for (number, cost) in priced.enumerate() {
        if number == 0 {
            text += "\nPrice of a million packets per second\n";
        }
        let price = cost.price_per_mpps.map_or(f64::NAN, f64::round);
        let kind = cost.kind.map_or_else(|| "published".to_owned(), |kind| kind.to_string());
        text +=
            &format!("  {kind:<12}  {}: {} {}\n", cost.name, figure::value(price), cost.currency);
    }
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}
