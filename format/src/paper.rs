//! `paper.json`, schema `krono.paper/1`: claims of a publication beside what was found here.
//!
//! A claim has its words and, if it has one, its figure; beside it stands what was found, each piece
//! with its [`Kind`], the runs it was taken from and a verdict. No figure of ours is written down
//! anywhere: each is of a run listed in [`Paper::runs`], made in the same invocation, or follows from
//! one by the model that it names. A value that could not be had is `null` with the reason.

use crate::host::Host;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Value of `schema` in every file this version writes.
pub const SCHEMA: &str = "krono.paper/1";

/// All claims with what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Paper {
    /// Always `krono.paper/1`.
    pub schema: String,
    /// Title of the list of claims.
    pub title: String,
    /// What the list is of, and what a reader must know of it.
    pub about: String,
    /// The publications, as the claims name them.
    pub sources: Vec<Source>,
    /// Which invocation this is.
    pub invocation: Invocation,
    /// Where it ran.
    pub host: Host,
    /// Every run, in the order made.
    pub runs: Vec<Run>,
    /// The claims, in the order of the list.
    pub claims: Vec<Claim>,
    /// What a million packets per second costs: theirs and, with a price, ours.
    pub costs: Vec<Cost>,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Short name, such as `ATC 2018`.
    pub name: String,
    /// Authors, title and venue.
    pub title: String,
}

/// How and when the runs were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Invocation {
    /// Start, RFC 3339.
    pub started: String,
    /// The command that does it again.
    pub command: String,
    /// File with the claims.
    pub list: String,
    /// SHA-256 of that file, hexadecimal.
    pub list_hash: String,
    /// Whether the runs were the short ones.
    pub quick: bool,
    /// Seed in place of the scenarios' own; `null`: theirs.
    pub seed: Option<u64>,
    /// Git revision of the build; `null` outside a repository.
    pub git: Option<String>,
    /// Version of the binary.
    pub version: String,
    /// Whether it was ended before all runs were made.
    pub interrupted: bool,
    /// Seconds that all runs took.
    pub seconds: f64,
}

/// One run: of a scenario, or of a program that measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// Its name in the list.
    pub name: String,
    /// The command that makes it alone.
    pub command: String,
    /// Where it ran: a testbed, or `program`.
    pub testbed: String,
    /// Its run directory below that of the report; `null` for a program, or where nothing ran.
    pub directory: Option<String>,
    /// Seconds it took, attempts that were invalid included.
    pub seconds: f64,
    /// How often it was made: more than once where it was invalid before.
    pub attempts: u32,
    /// Whether its figures may be used; `null` where nothing ran.
    pub valid: Option<bool>,
    /// Why not, or why nothing ran.
    pub reasons: Vec<String>,
    /// What a reader must know before using its figures.
    pub warnings: Vec<String>,
    /// What was taken from runs before it: a setting, and the figure it was set to.
    pub taken: Vec<Taken>,
}

/// A figure of one run that is a setting of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// The setting, such as `sut.packet_cost_ns`.
    pub setting: String,
    /// What it was set to.
    pub value: f64,
    /// The run it is of.
    pub run: String,
    /// Its name there.
    pub metric: String,
}

/// How a figure of ours came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Measured on this host, in real time.
    Measured,
    /// The same code in virtual time, or with more cores than the host has.
    Simulated,
    /// Computed from a measured figure by a model that is named.
    Extrapolated,
    /// Not tested here, for the reason given.
    Untested,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Measured => "measured",
            Kind::Simulated => "simulated",
            Kind::Extrapolated => "extrapolated",
            Kind::Untested => "untested",
        })
    }
}

/// What a figure must be for a claim to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sense {
    /// The figure or more.
    AtLeast,
    /// The figure or less.
    AtMost,
}

/// A figure with its unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The value.
    pub value: f64,
    /// Its unit, such as `Mpps`; empty for a count or a ratio.
    #[serde(default)]
    pub unit: String,
    /// What ours is asked to be.
    pub sense: Sense,
}

/// What was claimed, and what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Name for links.
    pub id: String,
    /// What it is about, in some words.
    pub title: String,
    /// The publication, by its short name.
    pub source: String,
    /// What is claimed.
    pub says: String,
    /// What was found, the strongest first.
    pub ours: Vec<Evidence>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// How it came about.
    pub kind: Kind,
    /// What it is, in some words.
    pub what: String,
    /// The publication's figure that it stands beside; `null` where there is none.
    pub theirs: Option<Figure>,
    /// Ours; `null` where there is none, and then `notes` says why.
    pub value: Option<f64>,
    /// Lower end of the interval or least value.
    pub low: Option<f64>,
    /// Upper end of the interval or greatest value.
    pub high: Option<f64>,
    /// Unit of all three.
    pub unit: String,
    /// Whether the system may be able to do more.
    pub at_least: bool,
    /// The runs it was taken from.
    pub runs: Vec<String>,
    /// The figure's name in them.
    pub metric: String,
    /// How it follows from them, where it is not theirs as it stands.
    pub model: Option<String>,
    /// Whether the claim holds by it.
    pub verdict: Verdict,
    /// What a reader must know, or why there is no figure.
    pub notes: Vec<String>,
    /// Rate over cores, where it is about scaling.
    pub curve: Vec<Point>,
}

/// Whether a claim holds by a piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It does.
    Met,
    /// It does not.
    NotMet,
    /// Ours is a lower bound below the figure: not known.
    NotShown,
    /// The run proves nothing.
    Invalid,
    /// There is no figure to hold ours against.
    Told,
    /// There is no figure of ours.
    NoFigure,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Met => "met",
            Verdict::NotMet => "not met",
            Verdict::NotShown => "not shown",
            Verdict::Invalid => "invalid run",
            Verdict::Told => "told",
            Verdict::NoFigure => "no figure",
        })
    }
}

/// A rate at a number of cores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Cores of all servers under test.
    pub cores: u64,
    /// Million packets per second.
    pub mpps: f64,
    /// Whether they may be able to do more.
    pub at_least: bool,
}

/// What a rate costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Whose.
    pub name: String,
    /// Million packets per second.
    pub mpps: Option<f64>,
    /// Gigabits per second, where told.
    pub gbps: Option<f64>,
    /// Price of the system.
    pub price: Option<f64>,
    /// Currency of the price.
    pub currency: String,
    /// Price ÷ Mpps.
    pub price_per_mpps: Option<f64>,
    /// How failures are covered: `1+1` or `N+1`.
    pub redundancy: String,
    /// How the rate came about; `null` for the publication's own.
    pub kind: Option<Kind>,
    /// What a reader must know.
    pub note: String,
}
