//! What a user writes: a TOML file that asks a question and describes the traffic that answers it.
//!
//! A [`Scenario`] is read in two steps. [`Scenario::parse`] accepts what is written in known keys
//! and units; [`Scenario::resolve`] fills every default, derives the address plan and refuses what
//! cannot work, such as more connections than ports. Both are pure: no file is opened and no fact
//! about the machine enters, so `krono check` says the same everywhere. Every mistake is a
//! [`Diagnostic`] with its line.

mod address;
mod cluster;
mod demand;
pub(crate) mod document;
mod gate;
mod inject;
pub mod keys;
mod phase;
mod resolve;

use crate::error::Diagnostic;
use crate::plan::{Plan, Testbed, sha256_hex};
use document::{Document, Places};
use keys::Keys;

pub use demand::Demand;
pub use gate::{GATE_METRICS, Gate, GateMetric};

/// Value of `schema` in every scenario this version reads.
pub const SCHEMA: u32 = 1;

/// A scenario that is well formed; whether it makes sense is for [`resolve`](Scenario::resolve).
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What is written, with defaults for what is not.
    pub keys: Keys,
    name: String,
    hash: String,
    places: Places,
}

/// What the command line says about a run, beside the scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Where it runs.
    pub testbed: Testbed,
    /// Seed in place of the scenario's.
    pub seed: Option<u64>,
    /// How often the measured phases are repeated; `None` is once.
    pub repeat: Option<u32>,
}

impl Scenario {
    /// Reads a scenario. `file` names it in messages, and without folder and extension in results.
    ///
    /// # Errors
    /// The first mistake: no TOML, an unknown key, a value that is not what the key asks for.
    pub fn parse(source: &str, file: &str) -> Result<Scenario, Diagnostic> {
        Scenario::with_overrides(source, file, &[])
    }

    /// Reads a scenario with values set over those in the file: `(path, value)` pairs such as
    /// `("traffic.connections", "64512")` or `("phase.steady.rate", "5Mpps")`, in order.
    ///
    /// # Errors
    /// As [`parse`](Scenario::parse); a mistake in an override is reported as `--set`.
    pub fn with_overrides(
        source: &str,
        file: &str,
        overrides: &[(&str, &str)],
    ) -> Result<Scenario, Diagnostic> {
        let mut document = Document::parse(source, file)?;
        let mut hashed = source.to_owned();
        for (path, value) in overrides {
            document.set(path, value)?;
            hashed.push_str(&format!("\n--set {path}={value}"));
        }
        let (keys, places) = document.read::<Keys>()?;
        let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let name = base.strip_suffix(".toml").unwrap_or(base).to_owned();
        Ok(Scenario { keys, name, hash: sha256_hex(hashed.as_bytes()), places })
    }

    /// Fills every default and checks that the whole makes sense.
    ///
    /// # Errors
    /// The first thing that cannot work, at the line of the key to change.
    pub fn resolve(&self, options: &RunOptions) -> Result<Plan, Diagnostic> {
        resolve::resolve(self, options)
    }

    /// What a performance gate asks.
    ///
    /// # Errors
    /// A value that is out of range, or a metric that is none.
    pub fn gate(&self) -> Result<Gate, Diagnostic> {
        gate::gate(self)
    }
}
