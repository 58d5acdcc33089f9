//! Reads a run directory (layout: see the report's documentation).
//!
//! `summary.json` is needed; everything else may be missing, and what is missing is noted, because
//! a run that was interrupted leaves a partial directory that still deserves a report. A file that
//! is there and cannot be read is an error, never skipped: half a record must not pass for a whole
//! one. Every error names the file and what to do.

mod whole;

pub use whole::{Defect, load_whole};
pub(crate) use whole::{measured_phase, plan as plan_of};

use crate::latency::{self, LatencyLog};
use format::sample::{ConnectionRow, Event, Sample, Window, read_rows};
use format::summary::SCHEMA;
use format::{Host, Summary};
use serde_json::Value;
use std::fs;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Everything a run directory holds that reports use.
#[derive(Debug, Clone)]
pub struct Run {
    /// The directory.
    pub dir: PathBuf,
    /// `summary.json`.
    pub summary: Summary,
    /// `samples.csv`; empty if missing.
    pub samples: Vec<Sample>,
    /// `events.csv`; empty if missing.
    pub events: Vec<Event>,
    /// `recovery.csv`; empty if missing.
    pub windows: Vec<Window>,
    /// `connections.csv`; empty if missing.
    pub connections: Vec<ConnectionRow>,
    /// `host.json`, or the copy in the summary if missing.
    pub host: Host,
    /// Text of `plan.toml`.
    pub plan: Option<String>,
    /// `latency.hlog`.
    pub latency: Option<LatencyLog>,
    /// What was missing or partial, one sentence each.
    pub notes: Vec<String>,
}

impl Run {
    /// A run of which only the summary is known.
    pub fn from_summary(dir: impl Into<PathBuf>, summary: Summary) -> Run {
        Run {
            dir: dir.into(),
            host: summary.host.clone(),
            summary,
            samples: Vec::new(),
            events: Vec::new(),
            windows: Vec::new(),
            connections: Vec::new(),
            plan: None,
            latency: None,
            notes: Vec::new(),
        }
    }
}

/// Why a run directory could not be loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The directory has no summary.
    #[error("{}: no summary.json: not a run directory, or the run was killed before its end; \
             name a directory that `krono run` printed", .0.display())]
    NotARun(PathBuf),
    /// The file system refused.
    #[error("{}: {source}; check that the file can be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not what its name says.
    #[error("{}: {why}; the file is damaged or hand-edited: restore it or repeat the run",
            path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found, with line where known.
        why: String,
    },
    /// A summary of another schema.
    #[error("{}: schema is `{found}`, this version reads `{SCHEMA}`; use the krono version that \
             wrote it, or a newer one", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its `schema`.
        found: String,
    },
}

/// Loads the run in `dir`.
///
/// # Errors
/// No summary, a summary of another schema, or a file that cannot be read or parsed.
pub fn load(dir: &Path) -> Result<Run, LoadError> {
    let summary = summary(dir)?;
    let mut run = Run::from_summary(dir, summary);
    if run.summary.run.interrupted {
        run.notes.push("the run was interrupted: its files end early".to_owned());
    }
    match rows::<Sample>(dir, "samples.csv")? {
        Some(samples) => run.samples = samples,
        None => run.notes.push("samples.csv is missing: no rate over time".to_owned()),
    }
    match rows::<Event>(dir, "events.csv")? {
        Some(events) => run.events = events,
        None => run.notes.push("events.csv is missing: events are not marked".to_owned()),
    }
    // Runs in which nothing was injected have neither of these.
    let injected = !run.summary.recovery_ms.is_empty();
    match rows::<Window>(dir, "recovery.csv")? {
        Some(windows) => run.windows = windows,
        None if injected => {
            run.notes.push("recovery.csv is missing: no rate by the millisecond".to_owned());
        }
        None => {}
    }
    match rows::<ConnectionRow>(dir, "connections.csv")? {
        Some(connections) => run.connections = connections,
        None if injected => {
            let note = "connections.csv is missing: outages of connections are not drawn";
            run.notes.push(note.to_owned());
        }
        None => {}
    }
    if let Some((path, bytes)) = read(dir, "host.json")? {
        run.host = serde_json::from_slice(&bytes).map_err(|e| malformed(&path, e))?;
    }
    if let Some((path, bytes)) = read(dir, "plan.toml")? {
        run.plan = Some(String::from_utf8(bytes).map_err(|e| malformed(&path, e))?);
    }
    if let Some((path, bytes)) = read(dir, "latency.hlog")? {
        run.latency = Some(latency::read_log(&bytes).map_err(|e| malformed(&path, e))?);
    }
    Ok(run)
}

fn summary(dir: &Path) -> Result<Summary, LoadError> {
    let Some((path, bytes)) = read(dir, "summary.json")? else {
        return Err(LoadError::NotARun(dir.to_owned()));
    };
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| malformed(&path, e))?;
    // Before the fields: those of another version would only give a confusing message.
    match value.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => {}
        Some(found) => return Err(LoadError::Schema { path, found: found.to_owned() }),
        None => return Err(malformed(&path, "no `schema`")),
    }
    // From the text again, not from the value: this way the message has line and column.
    serde_json::from_slice(&bytes).map_err(|e| malformed(&path, e))
}

fn rows<T: serde::de::DeserializeOwned>(
    dir: &Path,
    name: &str,
) -> Result<Option<Vec<T>>, LoadError> {
    let path = dir.join(name);
    // As they come: a table may be larger than all that is kept of it.
    let Some(mut file) = there(fs::File::open(&path), &path)? else { return Ok(None) };
    // A number that is cut short is a number too.
    if !is_whole(&mut file).map_err(|source| LoadError::Io { path: path.clone(), source })? {
        return Err(malformed(&path, "its last line is cut off"));
    }
    read_rows(file).map(Some).map_err(|error| match error.is_io_error() {
        true => LoadError::Io { path, source: error.into() },
        false => malformed(&path, error),
    })
}

/// Whether its last line ends; it is read from the start afterwards.
fn is_whole(file: &mut fs::File) -> io::Result<bool> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    file.rewind()?;
    Ok(last == [b'\n'])
}

/// The file's path and content, `None` if there is no such file.
fn read(dir: &Path, name: &str) -> Result<Option<(PathBuf, Vec<u8>)>, LoadError> {
    let path = dir.join(name);
    Ok(there(fs::read(&path), &path)?.map(|bytes| (path, bytes)))
}

/// `None` of a file that is not there.
fn there<T>(opened: io::Result<T>, path: &Path) -> Result<Option<T>, LoadError> {
    match opened {
        Ok(it) => Ok(Some(it)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(LoadError::Io { path: path.to_owned(), source }),
    }
}

fn malformed(path: &Path, why: impl ToString) -> LoadError {
    LoadError::Malformed { path: path.to_owned(), why: why.to_string() }
}
