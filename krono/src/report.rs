//! `krono report`: the pages of finished runs. Reading and drawing is the business of `analysis`.

use crate::cli;
use crate::exit::{Answer, Refusal};
use analysis::picture::Painter;
use analysis::report::{self, ReportError};
use std::fmt::Write;

/// Writes the page of each run, or one of all, and the plots as PNG where that is asked for; the
/// answer is their paths, one per line.
///
/// # Errors
/// [`Refusal::Usage`] for a directory that is no run; pages written before it stay.
/// [`Refusal::CannotRun`], with nothing written, where this machine cannot draw text into a picture.
pub fn report(args: &cli::Report) -> anyhow::Result<Answer> {
    let painter = args.png.as_ref().map(|_| Painter::new()).transpose();
    let painter = painter.map_err(|error| Refusal::CannotRun(error.to_string()))?;
    let pages = match &args.out {
        Some(out) => report::write_all(&args.runs, out).map(|page| vec![page]),
        None => report::write_each(&args.runs),
    };
    let (mut paths, mut plots) = (Vec::new(), Vec::new());
    for written in pages.map_err(refuse)? {
        paths.push(written.page);
        plots.extend(written.plots);
    }
    if let (Some(painter), Some(to)) = (&painter, &args.png) {
        paths.extend(report::write_pictures(painter, &plots, to).map_err(refuse)?);
    }
    let text = paths.iter().fold(String::new(), |mut text, path| {
        let _ = writeln!(text, "{}", path.display());
        text
    });
    Ok(Answer::good(text))
}

fn refuse(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::Load(error) => Refusal::Usage(error.to_string()).into(),
        other => other.into(),
    }
}
