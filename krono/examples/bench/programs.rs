//! The programs that measure, and what they say.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the programs are: examples beside this one, the others a folder above.
pub(crate) struct Programs {
    examples: PathBuf,
    binaries: PathBuf,
}

impl Programs {
    /// Those of the build that this program is of.
    pub(crate) fn beside_this() -> anyhow::Result<Programs> {
        let me = std::env::current_exe().context("the path of this program")?;
        let examples = me.parent().context("the folder of this program")?;
        let binaries = examples.parent().context("the folder of the build")?;
        let programs = Programs { examples: examples.into(), binaries: binaries.into() };
        for file in [programs.example("table"), programs.example("nat"), programs.binary("krono")] {
            ensure!(file.is_file(), "{} is not there: run `make bench`", file.display());
        }
        Ok(programs)
    }

    pub(crate) fn example(&self, name: &str) -> PathBuf {
        self.examples.join(name)
    }

    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// The lines that an example prints with `--json`.
    pub(crate) fn lines(&self, example: &str, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let program = self.example(example);
        let mut command = Command::new(&program);
        let output = command.args(arguments).arg("--json").stderr(Stdio::inherit()).output();
        let output = output.with_context(|| program.display().to_string())?;
        ensure!(output.status.success(), "{example} {}: {}", arguments.join(" "), output.status);
        let text = String::from_utf8(output.stdout)?;
        let lines = text.lines().map(|line| {
            serde_json::from_str(line).with_context(|| format!("{example} said {line:.200}"))
        });
        lines.collect()
    }

    /// The summary of `krono run` with these arguments, of a valid run or not.
    pub(crate) fn run(
        &self,
        scenario: &Path,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<format::Summary> {
        let folder = tempfile::tempdir().context("a folder for the run")?;
        let mut command = Command::new(self.binary("krono"));
        command.arg("run").arg(scenario).args(arguments);
        command.args(["--format", "json", "--no-live", "--out"]).arg(folder.path());
        let output = command.output().context("krono")?;
        // Whether the scenario's criteria are met is not asked here, so its exit code is none of ours.
        let Ok(summary) = serde_json::from_slice::<format::Summary>(&output.stdout) else {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("krono run {}: {}: {}", scenario.display(), output.status, said.trim());
        };
        Ok(summary)
    }
}

/// Nothing for a run whose figures may be used.
pub(crate) fn ensure_valid(summary: &format::Summary) -> anyhow::Result<()> {
    ensure!(summary.valid, "an invalid run: {}", summary.invalid_reasons.join(" "));
    Ok(())
}

/// Numbers of a list, by name.
pub(crate) fn numbers(object: &Value, name: &str) -> anyhow::Result<Vec<f64>> {
    let list = object[name].as_array().with_context(|| format!("no list `{name}`"))?;
    list.iter().map(|number| number.as_f64().with_context(|| format!("`{name}`"))).collect()
}

/// A number, by name.
pub(crate) fn number(object: &Value, name: &str) -> anyhow::Result<f64> {
    object[name].as_f64().with_context(|| format!("no number `{name}`"))
}

/// The object under `name`, in whichever line has it.
pub(crate) fn named<'a>(lines: &'a [Value], name: &str) -> anyhow::Result<&'a Value> {
    let found = lines.iter().find_map(|line| line.get(name));
    found.with_context(|| format!("no line with `{name}`"))
}
