//! Commands that read finished runs: arguments, what is printed, exit codes.
//!
//! They need no DPDK and no device that was tested, so two binaries offer them: `krono` and
//! `krono-analysis`. Each command is a function from its arguments to an [`Outcome`]; input that
//! cannot be used is an [`Unusable`], of which nothing was computed.

mod compare;
mod export;
mod history;

pub use compare::{Compare, compare};
pub use export::{Export, export};
pub use history::{Add, History, HistoryCommand, Trend, history, trend};

use crate::export::ExportError;
use crate::foreign::ForeignError;
use crate::history::HistoryError;
use crate::load::Defect;
use thiserror::Error;

/// Done.
pub const DONE: u8 = 0;
/// A change for the worse was found.
pub const WORSE: u8 = 1;
/// Wrong usage or unreadable input.
pub const USAGE: u8 = 2;
/// What was named may not be compared.
pub const INCOMPARABLE: u8 = 3;
/// Nothing can be said: an invalid run, or too few of them.
pub const INCONCLUSIVE: u8 = 4;

/// What a command has to say on stdout, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Text with its last line feed.
    pub text: String,
    /// Exit code.
    pub code: u8,
    /// Lines for stderr.
    pub notes: Vec<String>,
}

/// Input of which nothing can be made: exit code [`USAGE`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Unusable {
    /// A run that is not whole.
    #[error(transparent)]
    Run(#[from] Defect),
    /// A file that is no result of another tool.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// Arguments that make no sense together.
    #[error("{0}")]
    Usage(String),
    /// A format that cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A history that cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A result that is no JSON.
    #[error("the result is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Form of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Words for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// Markdown, such as for the summary of a CI step.
    Markdown,
}
