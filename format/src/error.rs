//! The one form in which wrong input is reported.
//!
//! A diagnostic names the place, the key, what is wrong with it, what was expected or the nearest
//! key that exists, and a remedy where there is one. One line, two with a remedy:
//! `scenarios/imix.toml:12: traffic.conections: unknown key; did you mean "connections"?`.
//! Whatever a scenario holds, it ends here and never in a panic.

use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// Path, as the user gave it.
        file: String,
        /// Line, from 1; `None` where the key that is missing has no line.
        line: Option<usize>,
    },
    /// On the command line, as `PATH=VALUE` after `--set`.
    Override(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line: Some(line) } => write!(f, "{file}:{line}"),
            Place::File { file, line: None } => f.write_str(file),
            Place::Override(text) => write!(f, "--set {text}"),
        }
    }
}

/// One mistake in a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// Path of the key, such as `phase.steady.rate`; empty where the text is no TOML.
    pub key: Box<str>,
    /// What is wrong, the value found included.
    pub problem: Box<str>,
    /// What would have been right.
    pub expected: Option<Box<str>>,
    /// The known key nearest to an unknown one.
    pub nearest: Option<Box<str>>,
    /// What to do about it.
    pub remedy: Option<Box<str>>,
}

impl Diagnostic {
    /// A mistake with nothing known beyond the problem.
    pub(crate) fn new(place: Place, key: &str, problem: impl Into<Box<str>>) -> Diagnostic {
        let (key, problem) = (key.into(), problem.into());
        Diagnostic { place, key, problem, expected: None, nearest: None, remedy: None }
    }

    /// Adds what would have been right.
    pub(crate) fn expected(mut self, expected: impl Into<Box<str>>) -> Diagnostic {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what to do about it.
    pub(crate) fn remedy(mut self, remedy: impl Into<Box<str>>) -> Diagnostic {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the nearest of the `known` names, or all of them when none is near.
    pub(crate) fn among<'a>(
        mut self,
        found: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Diagnostic {
        let known: Vec<&str> = known.into_iter().collect();
        self.nearest = known
            .iter()
            .map(|name| (strsim::jaro_winkler(found, name), name))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, name)| (*name).into());
        if self.nearest.is_none() && !known.is_empty() {
            self.expected = Some(known.join(", ").into());
        }
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean \"{nearest}\"?")?;
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}
