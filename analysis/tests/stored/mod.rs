//! Copies of a stored run, changed on purpose.

#![allow(dead_code, reason = "each test file uses its part")]

use format::Summary;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with copies of a stored run.
pub(crate) struct Store(TempDir);

/// Where the stored run lies: one of `results/reference`, kept here so that a new one there moves no
/// snapshot.
fn original() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stored/run")
}

impl Store {
    pub(crate) fn new() -> Store {
        Store(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A copy of the stored run under `name`.
    pub(crate) fn copy(&self, name: &str) -> PathBuf {
        let dir = self.path().join(name);
        fs::create_dir(&dir).expect("made");
        for file in fs::read_dir(original()).expect("listed") {
            let file = file.expect("an entry");
            fs::copy(file.path(), dir.join(file.file_name())).expect("copied");
        }
        dir
    }

    /// A copy whose summary is changed, and `host.json` with it.
    pub(crate) fn changed(&self, name: &str, change: impl FnOnce(&mut Summary)) -> PathBuf {
        let dir = self.copy(name);
        edit(&dir, change);
        dir
    }
}

/// Changes the summary in `dir`, and `host.json` with it.
pub(crate) fn edit(dir: &Path, change: impl FnOnce(&mut Summary)) {
    let path = dir.join("summary.json");
    let text = fs::read(&path).expect("there");
    let mut summary: Summary = serde_json::from_slice(&text).expect("a summary");
    summary.run.id = dir.file_name().expect("a name").to_string_lossy().into_owned();
    change(&mut summary);
    let json = |bytes: serde_json::Result<Vec<u8>>| bytes.expect("JSON");
    fs::write(&path, json(serde_json::to_vec_pretty(&summary))).expect("written");
    let host = json(serde_json::to_vec(&summary.host));
    fs::write(dir.join("host.json"), host).expect("written");
}

/// Multiplies the rates of the run: of its summary, and of every row of its samples.
pub(crate) fn scale_rates(dir: &Path, factor: f64) {
    edit(dir, |summary| {
        let rates = &mut summary.throughput;
        rates.forwarded_mpps = rates.forwarded_mpps.map(|rate| rate * factor);
        if let Some(estimate) = &mut rates.mpps_per_core {
            estimate.value *= factor;
        }
        for trial in &mut rates.trials {
            trial.forwarded_mpps *= factor;
        }
    });
    let path = dir.join("samples.csv");
    let rows: Vec<format::Sample> =
        format::sample::read_rows(fs::File::open(&path).expect("there")).expect("rows");
    let mut table = format::sample::Rows::new(fs::File::create(&path).expect("created"));
    for mut row in rows {
        row.forwarded_pps *= factor;
        table.push(&row).expect("written");
    }
    table.flush().expect("written");
}

/// Gives the run the trials of these Mpps.
pub(crate) fn trials(summary: &mut Summary, mpps: &[f64]) {
    let trial = summary.throughput.trials[0];
    let seconds = trial.seconds / mpps.len() as f64;
    summary.throughput.trials = mpps
        .iter()
        .map(|mpps| format::summary::Trial { forwarded_mpps: *mpps, seconds, ..trial })
        .collect();
    let middle = analysis::stats::median(mpps).expect("trials");
    summary.throughput.forwarded_mpps = Some(middle);
    if let Some(estimate) = &mut summary.throughput.mpps_per_core {
        estimate.value = middle;
    }
}
