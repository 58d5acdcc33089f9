//! `krono report`: the pages of finished runs. Reading and drawing is the business of `analysis`.

use crate::exit::{Answer, Refusal};
use analysis::report::ReportError;
use std::fmt::Write;
use std::path::PathBuf;

/// Writes the page of each run; the answer is their paths, one per line.
///
/// # Errors
/// [`Refusal::Usage`] for a directory that is no run; pages written before it stay.
pub fn report(runs: &[PathBuf]) -> anyhow::Result<Answer> {
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
