//! How a command ends: the exit codes of `docs/commands.md`, and the errors that carry one.
//!
//! A command returns an [`Answer`]; `main` prints it and exits. An error that is not a [`Refusal`]
//! is a failure of the run itself, such as a full disk.

use analysis::command::{Outcome, Unusable};

/// Exit codes. Their meaning is part of the contract with people's CI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Measured, and every pass criterion is met; or the command did what it was asked.
    Met = 0,
    /// A pass criterion is not met; or `doctor` found that nothing can run here.
    NotMet = 1,
    /// Wrong usage or an invalid scenario. Nothing was written.
    Usage = 2,
    /// The testbed cannot run on this machine.
    CannotRun = 3,
    /// Measured, but the certificate failed: the figures prove nothing.
    Invalid = 4,
    /// The run failed on the way, such as by a full disk. What was measured is kept.
    Failed = 5,
    /// Interrupted. Partial results are kept and marked.
    Interrupted = 130,
}

impl Exit {
    /// The number the process exits with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// What a command has to say on stdout, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Text for stdout, with its last line feed.
    pub text: String,
    /// The exit code.
    pub exit: Exit,
}

impl Answer {
    /// An answer that ends well.
    pub fn good(text: impl Into<String>) -> Answer {
        Answer { text: text.into(), exit: Exit::Met }
    }
}

/// The answer of a command that reads finished runs; its codes are those of `docs/commands.md`.
///
/// # Errors
/// [`Refusal::Usage`] for input of which nothing can be made.
pub fn of_analysis(outcome: Result<Outcome, Unusable>) -> anyhow::Result<Answer> {
    let Outcome { text, code, .. } = outcome.map_err(|error| Refusal::Usage(error.to_string()))?;
    let exit = match code {
        0 => Exit::Met,
        1 => Exit::NotMet,
        2 => Exit::Usage,
        3 => Exit::CannotRun,
        4 => Exit::Invalid,
        _ => Exit::Failed,
    };
    Ok(Answer { text, exit })
}

/// An error that has an exit code of its own; the text is one or two lines.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// Wrong usage or invalid input: nothing was written.
    #[error("{0}")]
    Usage(String),
    /// This machine lacks something that the testbed needs.
    #[error("{0}")]
    CannotRun(String),
}

/// The exit code of an error.
pub fn of_error(error: &anyhow::Error) -> Exit {
    match error.downcast_ref::<Refusal>() {
        Some(Refusal::Usage(_)) => Exit::Usage,
        Some(Refusal::CannotRun(_)) => Exit::CannotRun,
        None => Exit::Failed,
    }
}

/// An error with its causes in one text; a cause that the text already names is not said twice.
pub fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        match (text.is_empty(), text.contains(&cause)) {
            (true, _) => cause,
            (false, true) => text,
            (false, false) => format!("{text}: {cause}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn refusals_keep_their_code_under_context() {
        let refused = |refusal: Refusal| of_error(&anyhow::Error::from(refusal).context("while"));
        assert_eq!(refused(Refusal::Usage("u".into())).code(), 2);
        assert_eq!(refused(Refusal::CannotRun("c".into())).code(), 3);
        let full = std::fs::read("/nonexistent").context("reading").expect_err("no such file");
        assert_eq!(of_error(&full).code(), 5);
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || std::io::Error::other("disk on fire");
        let named = anyhow::Error::new(cause()).context("r/a.csv: disk on fire; flee");
        assert_eq!(message(&named), "r/a.csv: disk on fire; flee");
        assert_eq!(
            message(&anyhow::Error::new(cause()).context("writing")),
            "writing: disk on fire"
        );
    }
}
