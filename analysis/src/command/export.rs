//! `export`: the figures of runs in the formats that others read.

use super::{DONE, INCONCLUSIVE, Outcome, Unusable};
use crate::export::{self, Target};
use crate::load::{Run, load_whole};
use std::path::PathBuf;

/// `krono export`.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// Run directories
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The format
    #[arg(long, value_enum)]
    pub to: Target,
    /// For github, which holds one direction per file: figures of which bigger or smaller is better
    #[arg(long, value_enum)]
    pub better: Option<Better>,
}

/// Which way the figures of a file get better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Better {
    /// `customBiggerIsBetter`.
    Bigger,
    /// `customSmallerIsBetter`.
    Smaller,
}

/// Exports runs.
///
/// # Errors
/// A run that is not whole, or a direction that is missing.
pub fn export(args: &Export) -> Result<Outcome, Unusable> {
    let runs = args.runs.iter().map(|dir| load_whole(dir)).collect::<Result<Vec<Run>, _>>()?;
    let sheet = export::of_runs(&runs);
    let better = args.better.map(|better| better == Better::Bigger);
    let text = sheet.write(args.to, better)?;
    let services = matches!(args.to, Target::Bmf | Target::Github);
    let notes = if services { sheet.left_out() } else { Vec::new() };
    let invalid = runs.iter().any(|run| !run.summary.valid);
    Ok(Outcome { text, code: if invalid { INCONCLUSIVE } else { DONE }, notes })
}
