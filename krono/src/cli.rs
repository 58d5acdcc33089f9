//! The command line. What stands here is a contract; `docs/commands.md` describes it for people.

use clap::{Args, Parser, Subcommand, ValueEnum};
use format::plan::Testbed;
use ipnet::Ipv4Net;
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
    /// Write report.html and its figures for finished runs
    #[command(after_help = "Example:\n  krono report results/2026-11-23-imix-lab1")]
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
    /// Send a capture through the SUT in the capture's own time; say what became of each packet
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
    /// Print the JSON schema of scenario and summary
    #[command(after_help = "Example:\n  krono schema summary > krono.summary.1.json")]
    Schema(Schema),
}

/// A scenario with what the command line changes in it.
#[derive(Clone, Debug, Args)]
pub struct ScenarioArgs {
    /// The scenario, a TOML file
    pub scenario: PathBuf,
    /// Where to run
    #[arg(long, value_name = "sim|embedded|process|netns|hosts:FILE", default_value = "embedded")]
    pub testbed: Testbed,
    /// Set a value of the scenario, such as traffic.rate_pps=5e6; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,
    /// Seed of everything random, in place of the scenario's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Repeat the phases after the first so many times; each is a trial
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
    /// What is sent, and what is asked of whom; without it a scenario made for gates
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
    /// Compare the base with itself: how often does this machine raise a false alarm
    #[arg(long, conflicts_with_all = ["candidate", "baseline"])]
    pub aa: bool,
    /// Measure all pairs, and say how often a gate on some of them would have said what
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

/// `krono report`.
#[derive(Debug, Args)]
pub struct Report {
    /// Run directories
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
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
