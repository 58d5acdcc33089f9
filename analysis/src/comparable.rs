//! Whether two runs may be set side by side, and what differs between them.
//!
//! Absolute figures of different traffic or of different machines differ for reasons that have
//! nothing to do with the system under test. [`differences`] lists everything recorded that is not
//! the same, [`Policy`] says which of it forbids a comparison; no figure is judged here.
//!
//! Three rules. Traffic (genome, layer, frame size) is never compared across. What was asked
//! (scenario, plan, testbed) and how a host is set up (SMT, governor, mitigations, NUMA, pages,
//! build flags) must agree unless the caller names the fact. What a host *is* (CPU,
//! virtualisation) must agree unless it is hosts that are compared; its settings must even then,
//! since a host with its mitigations off is no faster hardware.
//!
//! A fact known on one side only is a difference too. One that is hidden on both, as a container
//! hides the governor, is none, except the CPU model: without that nothing says what the hosts are.

mod plan;

use crate::figure;
use format::{Host, Plan, Summary};
use serde::Serialize;
use std::fmt;

/// What a difference is about, in the order in which they are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What was sent.
    Traffic,
    /// What was asked: scenario, plan, testbed.
    Design,
    /// What the host is.
    Hardware,
    /// How the host is set up, and how the binary was built.
    Setting,
    /// Worth knowing, and no obstacle: revision, kernel, memory.
    Note,
}

/// One fact in which two runs differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Stable word, as [`Policy::allow`] takes it: `smt`, `plan.topology.sut_cores`.
    pub fact: String,
    /// The fact in words.
    pub name: String,
    /// What it is about.
    pub kind: Kind,
    /// Of the first run; `null` where unknown.
    pub a: Option<String>,
    /// Of the second run; `null` where unknown.
    pub b: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.a, &self.b) {
            (Some(a), Some(b)) => write!(f, "{} differs ({a} and {b})", self.name),
            (None, None) => write!(f, "{} is unknown on both hosts", self.name),
            _ => write!(f, "{} is unknown on one host", self.name),
        }
    }
}

/// Facts that a caller may accept by name, beside every `plan.KEY`.
pub const FACTS: [&str; 12] = [
    "scenario",
    "plan",
    "testbed",
    "cpu",
    "virtualisation",
    "smt",
    "governor",
    "mitigations",
    "numa",
    "page-sizes",
    "thp",
    "build",
];

/// Which differences are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// It is hosts that are compared.
    pub hosts: bool,
    /// Facts accepted by name; `plan` stands for all its keys.
    pub allow: Vec<String>,
}

impl Policy {
    /// Whether `difference` forbids a comparison.
    pub fn forbids(&self, difference: &Difference) -> bool {
        let named = || {
            self.allow.iter().any(|allowed| {
                let rest = difference.fact.strip_prefix(allowed.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        match difference.kind {
            Kind::Traffic => true,
            Kind::Note => false,
            Kind::Hardware => !self.hosts && !named(),
            Kind::Design | Kind::Setting => !named(),
        }
    }

    /// Whether `fact` is one that may be accepted.
    pub fn knows(fact: &str) -> bool {
        FACTS.contains(&fact) || fact.strip_prefix("plan.").is_some_and(|key| !key.is_empty())
    }
}

/// Why the figures of `a` and `b` are not comparable, one reason each; empty if they are. Host
/// name, kernel, memory and momentary frequency are not asked for: they change without moving a
/// packet rate that is worth reporting. The plans are not either.
pub fn obstacles(a: &Summary, b: &Summary) -> Vec<String> {
    let policy = Policy { allow: vec!["scenario".to_owned()], ..Policy::default() };
    let mut found: Vec<String> = [a, b]
        .into_iter()
        .filter(|summary| !summary.valid)
        .map(|summary| format!("run {} is invalid", summary.run.id))
        .collect();
    let differences = differences(a, b);
    found.extend(differences.iter().filter(|it| policy.forbids(it)).map(ToString::to_string));
    found
}

/// Everything recorded in which two runs differ, what weighs most first.
pub fn differences(a: &Summary, b: &Summary) -> Vec<Difference> {
    let mut found = Found(Vec::new());
    let mean = |s: &Summary| figure::trimmed(s.throughput.mean_frame_bytes, 6);
    let (x, y) = (&a.throughput, &b.throughput);
    found.text("genome", "genome", Kind::Traffic, &x.genome, &y.genome);
    found.text("layer", "layer", Kind::Traffic, &x.layer, &y.layer);
    found.text("frame-size", "mean frame", Kind::Traffic, &mean(a), &mean(b));
    found.text("scenario", "scenario", Kind::Design, &a.run.scenario, &b.run.scenario);
    found.text("testbed", "testbed", Kind::Design, &a.run.testbed, &b.run.testbed);
    hosts(&mut found, &a.host, &b.host);
    found.note("revision", "git revision", a.run.git.clone(), b.run.git.clone());
    found.text("version", "krono version", Kind::Note, &a.run.version, &b.run.version);
    found.text("seed", "seed", Kind::Note, &a.run.seed.to_string(), &b.run.seed.to_string());
    found.0.sort_by_key(|difference| difference.kind);
    found.0
}

/// Every fact of a run, but its plan, that forbids a comparison where it differs, as one text.
pub(crate) fn identity(summary: &Summary) -> String {
    let (throughput, host) = (&summary.throughput, &summary.host);
    let facts = (
        (&throughput.genome, &throughput.layer, throughput.mean_frame_bytes.to_bits()),
        (&summary.run.scenario, &summary.run.testbed),
        (&host.cpu_model, &host.virtualised, host.smt, &host.governor, &host.mitigations),
        (host.numa_nodes, &host.page_sizes_bytes, &host.thp, &host.build_flags),
    );
    format!("{facts:?}")
}

/// The keys in which two resolved plans ask for different things. Seed, repetitions, question and
/// pass criteria may differ: they change how often and for whom is measured, not what.
pub fn plan_differences(a: &Plan, b: &Plan) -> Vec<Difference> {
    plan::differences(a, b)
}

fn hosts(found: &mut Found, a: &Host, b: &Host) {
    let list = |items: &Option<Vec<String>>| items.as_ref().map(|items| items.join("; "));
    let on = |value: Option<bool>| value.map(|on| on.to_string());
    let pages = |host: &Host| {
        let sizes = host.page_sizes_bytes.as_ref()?;
        Some(sizes.iter().map(|size| figure::bytes(*size)).collect::<Vec<_>>().join(", "))
    };
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    // Rounded, so that two calibrations of one counter agree.
    let ghz = |hz: Option<u64>| hz.map(|hz| format!("{:.2} GHz", hz as f64 / 1e9));
    let (hardware, setting) = (Kind::Hardware, Kind::Setting);
    found.known("cpu", "CPU model", hardware, a.cpu_model.clone(), b.cpu_model.clone());
    if a.cpu_model.is_none() && b.cpu_model.is_none() {
        found.push("cpu", "CPU model", hardware, None, None);
    }
    let virtualised = |host: &Host| host.virtualised.clone();
    found.known("virtualisation", "virtualisation", hardware, virtualised(a), virtualised(b));
    found.known("smt", "SMT", setting, on(a.smt), on(b.smt));
    found.known("governor", "governor", setting, a.governor.clone(), b.governor.clone());
    let (ma, mb) = (list(&a.mitigations), list(&b.mitigations));
    found.known("mitigations", "mitigations", setting, ma, mb);
    found.known("numa", "NUMA nodes", setting, number(a.numa_nodes), number(b.numa_nodes));
    found.known("page-sizes", "page sizes", setting, pages(a), pages(b));
    found.known("thp", "transparent huge pages", setting, a.thp.clone(), b.thp.clone());
    found.known("build", "build flags", setting, a.build_flags.clone(), b.build_flags.clone());
    found.note("host", "host name", a.name.clone(), b.name.clone());
    found.note("cpus", "logical CPUs", number(a.cores), number(b.cores));
    found.note("tsc", "TSC frequency", ghz(a.tsc_hz), ghz(b.tsc_hz));
    let memory = |host: &Host| host.memory_bytes.map(figure::bytes);
    found.note("memory", "memory", memory(a), memory(b));
    found.note("kernel", "kernel", a.kernel.clone(), b.kernel.clone());
    found.note("system", "system", a.os.clone(), b.os.clone());
    found.note("dpdk", "DPDK", a.dpdk.clone(), b.dpdk.clone());
    found.note("compiler", "compiler", a.rustc.clone(), b.rustc.clone());
}

/// Collects what differs.
struct Found(Vec<Difference>);

impl Found {
    fn push(&mut self, fact: &str, name: &str, kind: Kind, a: Option<String>, b: Option<String>) {
        self.0.push(Difference { fact: fact.to_owned(), name: name.to_owned(), kind, a, b });
    }

    fn known(&mut self, fact: &str, name: &str, kind: Kind, a: Option<String>, b: Option<String>) {
        if a != b {
            self.push(fact, name, kind, a, b);
        }
    }

    fn text(&mut self, fact: &str, name: &str, kind: Kind, a: &str, b: &str) {
        self.known(fact, name, kind, Some(a.to_owned()), Some(b.to_owned()));
    }

    fn note(&mut self, fact: &str, name: &str, a: Option<String>, b: Option<String>) {
        self.known(fact, name, Kind::Note, a, b);
    }
}
