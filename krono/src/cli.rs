//! The command line. What stands here is a contract; `docs/commands.md` describes it for people.

use crate::replay::rewrite::Map;
use clap::{Args, Parser, Subcommand, ValueEnum};
use format::plan::Testbed;
use format::unit::{Duration, PacketRate};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Traffic generator and benchmark harness for stateful network functions.
#[derive(Debug, Parser)]
#[command(
    name = "krono",
    version = crate::host::VERSION_LINE,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Example:\n  krono doctor && krono run scenarios/imix.toml\n\nExit codes: 0 done \
                  or criteria met, 1 criteria not met, 2 usage or invalid scenario, 3 the testbed \
                  cannot run here, 4 measured but invalid, 5 failed on the way, 130 interrupted"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of this version.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure: run a scenario and write a run directory with its report
    #[command(
        after_help = "Example:\n  krono run scenarios/imix.toml --set traffic.connections=64512 \
                            --set phase.steady.for=5s --repeat 3"
    )]
    Run(Run),
    /// Say whether scenarios are valid, and if not, where and why
    #[command(after_help = "Example:\n  krono check scenarios/*.toml")]
    Check(Check),
    /// Print the resolved plan in words and numbers, without running it
    #[command(after_help = "Example:\n  krono explain scenarios/imix.toml --set \
                            topology.sut.cores=2")]
    Explain(Explain),
    /// Say whether a program is slower than another, and how sure that is
    #[command(after_help = "Example:\n  krono gate --base target/base/krono --candidate \
                            target/release/krono\n\nExit codes: 0 pass, 1 regressed, 2 usage, 3 \
                            incomparable, 4 inconclusive")]
    Gate(Gate),
    /// Make the many runs of an RFC's benchmark and say what they came to
    #[command(after_help = "Example:\n  krono suite rfc2544 scenarios/imix.toml --preset quick \
                            --sizes 64,imix-7-4-1\n\nEach trial is kept as a run of its own. A suite \
                            that was ended goes on with the same command, --resume and --out DIR.")]
    Suite(Suite),
    /// Make the runs of a list of claims and say of each claim what was found
    #[command(
        after_help = "Example:\n  krono paper --quick\n\nEach run is kept with its own page. A \
                            report that was ended goes on with the same command, --resume and --out \
                            DIR."
    )]
    Paper(Paper),
    /// Write report.html and its figures for finished runs
    #[command(
        after_help = "Example:\n  krono report results/2026-11-23-imix-lab1 --png plots\n\nExit \
                            codes: 0 written, 2 usage or unreadable input, 3 no font for --png"
    )]
    Report(Report),
    /// Set two finished runs side by side, or many beside the first
    #[command(after_help = "Example:\n  krono compare results/2026-11-23-imix-lab1 \
                            results/2026-11-24-imix-lab1\n  krono compare --hosts --price A=1.20/h \
                            --price B=0.90/h results/a results/b\n\nExit codes: 0 compared, 2 usage \
                            or unreadable input, 3 not comparable")]
    Compare(analysis::command::Compare),
    /// Write the figures of finished runs in a format that others read
    #[command(after_help = "Example:\n  krono export results/2026-11-23-imix-lab1 --to junit > \
                            junit.xml\n\nExit codes: 0 exported, 2 usage or unreadable input, 4 a \
                            run is invalid")]
    Export(analysis::command::Export),
    /// Keep the figures of finished runs in a file of JSON lines
    #[command(after_help = "Example:\n  krono history add results/2026-11-23-imix-lab1 --to \
                            lab.ndjson")]
    History(analysis::command::History),
    /// Say where the level of a history changed, and between which revisions
    #[command(
        after_help = "Example:\n  krono trend lab.ndjson\n\nExit codes: 0 no change for the \
                            worse within the newest runs, 1 there is one, 2 usage or unreadable \
                            input, 4 too few runs"
    )]
    Trend(analysis::command::Trend),
    /// Send a capture through Krononat and say what became of each packet
    #[command(after_help = "Example:\n  krono replay lan.pcapng --external 198.18.0.0/28 --out \
                            translated.pcap")]
    Replay(Replay),
    /// Say what on this host spoils a measurement, with the remedy for each
    #[command(
        after_help = "Example:\n  krono doctor --format json | jq '.findings[] | select(.mark \
                            != \"ok\")'"
    )]
    Doctor(Doctor),
    /// Measure a core in slices, as `krono gate` asks on stdin
    #[command(
        hide = true,
        after_help = "Example:\n  krono slices scenarios/imix.toml <<< \
                      '{\"seed\":1,\"bursts\":1000,\"cohorts\":1}'"
    )]
    Slices(Slices),
    /// Start servers of runs on this machine for a controller elsewhere (see docs/hosts.md)
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Example:\n  krono agent keys --out keys\n  krono agent --listen \
                      10.0.0.1:7800 --tls keys/agent"
    )]
    Agent(Agent),
    /// Print the JSON schemas of what is read and written
    #[command(after_help = "Example:\n  krono schema summary > krono.summary.1.json")]
    Schema(Schema),
}

/// A scenario with what the command line changes in it.
#[derive(Clone, Debug, Args)]
pub struct ScenarioArgs {
    /// The scenario, a TOML file
    pub scenario: PathBuf,
    /// Where to run: in virtual time, in one process, over memif, behind a router of Linux in network
    /// namespaces, or on several machines
    #[arg(long, value_name = "sim|embedded|process|netns|hosts:FILE", default_value = "embedded")]
    pub testbed: Testbed,
    /// Set a value of the scenario, such as traffic.rate_pps=5e6; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Seed of everything random, in place of the scenario's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Repeat the phases after the first; each repetition is a trial
    #[arg(long, value_name = "N")]
    pub repeat: Option<u32>,
}

/// `krono run`.
#[derive(Debug, Args)]
pub struct Run {
    /// What to run.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Directory of the run: new or empty. Default: results/<date>-<scenario>-<host>
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What stdout gets: the result as text or JSON, or a JSON object per second and the result
    #[arg(long, value_enum, default_value_t = RunFormat::Text)]
    pub format: RunFormat,
    /// Show no progress on stderr
    #[arg(long)]
    pub no_live: bool,
    /// Answer Prometheus at http://ADDR:PORT/metrics while it lasts; port 0 is any that is free
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Keep N packets of the measured phase as they left and as they came back, in sample.pcapng;
    /// embedded testbed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub capture_sample: Option<u32>,
}

/// What `krono run` prints on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunFormat {
    /// The result in words.
    Text,
    /// `summary.json`.
    Json,
    /// `{"progress": …}` once per second, `{"summary": …}` at the end.
    Jsonl,
}

/// `krono suite`.
#[derive(Debug, Args)]
pub struct Suite {
    /// Which suite
    pub name: SuiteName,
    /// What it is made of: topology, traffic, SUT and network of a scenario.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Lengths and repetitions
    #[arg(long, value_enum, default_value_t = Preset::Rfc)]
    pub preset: Preset,
    /// Length of a full trial, such as 500ms; all others keep their proportion
    #[arg(long, value_name = "TIME")]
    pub trial: Option<Duration>,
    /// Repetitions of latencies, bursts, connection rates and failures; default: the preset's
    #[arg(long, value_name = "N")]
    pub repetitions: Option<u32>,
    /// Width at which a search ends, as a share of the value, such as 0.01
    #[arg(long, value_name = "SHARE")]
    pub width: Option<f64>,
    /// Frame sizes and mixes, in place of those of RFC 2544 and imix-7-4-1
    #[arg(long, value_name = "SIZE,...", value_delimiter = ',')]
    pub sizes: Vec<String>,
    /// Only these parts of rfc2544 or rfc9693, and what they need
    #[arg(long = "only", value_enum, value_name = "PART,...", value_delimiter = ',')]
    pub parts: Vec<Part>,
    /// Search for the throughput with at most 0.5 % loss as well
    #[arg(long)]
    pub pdr: bool,
    /// Times an invalid trial is repeated before the suite is invalid
    #[arg(long, value_name = "N")]
    pub invalid_max: Option<u32>,
    /// Directory of the suite: new or empty. Default: results/<date>-<scenario>-<host>
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on in the directory of a suite that was ended
    #[arg(long)]
    pub resume: bool,
    /// What stdout gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Show no progress on stderr
    #[arg(long)]
    pub no_live: bool,
}

/// The suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteName {
    /// Throughput, latency, frame loss rate, back-to-back frames (RFC 9004).
    Rfc2544,
    /// Latency and packet delay variation.
    Rfc8219,
    /// Connections: establishment and tear-down rate, capacity, what happens beyond.
    Rfc9693,
    /// TCP: connections per second, concurrent connections, throughput.
    Rfc9411,
    /// Recovery from what the scenario does to the SUT.
    Failover,
}

impl fmt::Display for SuiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SuiteName::Rfc2544 => "rfc2544",
            SuiteName::Rfc8219 => "rfc8219",
            SuiteName::Rfc9693 => "rfc9693",
            SuiteName::Rfc9411 => "rfc9411",
            SuiteName::Failover => "failover",
        })
    }
}

/// Lengths and repetitions of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The RFC's: trials of 60 s, none of which may lose a packet.
    Rfc,
    /// ETSI TST009's: two such trials at a load, of which one may lose packets.
    Tst009,
    /// For CI: trials of half a second, two at a load, of which one may lose packets; width 5 %.
    Quick,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preset::Rfc => "rfc",
            Preset::Tst009 => "tst009",
            Preset::Quick => "quick",
        })
    }
}

/// Parts of suites that can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// rfc2544: throughput, which all other parts need.
    Throughput,
    /// rfc2544: latency at the throughput.
    Latency,
    /// rfc2544: frame loss rate.
    FrameLoss,
    /// rfc2544: back-to-back frames.
    BackToBack,
    /// rfc9693: establishment rate, which all other parts need.
    Establishment,
    /// rfc9693: tear-down rate.
    TearDown,
    /// rfc9693: capacity and what happens beyond.
    Capacity,
}

/// `krono check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Scenarios to check
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,
}

/// `krono explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// What to explain.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
}

/// `krono gate`.
#[derive(Debug, Args)]
pub struct Gate {
    /// Traffic and [gate]; default: scenarios/gate.toml
    pub scenario: Option<PathBuf>,
    /// The krono program to compare with. Default: this one
    #[arg(long, value_name = "BIN")]
    pub base: Option<PathBuf>,
    /// The krono program to judge (default: this one), or the runs to judge
    #[arg(long, value_name = "BIN|RUN", num_args = 1..)]
    pub candidate: Vec<PathBuf>,
    /// Directories of stored runs to compare runs with, all of one host
    #[arg(long, value_name = "RUN", num_args = 1.., requires = "candidate", conflicts_with = "base")]
    pub baseline: Vec<PathBuf>,
    /// Compare the base with itself: how often this machine raises a false alarm
    #[arg(long, conflicts_with_all = ["candidate", "baseline"])]
    pub aa: bool,
    /// Measure all pairs, and say how often a gate on part of them would have passed or not
    #[arg(long)]
    pub rates: bool,
    /// How to judge: by instructions, by time, or by both
    #[arg(long, value_enum, default_value_t = Tier::Both)]
    pub tier: Tier,
    /// Whether both programs must translate the same frames alike
    #[arg(long, value_enum, default_value_t = Frames::Same)]
    pub frames: Frames,
    /// Set a value of the scenario; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Seed of the coin that decides who goes first. Default: another each time
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Processor to measure on. Default: the last one that may be used
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
    /// Write the figures of all pairs to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,
}

/// How a gate judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// Instructions for each packet, by callgrind: exact, and no time.
    Exact,
    /// Time, of both programs by turns.
    Relative,
    /// One after the other.
    Both,
}

/// What a gate asks of translated frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Frames {
    /// A candidate that translates a frame otherwise does not pass.
    Same,
    /// It may.
    Any,
}

/// `krono paper`.
#[derive(Debug, Args)]
pub struct Paper {
    /// The list of claims and runs
    #[arg(default_value = crate::paper::LIST)]
    pub list: PathBuf,
    /// Make the short runs: a few minutes
    #[arg(long)]
    pub quick: bool,
    /// Price of a server and the cores that translate on it; may be given several times
    #[arg(long = "price", value_name = "NAME=AMOUNT/CORES")]
    pub prices: Vec<crate::paper::Price>,
    /// Seed of everything random, in place of the scenarios'
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Directory of the report: new or empty. Default: results/<date>-paper-<host>
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on in the directory of a report that was ended
    #[arg(long)]
    pub resume: bool,
    /// What stdout gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Show no progress on stderr
    #[arg(long)]
    pub no_live: bool,
}

/// `krono agent`.
#[derive(Debug, Args)]
pub struct Agent {
    /// Something else than being an agent.
    #[command(subcommand)]
    pub command: Option<AgentCommand>,
    /// Address and port to listen on; port 0 is any that is free, and is printed
    #[arg(long, value_name = "ADDR:PORT", required_unless_present = "stdio")]
    pub listen: Option<SocketAddr>,
    /// Keys for mutual TLS, without which only loopback addresses are taken
    #[arg(long, value_name = "DIR", requires = "listen")]
    pub tls: Option<PathBuf>,
    /// Talk over standard input and output: what ssh in a hosts file starts
    #[arg(long, conflicts_with = "listen")]
    pub stdio: bool,
}

/// What `krono agent` does besides.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Make keys for agents and for controllers
    #[command(after_help = "Example:\n  krono agent keys --out keys")]
    Keys {
        /// Folder in which `agent` and `controller` are made
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// `krono report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Run directories
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// One page of all runs, in place of one for each
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write the plots to this folder as well, as PNG
    #[arg(long, value_name = "DIR")]
    pub png: Option<PathBuf>,
}

/// `krono replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// A capture of Ethernet frames, pcap or pcapng
    pub capture: PathBuf,
    /// Addresses of subscribers; may be given several times. Default: the private addresses of RFC
    /// 1918 that send something in the capture
    #[arg(long = "subscriber", value_name = "NET")]
    pub subscribers: Vec<Ipv4Net>,
    /// Addresses to translate to. Default: a range of 198.18.0.0/15 that is large enough
    #[arg(long, value_name = "NET")]
    pub external: Option<Ipv4Net>,
    /// Replace addresses of a prefix by those of another one of the same length; may be given
    /// several times, and the first that holds an address counts
    #[arg(long = "map", value_name = "FROM=TO")]
    pub maps: Vec<Map>,
    /// Send each packet N times, each time for other subscribers of 100.64.0.0/10
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub copies: u32,
    /// Send evenly at this rate, copies included, such as 10kpps. Default: when they were captured
    #[arg(long, value_name = "RATE")]
    pub rate: Option<PacketRate>,
    /// Write what the SUT sends to this pcap file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What stdout gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// One line for every packet, not only counts
    #[arg(long, short)]
    pub verbose: bool,
}

/// `krono slices`.
#[derive(Debug, Args)]
pub struct Slices {
    /// What is sent.
    #[command(flatten)]
    pub scenario: ScenarioArgs,
    /// Processor to run on
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
}

/// `krono doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// What stdout gets
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Words for people.
    Text,
    /// One JSON object.
    Json,
}

/// `krono schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Only this one; by default an object with all
    pub of: Option<Subject>,
}

/// What a JSON schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The scenario file, as an object.
    Scenario,
    /// `summary.json`.
    Summary,
    /// What `krono export --to json` prints.
    Export,
    /// `suite.json`.
    Suite,
    /// `paper.json`.
    Paper,
}

/// Splits `PATH=VALUE`.
fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((path, value)) if !path.trim().is_empty() => {
            Ok((path.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected PATH=VALUE, such as traffic.rate_pps=5e6".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            let call = format!("krono {}", sub.get_name());
            assert!(help.starts_with("Example:") && help.contains(&call), "{}", sub.get_name());
        }
    }

    #[test]
    fn a_setting_has_a_path_and_a_value() {
        let pair = |path: &str, value: &str| Ok((path.to_owned(), value.to_owned()));
        assert_eq!(setting("traffic.rate_pps = 5e6"), pair("traffic.rate_pps", "5e6"));
        assert_eq!(setting("a=b=c"), pair("a", "b=c"));
        for text in ["", "=", "a", "=5"] {
            assert!(setting(text).is_err(), "{text}");
        }
    }
}
