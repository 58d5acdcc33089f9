//! The files people exchange: a scenario and a plan go in, samples and a summary come out.
//!
//! * [`scenario`]: what a user writes. Typed TOML, every key documented, every mistake answered by
//!   a [`Diagnostic`] that names file, line, key and remedy.
//! * [`plan`]: the scenario with every default filled and every unit gone; what the testbeds run.
//! * [`sample`]: rows of `samples.csv`, `events.csv`, `recovery.csv` and `connections.csv`.
//! * [`summary`]: `summary.json`, what reports, comparisons and CI read.
//! * [`suite`]: `suite.json`, what a suite of an RFC made of many runs.
//! * [`paper`]: `paper.json`, claims of a publication beside what was found.
//! * [`host`]: the fingerprint of the machine that made the numbers.
//! * [`hosts`]: the machines of a run on several, and how each is reached.
//!
//! This crate measures nothing, opens no port and knows nothing of the machine it runs on:
//! resolving a scenario gives the same plan everywhere. It depends on no other crate of the
//! workspace, so that `analysis` can read a run directory without a packet path.

#![forbid(unsafe_code)]

pub mod error;
pub mod genome;
pub mod host;
pub mod hosts;
mod judge;
mod ledger;
pub mod paper;
pub mod plan;
pub mod sample;
pub mod scenario;
pub mod schema;
pub mod suite;
pub mod summary;
mod testbed;
pub mod unit;

pub use error::{Diagnostic, Place};
pub use host::Host;
pub use judge::METRICS;
pub use paper::Paper;
pub use plan::Plan;
pub use sample::{Event, Sample};
pub use scenario::{RunOptions, Scenario};
pub use suite::Suite;
pub use summary::Summary;
