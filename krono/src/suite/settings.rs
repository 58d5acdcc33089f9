//! How long and how often: presets, and what the command line changes in them.

use crate::cli::{self, Part, Preset, SuiteName};
use crate::exit::Refusal;
use format::Plan;
use format::genome::Genome;
use format::plan::Polling;
use format::suite::Settings;
use format::summary::Warning;
use kronogen::search::goal::Goal;
use serde::{Deserialize, Serialize};

/// Frame sizes of RFC 2544 section 9.1, and the mix.
const SIZES: [&str; 8] = ["64", "128", "256", "512", "1024", "1280", "1518", "imix-7-4-1"];

/// The rules of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rules {
    pub preset: Preset,
    pub goal: Goal,
    /// Length of a latency trial in seconds.
    pub latency_s: f64,
    /// Repetitions of latencies, connection rates and failures.
    pub repetitions: u32,
    /// Repetitions of bursts.
    pub bursts: u32,
    pub invalid_max: u32,
    pub sizes: Vec<String>,
    pub parts: Vec<Part>,
    pub pdr: bool,
}

impl Rules {
    /// What the command line says.
    pub(crate) fn of(args: &cli::Suite) -> Result<Rules, Refusal> {
        let goal = match args.preset {
            Preset::Rfc => Goal::strict(),
            Preset::Tst009 => Goal::tst009(),
            Preset::Quick => Goal::quick(),
        };
        let given = args.trial.map(|trial| trial.0 as f64 / 1e9);
        let goal = given.map_or(goal, |seconds| goal.with_trial(seconds));
        let width = args.width.unwrap_or(goal.width);
        let long = args.preset != Preset::Quick;
        let usual = match (args.name, long) {
            // RFC 2544 section 26.2, RFC 8219 section 7; "at least 10" of RFC 9693 section 4.
            (_, false) => 3,
            (SuiteName::Rfc9693 | SuiteName::Rfc9411, true) => 10,
            (_, true) => 20,
        };
        let sizes = match args.sizes.is_empty() {
            true => SIZES.map(str::to_owned).to_vec(),
            false => args.sizes.clone(),
        };
        for size in &sizes {
            let sequence = Genome::Name(size.clone()).sequence();
            sequence.map_err(|error| Refusal::Usage(format!("--sizes: {error}")))?;
        }
        if given.is_some_and(|seconds| seconds < 0.001) {
            return Err(Refusal::Usage("--trial: expected at least 1ms".to_owned()));
        }
        if !(0.0001..=0.5).contains(&width) {
            return Err(Refusal::Usage("--width: expected 0.0001 to 0.5".to_owned()));
        }
        let repetitions = args.repetitions.unwrap_or(usual);
        if !(1..=10_000).contains(&repetitions) {
            return Err(Refusal::Usage("--repetitions: expected 1 to 10000".to_owned()));
        }
        Ok(Rules {
            preset: args.preset,
            goal: Goal { width, ..goal },
            // RFC 2544 section 26.2: at least 120 seconds.
            latency_s: given.unwrap_or(if long { 120.0 } else { goal.final_s }),
            repetitions,
            // RFC 9004 section 5.4: at least 50.
            bursts: args.repetitions.unwrap_or(if long { 50 } else { 3 }),
            // Short trials cost little, and on a shared machine a pause spoils more of them.
            invalid_max: args.invalid_max.unwrap_or(if long { 3 } else { 10 }),
            sizes,
            parts: args.parts.clone(),
            pdr: args.pdr,
        })
    }

    /// Whether a part is wanted: all are where none is named.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    /// Why the lengths are shorter than the RFC's, if they are.
    fn shortened(&self, name: SuiteName) -> Option<String> {
        let (trial_s, times) = match name {
            SuiteName::Rfc2544 | SuiteName::Rfc8219 => (60.0, 20),
            SuiteName::Rfc9693 => (0.0, 10),
            SuiteName::Rfc9411 => (60.0, 1),
            SuiteName::Failover => (0.0, 20),
        };
        let mut less = Vec::new();
        if self.goal.final_s < trial_s {
            less.push(format!("trials of {} s where it asks for {trial_s} s", self.goal.final_s));
        }
        if self.repetitions < times {
            less.push(format!("{} repetitions where it asks for {times}", self.repetitions));
        }
        (!less.is_empty()).then(|| less.join(", "))
    }

    /// The settings as results state them.
    pub(crate) fn settings(&self, name: SuiteName) -> Settings {
        let Goal { initial_s, final_s, sum_s, loss_ratio, exceed_ratio, width } = self.goal;
        let whose = match name {
            SuiteName::Failover => "the method's",
            _ => "the RFC's",
        };
        let durations = match self.shortened(name) {
            None => format!("lengths and repetitions are {whose}"),
            Some(less) => format!("shorter than {whose}: {less}"),
        };
        Settings {
            preset: self.preset.to_string(),
            initial_s,
            trial_s: final_s,
            sum_s,
            loss_ratio,
            exceed_ratio,
            width,
            repetitions: self.repetitions,
            invalid_max: self.invalid_max,
            durations,
        }
    }

    /// What a reader must know.
    pub(crate) fn warnings(&self, name: SuiteName) -> Vec<Warning> {
        let less = self.shortened(name);
        less.map(|less| Warning::new("shortened", format!("Not what the RFC asks for: {less}.")))
            .into_iter()
            .collect()
    }
}

/// The limits of the SUT that were set, for the reader.
pub(crate) fn limits(plan: &Plan) -> Vec<(String, String)> {
    let sut = &plan.sut;
    let count = analysis::figure::count;
    let subscribers = plan.topology.pairs() * u64::from(plan.addresses.subscribers_per_pair);
    let ports = subscribers * u64::from(plan.addresses.port_block);
    let setups = sut.setups_per_s_max.map_or("none".to_owned(), |it| count(it.into()));
    let polling = match plan.topology.polling {
        Polling::Busy => "busy",
        Polling::Adaptive => "adaptive",
    };
    let pairs = [
        ("sut.kind", plan.topology.sut_kind.to_string()),
        ("sut.cores", count(plan.topology.suts().into())),
        ("sut.table_entries", format!("{} on each core", count(sut.table_entries))),
        ("external ports", count(ports)),
        ("sut.setups_per_s_max", setups),
        ("topology.polling", polling.to_owned()),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
