//! One self-contained page per run, or one for several, and the run in one sentence.
//!
//! The page loads nothing from anywhere: style and plots are in it, and there is no script. All
//! text of a run is escaped by the template. It adds no number of its own; where a value is missing
//! it says so and why. Several runs go onto one page with a table that says of each whether it can
//! be compared with the first. `krono report` and the binary of this crate call [`write`].

mod answer;
mod figures;
mod origin;
pub mod paper;
mod parts;
mod peers;
mod recovery;
mod set;
mod table;
mod tables;
mod text;

pub use answer::answer;
pub(crate) use answer::limit;
pub(crate) use figures::cycles_per_packet;
pub use text::text;

use crate::load::{LoadError, Run, load};
use crate::picture::{Painter, PictureError};
use crate::plot::{self, Plot};
use crate::{figure, warn};
use askama::Template;
use format::summary::{Bound, Warning};
use format::{Plan, Summary};
use std::fs;
use std::path::{Path, PathBuf};
use table::{Part, Table};
use thiserror::Error;

/// Name of the page in a run directory.
pub const PAGE: &str = "report.html";

/// Why a report could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The run could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A page of no runs.
    #[error("no run to report; name at least one run directory")]
    NoRuns,
    /// A plot cannot be made a picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The template failed.
    #[error("the page could not be rendered: {0}")]
    Template(#[from] askama::Error),
    /// The file system refused.
    #[error("{}: {source}; check that the directory can be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    plot_style: String,
    /// What several runs say together; empty for one.
    together: Vec<Part>,
    sections: Vec<Section>,
}

struct Section {
    id: String,
    run: String,
    question: String,
    answer: String,
    /// `good`, `bad` or `doubtful`.
    mood: &'static str,
    badges: Vec<Badge>,
    figures: Table,
    before: Vec<Table>,
    recovery: Option<recovery::Section>,
    parts: Vec<Part>,
    after: Vec<Table>,
}

impl Section {
    fn plots(&self) -> impl Iterator<Item = &Plot> {
        let recovery = self.recovery.iter().flat_map(|section| &section.parts);
        recovery.chain(&self.parts).filter_map(|part| part.plot.as_ref())
    }
}

struct Badge {
    text: String,
    mood: &'static str,
    why: String,
}

/// The page of one run.
///
/// # Errors
/// The template's.
pub fn render(run: &Run) -> Result<String, ReportError> {
    render_all(std::slice::from_ref(run))
}

/// One page of several runs, in their order, opening with a table of all.
///
/// # Errors
/// No runs, or the template's.
pub fn render_all(runs: &[Run]) -> Result<String, ReportError> {
    page(runs, together(runs), sections(runs))
}

/// What several runs say together; nothing of one.
fn together(runs: &[Run]) -> Vec<Part> {
    if runs.len() > 1 { set::parts(runs) } else { Vec::new() }
}

fn sections(runs: &[Run]) -> Vec<Section> {
    runs.iter().enumerate().map(|(i, run)| section(i, run)).collect()
}

fn page(runs: &[Run], together: Vec<Part>, sections: Vec<Section>) -> Result<String, ReportError> {
    let first = runs.first().ok_or(ReportError::NoRuns)?;
    let title = match runs {
        [run] => question(&run.summary),
        runs => format!("{}, first {}", figure::plural(runs.len(), "run"), first.summary.run.id),
    };
    Ok(Page { title, plot_style: plot::style(), together, sections }.render()?)
}

/// A page that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Where.
    pub page: PathBuf,
    /// Its plots in their order, each with a name that no other has: the plot's own, behind
    /// `run-N-` where it is of the N-th of several runs.
    pub plots: Vec<(String, Plot)>,
}

/// Loads the run in `dir` and writes its page and plots there. Each file appears whole or not at
/// all.
///
/// # Errors
/// The run cannot be read, or a file not be written.
pub fn write(dir: &Path) -> Result<Written, ReportError> {
    let run = [load(dir)?];
    let sections = sections(&run);
    let plots = sections.iter().flat_map(Section::plots);
    let plots: Vec<(String, Plot)> = plots.map(|it| (it.name.to_owned(), it.clone())).collect();
    for (name, plot) in &plots {
        replace(&dir.join(format!("{name}.svg")), plot.document().as_bytes())?;
    }
    let path = dir.join(PAGE);
    replace(&path, page(&run, Vec::new(), sections)?.as_bytes())?;
    Ok(Written { page: path, plots })
}

/// [`write`]s the page of each run; of several runs, names of plots begin as in [`write_all`].
///
/// # Errors
/// As [`write`]; pages written before stay.
pub fn write_each(dirs: &[PathBuf]) -> Result<Vec<Written>, ReportError> {
    let mut all = dirs.iter().map(|dir| write(dir)).collect::<Result<Vec<_>, _>>()?;
    if all.len() > 1 {
        for (index, written) in all.iter_mut().enumerate() {
            written.plots.iter_mut().for_each(|it| it.0 = format!("{}-{}", id(index), it.0));
        }
    }
    Ok(all)
}

/// Loads several runs and writes one page of all to `path`.
///
/// # Errors
/// No runs, one that cannot be read, or a page that cannot be written.
pub fn write_all(dirs: &[PathBuf], path: &Path) -> Result<Written, ReportError> {
    let runs = dirs.iter().map(|dir| load(dir)).collect::<Result<Vec<Run>, LoadError>>()?;
    let (together, sections) = (together(&runs), sections(&runs));
    let of_all = together.iter().filter_map(|part| part.plot.as_ref());
    let mut plots: Vec<(String, Plot)> =
        of_all.map(|plot| (plot.name.to_owned(), plot.clone())).collect();
    for section in &sections {
        let before = if runs.len() > 1 { format!("{}-", section.id) } else { String::new() };
        plots.extend(section.plots().map(|it| (format!("{before}{}", it.name), it.clone())));
    }
    replace(path, page(&runs, together, sections)?.as_bytes())?;
    Ok(Written { page: path.to_owned(), plots })
}

/// Writes `plots` as PNG into the folder `to`, which is made where it is missing.
///
/// # Errors
/// A plot that is no image, or a file that cannot be written.
pub fn write_pictures(
    painter: &Painter,
    plots: &[(String, Plot)],
    to: &Path,
) -> Result<Vec<PathBuf>, ReportError> {
    let failed = |source| ReportError::Write { path: to.to_owned(), source };
    fs::create_dir_all(to).map_err(failed)?;
    let write = |(name, plot): &(String, Plot)| {
        let path = to.join(format!("{name}.png"));
        replace(&path, &painter.paint(plot)?)?;
        Ok(path)
    };
    plots.iter().map(write).collect()
}

/// Writes beside the file first, so that a reader never sees half of it.
fn replace(path: &Path, content: &[u8]) -> Result<(), ReportError> {
    let failed = |source| ReportError::Write { path: path.to_owned(), source };
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // Best effort: the error that matters is the one before.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(failed)
}

/// The plots of a run that have data.
pub fn plots(run: &Run) -> Vec<Plot> {
    section(0, run).plots().cloned().collect()
}

/// All warnings of a run: those recorded, then those its data call for now.
fn warnings(run: &Run) -> Vec<Warning> {
    let mut all = run.summary.warnings.clone();
    all.extend(warn::warnings(&run.summary, &run.samples));
    all.extend(warn::flaps(&run.events, detection_s(run)));
    all.extend(run.notes.iter().map(|note| Warning::new("partial", format!("{note}."))));
    all
}

/// Longest time in which the router detects what was injected, in seconds; `None` without a plan.
fn detection_s(run: &Run) -> Option<f64> {
    let plan = Plan::from_toml(run.plan.as_ref()?).ok()?;
    Some(plan.network.detection_ns() as f64 / 1e9)
}

/// "not available" with the reason that the summary records for `field`.
fn missing(summary: &Summary, field: &str) -> String {
    let reason = summary.warnings.iter().find(|w| w.field.as_deref() == Some(field));
    // A warning that only repeats the field's name gives no reason.
    let reason = reason.map(|w| warn::split_remedy(w).0).filter(|text| !text.starts_with(field));
    let reason = reason.unwrap_or("no reason recorded");
    format!("{}: {}", figure::MISSING, reason.trim_end_matches('.'))
}

fn question(summary: &Summary) -> String {
    match summary.run.question.trim() {
        "" => format!("Run {} of scenario {}", summary.run.id, summary.run.scenario),
        question => question.to_owned(),
    }
}

fn section(index: usize, run: &Run) -> Section {
    let summary = &run.summary;
    let warnings = warnings(run);
    let mood = match (summary.valid && summary.pass.met, summary.run.interrupted) {
        (false, _) => "bad",
        (true, true) => "doubtful",
        (true, false) => "good",
    };
    Section {
        id: id(index),
        run: summary.run.id.clone(),
        question: question(summary),
        answer: answer(summary),
        mood,
        badges: badges(summary, warnings.len()),
        figures: figures::figures(summary),
        before: tables::before(run, &warnings),
        recovery: recovery::section(run),
        parts: parts::all(run),
        after: tables::after(run),
    }
}

/// What a run is called on a page and among its files.
fn id(index: usize) -> String {
    format!("run-{}", index + 1)
}

fn badges(summary: &Summary, warnings: usize) -> Vec<Badge> {
    let badge = |text: &str, mood, why: String| Badge { text: text.to_owned(), mood, why };
    let mut badges = vec![if summary.valid {
        badge("valid", "good", "the certificate holds".to_owned())
    } else {
        badge("invalid", "bad", summary.invalid_reasons.join("; "))
    }];
    let (met, all) =
        (summary.pass.criteria.iter().filter(|c| c.met).count(), &summary.pass.criteria);
    let counted = format!("{met} of {} criteria met", all.len());
    let judged = "an invalid run is neither passed nor failed".to_owned();
    badges.push(match (all.is_empty(), summary.pass.met) {
        _ if !summary.valid => badge("not judged", "plain", judged),
        _ if summary.run.interrupted => {
            badge("not judged", "plain", "a part of a run is neither passed nor failed".to_owned())
        }
        (true, _) => badge("no pass criteria", "plain", "the scenario asks for none".to_owned()),
        (false, true) => badge("passed", "good", counted),
        (false, false) => badge("failed", "bad", counted),
    });
    badges.push(match summary.throughput.bound {
        Some(Bound::Sut) => badge("bound by the SUT", "good", "its own throughput".to_owned()),
        Some(bound) => badge(bound_by(bound), "doubtful", "the rate is a lower bound".to_owned()),
        None => badge("bound unknown", "doubtful", missing(summary, "throughput.bound")),
    });
    if summary.run.interrupted {
        badges.push(badge("interrupted", "doubtful", "partial results".to_owned()));
    }
    if warnings > 0 {
        let text = figure::plural(warnings, "warning");
        badges.push(badge(&text, "doubtful", "listed below with remedies".to_owned()));
    }
    badges
}

/// What limited the rate, in words.
fn bound_by(bound: Bound) -> &'static str {
    match bound {
        Bound::Sut => "bound by the SUT",
        Bound::Generator => "bound by the generator",
        Bound::Link => "bound by link or asked rate",
    }
}
