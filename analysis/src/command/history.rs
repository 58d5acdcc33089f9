//! `history add` and `trend`.

use super::{DONE, Form, INCONCLUSIVE, Outcome, Unusable, WORSE};
use crate::history::{add, line, read};
use crate::load::load_whole;
use std::fmt::Write;
use std::path::PathBuf;

/// `krono history`.
#[derive(Clone, Debug, clap::Args)]
pub struct History {
    /// What to do with a history
    #[command(subcommand)]
    pub command: HistoryCommand,
}

/// What to do with a history.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum HistoryCommand {
    /// Append finished runs, one line each
    #[command(
        after_help = "Example:\n  krono history add results/2026-11-23-imix-lab1 --to lab.ndjson"
    )]
    Add(Add),
}

/// `krono history add`.
#[derive(Clone, Debug, clap::Args)]
pub struct Add {
    /// Run directories
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The history, a file of JSON lines; made if it is not there
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// `krono trend`.
#[derive(Clone, Debug, clap::Args)]
pub struct Trend {
    /// The history
    pub file: PathBuf,
    /// Newest runs of a series in which a change for the worse counts as news
    #[arg(long, value_name = "N", default_value = "20")]
    pub recent: usize,
    /// Seed of the permutations
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// What stdout gets
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub format: Form,
}

/// Appends runs to a history: all of them, or none where one cannot be.
///
/// # Errors
/// A run that is not whole or not valid, or a history that cannot be used.
pub fn history(args: &History) -> Result<Outcome, Unusable> {
    let HistoryCommand::Add(Add { runs, to }) = &args.command;
    let lines = runs
        .iter()
        .map(|dir| Ok(line(&load_whole(dir)?)?))
        .collect::<Result<Vec<_>, Unusable>>()?;
    add(to, &lines)?;
    let mut text = String::new();
    for line in &lines {
        let _ = writeln!(text, "{}: {} added to class {}", to.display(), line.run, line.class);
    }
    Ok(Outcome { text, code: DONE, notes: Vec::new() })
}

/// Says where the level of a history changed.
///
/// # Errors
/// A history that cannot be used.
pub fn trend(args: &Trend) -> Result<Outcome, Unusable> {
    let found = crate::trend::trend(&read(&args.file)?, args.recent, args.seed);
    let text = match args.format {
        Form::Text => found.text(false),
        Form::Markdown => found.text(true),
        Form::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    let code = match (found.worsened(), found.inconclusive()) {
        (true, _) => WORSE,
        (false, true) => INCONCLUSIVE,
        (false, false) => DONE,
    };
    Ok(Outcome { text, code, notes: Vec::new() })
}
