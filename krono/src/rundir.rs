//! A run directory: `results/<date>-<scenario>-<host>/`, one per run, never written over.
//!
//! A file appears under its name only when it is complete: it is written beside and renamed. The
//! exception is tables, which grow row by row while the run lasts, so that what was measured
//! survives whatever ends the run. A directory that is taken is never touched: a dated name gets a
//! number behind it, one that the user gave is refused.

use format::sample::Rows;
use serde::Serialize;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Runs of one scenario on one host and day that get a number; more is a loop gone wild.
const SAME_NAME_MAX: u32 = 9999;

/// Why a run directory cannot be made or written.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The user's directory holds files already.
    #[error(
        "{}: exists and is not empty; name a new directory, or leave out --out for a dated one",
        .0.display()
    )]
    Taken(PathBuf),
    /// The user's directory is something else.
    #[error("{}: is no directory; name a new directory", .0.display())]
    NotADirectory(PathBuf),
    /// The file system refused.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; make room, or name a directory on another disk with --out"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; name a directory that can be written with --out"
        }
        _ => "",
    }
}

impl RunDirError {
    fn io(path: &Path, source: io::Error) -> RunDirError {
        RunDirError::Io { path: path.to_owned(), source }
    }
}

/// A directory that this run alone writes.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// A new directory `<date>-<scenario>-<host>` below `results`, numbered if that name is taken.
    /// Characters that make poor file names are replaced.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn dated(
        results: &Path,
        date: &str,
        scenario: &str,
        host: &str,
    ) -> Result<RunDir, RunDirError> {
        fs::create_dir_all(results).map_err(|source| RunDirError::io(results, source))?;
        let name = format!("{date}-{}-{}", plain(scenario), plain(host));
        for number in 1..=SAME_NAME_MAX {
            let path = results.join(match number {
                1 => name.clone(),
                number => format!("{name}-{number}"),
            });
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(RunDirError::io(&path, source)),
            }
        }
        Err(RunDirError::Taken(results.join(name)))
    }

    /// The directory the user named: a new one, or one that is empty.
    ///
    /// # Errors
    /// When something is there already, or the file system refuses.
    pub fn named(path: &Path) -> Result<RunDir, RunDirError> {
        match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(RunDirError::Taken(path.to_owned()));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(|source| RunDirError::io(path, source))?;
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                return Err(RunDirError::NotADirectory(path.to_owned()));
            }
            Err(source) => return Err(RunDirError::io(path, source)),
        }
        Ok(RunDir { path: path.to_owned() })
    }

    /// A directory that is there, to go on in.
    ///
    /// # Errors
    /// When there is none.
    pub fn existing(path: &Path) -> Result<RunDir, RunDirError> {
        match fs::read_dir(path) {
            Ok(_) => Ok(RunDir { path: path.to_owned() }),
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                Err(RunDirError::NotADirectory(path.to_owned()))
            }
            Err(source) => Err(RunDirError::io(path, source)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, which identifies the run.
    pub fn id(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Writes a file: complete, or not at all.
    ///
    /// # Errors
    /// When the file system refuses; names the file.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RunDirError> {
        let path = self.path.join(name);
        let partial = self.path.join(format!(".{name}.partial"));
        let written = File::create(&partial)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&partial, &path));
        written.map_err(|source| {
            // What was written of it helps nobody, and on a full disk it is in the way.
            let _ = fs::remove_file(&partial);
            RunDirError::io(&path, source)
        })
    }

    /// Removes what this run has written, for a run that turned out not to be possible. What cannot
    /// be removed stays.
    pub fn discard(&self) {
        for name in ["scenario.toml", "plan.toml", "host.json", "samples.csv"] {
            let _ = fs::remove_file(self.path.join(name));
        }
        let _ = fs::remove_dir(&self.path);
    }

    /// Starts a table that grows row by row.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn table(&self, name: &str) -> Result<Table, RunDirError> {
        let path = self.path.join(name);
        let file = File::create_new(&path).map_err(|source| RunDirError::io(&path, source))?;
        Ok(Table { path, rows: Rows::new(file) })
    }
}

/// A CSV file that grows while the run lasts.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    rows: Rows<File>,
}

impl Table {
    /// Appends rows and hands them to the system, so that they survive the end of this process.
    ///
    /// # Errors
    /// When the file system refuses; names the file.
    pub fn append<T: Serialize>(&mut self, rows: &[T]) -> Result<(), RunDirError> {
        let pushed = rows.iter().try_for_each(|row| self.rows.push(row));
        let pushed = pushed.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(source) => source,
            other => io::Error::other(format!("{other:?}")),
        });
        pushed
            .and_then(|()| self.rows.flush())
            .map_err(|source| RunDirError::io(&self.path, source))
    }
}

/// A word that is a good part of a file name.
fn plain(word: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._".contains(c) { c } else { '-' };
    let plain: String = word.chars().map(keep).take(64).collect();
    let plain = plain.trim_matches(['-', '.']);
    if plain.is_empty() { "unnamed".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::Event;
    use format::sample::EventKind;

    fn event(t_s: f64) -> Event {
        Event { t_s, kind: EventKind::Phase, what: "steady".into() }
    }

    #[test]
    fn a_taken_name_gets_a_number_and_stays_untouched() {
        let results = tempfile::tempdir().expect("a directory");
        let make = || RunDir::dated(results.path(), "2026-11-23", "imix", "lab 1/a").expect("made");
        let first = make();
        first.write("summary.json", b"first").expect("written");
        let (second, third) = (make(), make());
        assert_eq!(first.id(), "2026-11-23-imix-lab-1-a");
        assert_eq!(second.id(), "2026-11-23-imix-lab-1-a-2");
        assert_eq!(third.id(), "2026-11-23-imix-lab-1-a-3");
        second.write("summary.json", b"second").expect("written");
        assert_eq!(fs::read(first.path().join("summary.json")).expect("read"), b"first");
        assert_eq!(fs::read_dir(first.path()).expect("listed").count(), 1, "no file left beside");
    }

    #[test]
    fn a_named_directory_must_be_new_or_empty() {
        let results = tempfile::tempdir().expect("a directory");
        let path = results.path().join("a/b");
        RunDir::named(&path).expect("a new directory");
        let again = RunDir::named(&path).expect("an empty directory");
        again.write("host.json", b"{}").expect("written");
        let error = RunDir::named(&path).expect_err("taken");
        assert!(error.to_string().contains("not empty"), "{error}");
        let error = RunDir::named(&path.join("host.json")).expect_err("a file");
        assert!(error.to_string().contains("no directory"), "{error}");
    }

    #[test]
    fn rows_are_in_the_file_as_soon_as_they_are_appended() {
        let results = tempfile::tempdir().expect("a directory");
        let run = RunDir::named(results.path()).expect("an empty directory");
        let mut table = run.table("events.csv").expect("a table");
        table.append(&[event(0.0)]).expect("appended");
        table.append(&[event(1.0)]).expect("appended");
        let file = File::open(run.path().join("events.csv")).expect("there");
        let rows: Vec<Event> = format::sample::read_rows(file).expect("our own rows");
        assert_eq!(rows, [event(0.0), event(1.0)]);
    }

    #[test]
    fn a_full_disk_names_the_file_and_the_remedy() {
        let error = RunDirError::io(Path::new("r/samples.csv"), ErrorKind::StorageFull.into());
        let text = error.to_string();
        assert!(text.starts_with("r/samples.csv: ") && text.contains("--out"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_completed_does_not_appear() {
        let results = tempfile::tempdir().expect("a directory");
        let run = RunDir::named(results.path()).expect("an empty directory");
        // A directory in its place: the rename fails, after the content was written.
        fs::create_dir(run.path().join("summary.json")).expect("made");
        run.write("summary.json", b"{}").expect_err("cannot replace a directory");
        assert_eq!(fs::read_dir(run.path()).expect("listed").count(), 1);
    }
}
