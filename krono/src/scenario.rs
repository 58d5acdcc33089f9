//! From a scenario file and the command line to a plan.

use crate::cli::ScenarioArgs;
use crate::exit::Refusal;
use format::{Plan, RunOptions, Scenario};
use std::path::Path;

/// Longest scenario file read, in bytes: a thousand times what people write.
const BYTES_MAX: u64 = 16 << 20;

/// A scenario that was read and resolved.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The file as it is.
    pub source: String,
    /// The plan, overrides applied.
    pub plan: Plan,
}

/// Reads and resolves what the command line names.
///
/// # Errors
/// [`Refusal::Usage`] with a message that names file, line, key and remedy.
pub fn load(args: &ScenarioArgs) -> Result<Loaded, Refusal> {
    let settings: Vec<(&str, &str)> =
        args.settings.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
    let options =
        RunOptions { testbed: args.testbed.clone(), seed: args.seed, repeat: args.repeat };
    resolve(&args.scenario, &settings, &options)
}

/// Reads and resolves one file.
///
/// # Errors
/// As [`load`].
pub fn resolve(
    file: &Path,
    settings: &[(&str, &str)],
    options: &RunOptions,
) -> Result<Loaded, Refusal> {
    let source = read(file)?;
    let usage = |error: format::Diagnostic| Refusal::Usage(error.to_string());
    let scenario = Scenario::with_overrides(&source, &file.to_string_lossy(), settings);
    let plan = scenario.and_then(|scenario| scenario.resolve(options)).map_err(usage)?;
    Ok(Loaded { source, plan })
}

/// The text of a scenario file.
///
/// # Errors
/// [`Refusal::Usage`] for what is no text or not there.
pub fn read(file: &Path) -> Result<String, Refusal> {
    let refuse = |why: String| Refusal::Usage(format!("{}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| refuse(error.to_string()))?.len();
    if size > BYTES_MAX {
        return Err(refuse(format!("{size} bytes are no scenario; at most {BYTES_MAX} are read")));
    }
    let bytes = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| refuse("not UTF-8 text, so no TOML".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        let refused = resolve(file.path(), &[], &RunOptions::default());
        refused.map(|loaded| loaded.plan).expect_err("no scenario").to_string()
    }

    #[test]
    fn what_is_no_text_or_not_there_is_refused_by_name() {
        assert!(refusal(b"\xff\xfe").contains("not UTF-8"));
        assert!(!refusal(b"").is_empty());
        let missing = resolve(Path::new("/nowhere/a.toml"), &[], &RunOptions::default());
        let text = missing.map(|loaded| loaded.plan).expect_err("missing").to_string();
        assert!(text.starts_with("/nowhere/a.toml: "), "{text}");
    }
}
