//! `krono report`: the pages of finished runs. Reading and drawing is the business of `analysis`.

use crate::exit::{Answer, Refusal};
use analysis::report::ReportError;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Writes the page of each run, or one of all to `out`; the answer is their paths, one per line.
///
/// # Errors
/// [`Refusal::Usage`] for a directory that is no run; pages written before it stay.
pub fn report(runs: &[PathBuf], out: Option<&Path>) -> anyhow::Result<Answer> {
    if let Some(out) = out {
        analysis::report::write_all(runs, out).map_err(refuse)?;
        return Ok(Answer::good(format!("{}\n", out.display())));
    }
    let mut text = String::new();
    for run in runs {
        let page = analysis::report::write(run).map_err(refuse)?;
        let _ = writeln!(text, "{}", page.display());
    }
    Ok(Answer::good(text))
}

fn refuse(error: ReportError) -> anyhow::Error {
    match error {
        ReportError::Load(error) => Refusal::Usage(error.to_string()).into(),
        other => other.into(),
    }
}
