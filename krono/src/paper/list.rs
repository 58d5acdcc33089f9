//! The list of claims: which runs are made, and what of them stands beside which claim.
//!
//! A TOML file, described in `docs/paper.md`. It holds the publication's words and figures and no
//! figure of ours. Refused before anything runs: a name that is not there, a figure called measured
//! that comes from virtual time or simulated that does not, an extrapolation without its model.

use crate::exit::Refusal;
use crate::scenario;
use format::paper::{Figure, Kind, Source};
use format::plan::Testbed;
use format::{RunOptions, Scenario};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Version of the list that this version reads.
const SCHEMA: u32 = 1;

/// The whole list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) schema: u32,
    pub(crate) title: String,
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) source: Vec<Source>,
    pub(crate) run: Vec<RunEntry>,
    pub(crate) claim: Vec<ClaimEntry>,
    #[serde(default)]
    pub(crate) cost: Vec<CostEntry>,
    pub(crate) own_cost: Option<OwnCost>,
}

/// Settings of a scenario, as `--set` takes them.
type Settings = BTreeMap<String, toml::Value>;

/// A run to make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunEntry {
    pub(crate) name: String,
    /// A scenario, from the folder of the list; or a program.
    scenario: Option<PathBuf>,
    program: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    testbed: Option<String>,
    repeat: Option<u32>,
    /// Times it is made until it is valid.
    #[serde(default = "once")]
    attempts: u32,
    #[serde(default)]
    set: Settings,
    /// Settings that are figures of runs before it.
    #[serde(default)]
    pub(crate) from: BTreeMap<String, From>,
    /// Free memory it needs, in GiB.
    #[serde(default)]
    pub(crate) needs_gib: u64,
    quick: Option<Quick>,
}

fn once() -> u32 {
    1
}

/// What is other in a quick run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Quick {
    /// Why it is not made at all.
    skip: Option<String>,
    args: Option<Vec<String>>,
    repeat: Option<u32>,
    attempts: Option<u32>,
    needs_gib: Option<u64>,
    set: Settings,
}

/// A figure of a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    pub(crate) run: String,
    pub(crate) metric: String,
}

/// A claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimEntry {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) source: String,
    pub(crate) says: String,
    pub(crate) figure: Option<Figure>,
    pub(crate) ours: Vec<OursEntry>,
}

/// What is to stand beside it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OursEntry {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    pub(crate) run: Option<String>,
    /// Runs of a curve over cores, in place of `run`.
    #[serde(default)]
    pub(crate) runs: Vec<String>,
    #[serde(default)]
    pub(crate) metric: String,
    /// Of a program that prints several objects: the one with this name, and the one to divide by.
    pub(crate) of: Option<String>,
    pub(crate) over: Option<String>,
    #[serde(default)]
    pub(crate) unit: String,
    /// The figure it stands beside, in place of the claim's.
    pub(crate) figure: Option<Figure>,
    /// Of an extrapolation: by how much, and why that may be done.
    pub(crate) times: Option<f64>,
    pub(crate) model: Option<String>,
    pub(crate) note: Option<String>,
}

impl OursEntry {
    /// All runs it is taken from.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &String> {
        self.run.iter().chain(&self.runs)
    }
}

/// A row of the publication's table of costs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CostEntry {
    pub(crate) name: String,
    pub(crate) mpps: f64,
    pub(crate) gbps: Option<f64>,
    pub(crate) price: Option<f64>,
    #[serde(default)]
    pub(crate) currency: String,
    pub(crate) redundancy: String,
    #[serde(default)]
    pub(crate) note: String,
}

/// Where the rate of a core comes from that our rows of the table are made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnCost {
    pub(crate) run: String,
    pub(crate) metric: String,
    pub(crate) redundancy: String,
    pub(crate) note: String,
}

/// How a run of the list is made.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// `krono run`.
    Scenario {
        file: PathBuf,
        testbed: Testbed,
        repeat: Option<u32>,
        settings: Vec<(String, String)>,
    },
    /// A program of this build that prints JSON lines.
    Program { name: String, args: Vec<String> },
}

/// A run as it is to be made now.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) job: Job,
    pub(crate) attempts: u32,
    pub(crate) needs_gib: u64,
    /// Why it is not made.
    pub(crate) skip: Option<String>,
}

/// A list that was read, with where it was.
pub(crate) struct Loaded {
    pub(crate) list: List,
    /// SHA-256 of the list and of every scenario it names, hexadecimal.
    pub(crate) hash: String,
    folder: PathBuf,
    pub(crate) source: String,
}

impl Loaded {
    /// Reads a list and refuses what is wrong with it.
    pub(crate) fn read(file: &Path) -> Result<Loaded, Refusal> {
        let source = scenario::read(file)?;
        let refuse = |why: String| Refusal::Usage(format!("{}: {why}", file.display()));
        let list: List = toml::from_str(&source).map_err(|error| refuse(error.to_string()))?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut hash = Sha256::new();
        hash.update(&source);
        for run in list.run.iter().filter_map(|run| run.scenario.as_ref()) {
            hash.update(scenario::read(&folder.join(run))?);
        }
        let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let loaded = Loaded { list, hash, folder, source };
        loaded.check().map_err(refuse)?;
        Ok(loaded)
    }

    /// How a run is made, quick or not; figures of other runs are not among its settings yet.
    pub(crate) fn order(&self, run: &RunEntry, quick: bool) -> Result<Order, String> {
        let other = run.quick.clone().filter(|_| quick).unwrap_or_default();
        let testbed = run.testbed.as_deref().unwrap_or("embedded");
        let testbed: Testbed =
            testbed.parse().map_err(|error| format!("run.{}.testbed: {error}", run.name))?;
        let job = match (&run.scenario, &run.program) {
            (Some(scenario), None) => {
                let mut settings = run.set.clone();
                settings.extend(other.set);
                Job::Scenario {
                    file: self.folder.join(scenario),
                    testbed,
                    repeat: other.repeat.or(run.repeat),
                    settings: settings
                        .iter()
                        .map(|(path, value)| (path.clone(), word(value)))
                        .collect(),
                }
            }
            (None, Some(name)) => Job::Program {
                name: name.clone(),
                args: other.args.unwrap_or_else(|| run.args.clone()),
            },
            _ => return Err(format!("run.{}: either `scenario` or `program`", run.name)),
        };
        Ok(Order {
            job,
            attempts: other.attempts.unwrap_or(run.attempts).max(1),
            needs_gib: other.needs_gib.unwrap_or(run.needs_gib),
            skip: other.skip,
        })
    }

    /// Refuses names that are not there, and figures that are called what they are not.
    fn check(&self) -> Result<(), String> {
        if self.list.schema != SCHEMA {
            return Err(format!("schema: {} is not known; expected {SCHEMA}", self.list.schema));
        }
        let mut names = BTreeSet::new();
        for run in &self.list.run {
            for quick in [false, true] {
                self.resolves(run, quick)?;
            }
            if let Some(from) = run.from.values().find(|from| !names.contains(&from.run)) {
                return Err(format!("run.{}.from: no run `{}` before it", run.name, from.run));
            }
            if !names.insert(run.name.clone()) {
                return Err(format!("run.{}: there are two of this name", run.name));
            }
        }
        for claim in &self.list.claim {
            if !self.list.source.iter().any(|source| source.name == claim.source) {
                return Err(format!("claim.{}: no source `{}`", claim.id, claim.source));
            }
            claim.ours.iter().try_for_each(|ours| {
                self.is_what_it_says(ours).map_err(|why| format!("claim.{}: {why}", claim.id))
            })?;
        }
        let own = self.list.own_cost.as_ref().map(|own| &own.run);
        match own.filter(|run| !names.contains(*run)) {
            Some(run) => Err(format!("own_cost.run: no run `{run}`")),
            None => Ok(()),
        }
    }

    /// Whether a run's scenario can be resolved as it is made, but for figures of other runs.
    fn resolves(&self, run: &RunEntry, quick: bool) -> Result<(), String> {
        let Job::Scenario { file, testbed, repeat, settings } = self.order(run, quick)?.job else {
            return Ok(());
        };
        let source = scenario::read(&file).map_err(|error| error.to_string())?;
        let settings: Vec<(&str, &str)> =
            settings.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        let options = RunOptions { testbed, seed: None, repeat };
        Scenario::with_overrides(&source, &file.to_string_lossy(), &settings)
            .and_then(|scenario| scenario.resolve(&options))
            .map_err(|error| format!("run.{}: {error}", run.name))?;
        Ok(())
    }

    fn is_what_it_says(&self, ours: &OursEntry) -> Result<(), String> {
        let mut virtual_time = None;
        for name in ours.sources() {
            let run = self.list.run.iter().find(|run| run.name == *name);
            let run = run.ok_or_else(|| format!("no run `{name}`"))?;
            virtual_time = Some(run.testbed.as_deref() == Some("sim"));
        }
        let (kind, what) = (ours.kind, &ours.what);
        match (kind, virtual_time) {
            (Kind::Untested, None) if ours.note.is_some() => Ok(()),
            (Kind::Untested, _) => Err(format!("`{what}` is untested: it has a note and no run")),
            (_, None) => Err(format!("`{what}` names no run")),
            (Kind::Measured, Some(true)) => Err(format!("`{what}` is measured in virtual time")),
            (Kind::Simulated, Some(false)) => Err(format!("`{what}` is simulated in real time")),
            (Kind::Extrapolated, _) if ours.model.is_none() || ours.times.is_none() => {
                Err(format!("`{what}` is extrapolated: it needs `times` and `model`"))
            }
            (Kind::Measured | Kind::Simulated, _) if ours.times.is_some() => {
                Err(format!("`{what}` is {kind}: nothing is multiplied"))
            }
            _ => Ok(()),
        }
    }
}

/// A value as one writes it behind `--set PATH=`.
fn word(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "schema = 1\nquestion = \"?\"\n[traffic]\nconnections = 64\n[[phase]]\n\
                            name = \"fill\"\nopen = \"1k/s\"\n";

    const LIST: &str = r#"
        schema = 1
        title = "t"
        about = "a"
        source = [{ name = "S", title = "s" }]
        [[run]]
        name = "real"
        scenario = "a.toml"
        set = { "traffic.connections" = 128, "phase.fill.open" = "2k/s" }
        quick = { set = { "traffic.connections" = 65 }, repeat = 2 }
        [[run]]
        name = "virtual"
        scenario = "a.toml"
        testbed = "sim"
        from = { "sut.packet_cost_ns" = { run = "real", metric = "sut.ns_per_packet" } }
        [[claim]]
        id = "c"
        title = "t"
        source = "S"
        says = "it is"
        ours = [
          { kind = "measured", what = "w", run = "real", metric = "ledger.lost" },
          { kind = "extrapolated", what = "x", run = "real", metric = "m", times = 2, model = "m" },
          { kind = "simulated", what = "y", run = "virtual", metric = "m" },
          { kind = "untested", what = "z", note = "no switch" },
        ]
    "#;

    fn read(list: &str) -> Result<Loaded, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.toml"), SCENARIO).expect("written");
        let file = folder.path().join("list.toml");
        std::fs::write(&file, list).expect("written");
        Loaded::read(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn a_quick_run_differs_where_it_says_so() {
        let loaded = read(LIST).expect("a list");
        let settings = |quick| match loaded.order(&loaded.list.run[0], quick).expect("made").job {
            Job::Scenario { settings, repeat, .. } => (settings, repeat),
            Job::Program { .. } => panic!("a scenario"),
        };
        let own = |path: &str, value: &str| (path.to_owned(), value.to_owned());
        let open = own("phase.fill.open", "2k/s");
        assert_eq!(settings(false), (vec![open.clone(), own("traffic.connections", "128")], None));
        assert_eq!(settings(true), (vec![open, own("traffic.connections", "65")], Some(2)));
    }

    #[test]
    fn the_list_of_the_paper_is_sound() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate::paper::LIST);
        let list = Loaded::read(&file).map(|loaded| loaded.list).expect("a list");
        let judged = |claim: &ClaimEntry| {
            let tested = claim.ours.iter().any(|it| it.kind != Kind::Untested);
            let figure = |it: &OursEntry| it.figure.is_some() || claim.figure.is_some();
            !tested || claim.ours.iter().any(figure)
        };
        assert!(list.claim.len() >= 15 && list.claim.iter().all(judged));
        let runs =
            list.claim.iter().flat_map(|claim| claim.ours.iter().flat_map(OursEntry::sources));
        let used: BTreeSet<&String> = runs.collect();
        let unused: Vec<_> = list.run.iter().filter(|run| !used.contains(&run.name)).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn what_is_called_what_it_is_not_is_refused() {
        for (from, to, says) in [
            (
                "kind = \"measured\", what = \"w\", run = \"real\"",
                "kind = \"measured\", what = \"w\", run = \"virtual\"",
                "measured in virtual time",
            ),
            ("run = \"virtual\", metric", "run = \"real\", metric", "simulated in real time"),
            (", times = 2", "", "needs `times` and `model`"),
            (", note = \"no switch\"", "", "it has a note"),
            ("run = \"real\", metric = \"sut.", "run = \"later\", metric = \"sut.", "before it"),
            ("metric = \"ledger.lost\"", "metric = \"ledger.lost\", times = 3", "multiplied"),
            ("source = \"S\"\n", "source = \"T\"\n", "no source `T`"),
            ("name = \"virtual\"", "name = \"real\"", "two of this name"),
            ("connections\" = 128", "connexions\" = 128", "connections"),
            ("title = \"t\"\n        about", "titel = \"t\"\n        about", "titel"),
        ] {
            assert!(LIST.contains(from), "{from}");
            let refused = read(&LIST.replacen(from, to, 1)).map(|_| ()).expect_err(to);
            assert!(refused.contains(says), "{to}: {refused}");
        }
    }
}
