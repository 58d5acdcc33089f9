//! What has been run so far, a line per run: `runs.jsonl`. A report that was ended goes on with what
//! is there; only one of the same list, seed, length and program may.

use crate::exit::Refusal;
use crate::rundir::RunDir;
use anyhow::Context;
use format::paper::Run;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

const NAME: &str = "runs.jsonl";
const IDENTITY: &str = "state.json";

/// What makes two reports the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) list_hash: String,
    pub(super) quick: bool,
    pub(super) seed: Option<u64>,
    pub(super) program: String,
    /// When it was begun, RFC 3339; the same after every resume.
    pub(super) started: String,
}

impl Identity {
    /// Marks `directory` as this report's or, if it is to go on there, says why it is not; when it was
    /// begun.
    pub(super) fn claim(self, directory: &RunDir, resume: bool) -> anyhow::Result<String> {
        if !resume {
            directory.write(IDENTITY, crate::run::pretty(&self)?.as_bytes())?;
            return Ok(self.started);
        }
        let path = directory.path().join(IDENTITY);
        let refuse = |why: &str| Refusal::Usage(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| refuse(&error.to_string()))?;
        let there: Identity =
            serde_json::from_str(&text).map_err(|error| refuse(&error.to_string()))?;
        let started = there.started.clone();
        if there != (Identity { started: started.clone(), ..self }) {
            let why = "a report of another list, seed, length or build of krono";
            return Err(refuse(why).into());
        }
        Ok(started)
    }
}

/// A run that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) run: Run,
    /// What a program printed.
    pub(super) lines: Vec<Value>,
}

/// The runs made, of this start and of earlier ones.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    lines: Vec<Line>,
}

impl Journal {
    /// Opens the journal of a directory and reads what is there. A line that was cut off when the
    /// program was killed ends it.
    pub(super) fn open(directory: &RunDir) -> anyhow::Result<Journal> {
        let path = directory.path().join(NAME);
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        let (mut lines, mut whole) = (Vec::new(), 0);
        for text in there.split_inclusive('\n').filter(|text| text.ends_with('\n')) {
            let Ok(line) = serde_json::from_str(text) else { break };
            lines.push(line);
            whole += text.len() as u64;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| path.display().to_string())?;
        file.set_len(whole).with_context(|| path.display().to_string())?;
        Ok(Journal { path, file, lines })
    }

    /// The run of a name, if it was made.
    pub(super) fn known(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.run.name == name)
    }

    /// Keeps a run that was made.
    pub(super) fn note(&mut self, line: Line) -> anyhow::Result<()> {
        let text = serde_json::to_string(&line)? + "\n";
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.with_context(|| self.path.display().to_string())?;
        self.lines.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str) -> Run {
        Run {
            name: name.to_owned(),
            command: String::new(),
            testbed: "program".to_owned(),
            directory: None,
            seconds: 0.1 + 0.2,
            attempts: 1,
            valid: Some(true),
            reasons: Vec::new(),
            warnings: Vec::new(),
            taken: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_known_once_its_line_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = RunDir::named(folder.path()).expect("empty");
        let mut journal = Journal::open(&directory).expect("opened");
        let line = Line { run: run("a"), lines: vec![serde_json::json!({ "mops": [1.5] })] };
        journal.note(line.clone()).expect("noted");
        drop(journal);
        let mut file =
            OpenOptions::new().append(true).open(folder.path().join(NAME)).expect("there");
        file.write_all(b"{\"run\":{\"name\":\"b\"").expect("written");
        let again = Journal::open(&directory).expect("opened");
        assert_eq!((again.known("a"), again.known("b")), (Some(&line), None));
    }

    #[test]
    fn only_the_same_report_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = RunDir::named(folder.path()).expect("empty");
        let identity = |quick, started: &str| Identity {
            list_hash: "1f".to_owned(),
            quick,
            seed: None,
            program: "krono 0".to_owned(),
            started: started.to_owned(),
        };
        assert!(identity(true, "then").claim(&directory, true).is_err(), "nothing is there");
        identity(true, "then").claim(&directory, false).expect("new");
        let goes_on = identity(true, "now").claim(&directory, true).expect("the same");
        assert_eq!(goes_on, "then");
        let refused = identity(false, "now").claim(&directory, true).expect_err("a longer one");
        assert!(refused.to_string().contains("another list"), "{refused}");
    }
}
