//! `krono paper`: the claims of a publication, each beside what is found here.
//!
//! A [`list`] names runs and claims. The runs are made one after the other by the [`workshop`], each a
//! run of its own with its page, remembered by the [`journal`] so that a report that was ended goes
//! on; a figure of a run may be a setting of a later one, as the cost of a packet, measured here, is
//! of the cores that are simulated. What of them stands beside which claim is [`finding`]'s, and
//! `paper.json`, its page and its text are `analysis`'s. Nothing here has a figure of its own, and no
//! outcome is a failure: a claim that is not met is a result.

mod cost;
mod finding;
mod journal;
mod list;
mod metric;
mod workshop;

pub use cost::{NotAPrice, Price};

use crate::cli;
use crate::exit::{Answer, Exit, Refusal};
use crate::live::{self, Live};
use crate::machine::Machine;
use crate::run::{self, Setting};
use crate::rundir::RunDir;
use crate::{host, interrupt, term};
use analysis::report::paper as page;
use anyhow::Context;
use format::paper::{Invocation, Paper, SCHEMA};
use journal::{Identity, Journal};
use list::Loaded;
use std::io;
use std::path::Path;
use workshop::{All, Interrupted, Workshop};

/// The list of the paper this project reproduces.
pub const LIST: &str = "scenarios/paper/claims.toml";

/// Folder of reports, and the name of this one among them.
const RESULTS: &str = "results";
const NAME: &str = "paper";

/// Makes the runs of a list and writes its report.
///
/// # Errors
/// [`Refusal`] with nothing written; anything else is a failure on the way, after which the report
/// goes on with `--resume`.
pub fn paper(args: &cli::Paper) -> anyhow::Result<Answer> {
    let list = Loaded::read(&args.list)?;
    let machine = Machine::this();
    let host = run::this_host(&machine);
    let directory = directory(args, host.name.as_deref())?;
    let identity = Identity {
        list_hash: list.hash.clone(),
        quick: args.quick,
        seed: args.seed,
        program: host::VERSION_LINE.to_owned(),
        started: jiff::Timestamp::now().to_string(),
    };
    let started = identity.claim(&directory, args.resume)?;
    directory.write("claims.toml", list.source.as_bytes())?;
    let stop = interrupt::stop()?;
    let mut live = live(args);
    let mut workshop = Workshop {
        directory: &directory,
        journal: Journal::open(&directory)?,
        setting: Setting {
            machine,
            host: host.clone(),
            references: None,
            found: None,
            metrics: None,
            twin: None,
            sample: None,
        },
        stop: &stop,
        live: &mut live,
        quick: args.quick,
        seed: args.seed,
    };
    let made = all(&mut workshop, &list, args);
    live.finish();
    let (runs, interrupted) = made?;
    let invocation = Invocation {
        started,
        command: command(args),
        list: args.list.display().to_string(),
        list_hash: list.hash.clone(),
        quick: args.quick,
        seed: args.seed,
        git: host::GIT.map(str::to_owned),
        version: host::VERSION.to_owned(),
        interrupted,
        seconds: runs.values().map(|made| made.run.seconds).sum(),
    };
    let paper = Paper {
        schema: SCHEMA.to_owned(),
        title: list.list.title.clone(),
        about: list.list.about.clone(),
        sources: list.list.source.clone(),
        invocation,
        host,
        runs: in_order(&list, &runs),
        claims: list.list.claim.iter().map(|claim| finding::claim(claim, &runs)).collect(),
        costs: cost::table(&list.list, &args.prices, &runs),
    };
    let json = run::pretty(&paper)?;
    directory.write("paper.json", json.as_bytes())?;
    let page = page::write(directory.path(), &paper).context("no report written")?;
    answer(args, &directory, &paper, json, &page)
}

/// All runs of the list, as far as nobody asked for the end; whether somebody did.
fn all(
    workshop: &mut Workshop<'_>,
    list: &Loaded,
    args: &cli::Paper,
) -> anyhow::Result<(All, bool)> {
    let mut all = All::new();
    for (number, entry) in (1..).zip(&list.list.run) {
        if !args.no_live {
            live::say(&format!("{number}/{}  {}", list.list.run.len(), entry.name));
        }
        let made = match workshop.make(list, entry, &all) {
            Err(error) if error.downcast_ref::<Interrupted>().is_some() => return Ok((all, true)),
            made => made.with_context(|| format!("run {}", entry.name))?,
        };
        all.insert(entry.name.clone(), made);
    }
    Ok((all, false))
}

fn in_order(list: &Loaded, runs: &All) -> Vec<format::paper::Run> {
    let made = list.list.run.iter().filter_map(|entry| runs.get(&entry.name));
    made.map(|made| made.run.clone()).collect()
}

/// The directory that was asked for, one to go on in, or a dated one below the results.
fn directory(args: &cli::Paper, host: Option<&str>) -> Result<RunDir, Refusal> {
    let made = match (&args.out, args.resume) {
        (Some(path), true) => RunDir::existing(path),
        (Some(path), false) => RunDir::named(path),
        (None, true) => {
            let text = "--resume: which report? Name its directory with --out";
            return Err(Refusal::Usage(text.to_owned()));
        }
        (None, false) => {
            let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
            RunDir::dated(Path::new(RESULTS), &date, NAME, host.unwrap_or("host"))
        }
    };
    made.map_err(|error| Refusal::Usage(error.to_string()))
}

fn live(args: &cli::Paper) -> Live {
    match args.no_live {
        true => Live::Silent,
        false if term::renews(&io::stderr()) => Live::screen(),
        false => Live::text(Box::new(io::stderr())),
    }
}

/// The command that makes this report again.
fn command(args: &cli::Paper) -> String {
    let mut text = "krono paper".to_owned();
    if args.list != Path::new(LIST) {
        text += &format!(" {}", args.list.display());
    }
    if args.quick {
        text += " --quick";
    }
    if let Some(seed) = args.seed {
        text += &format!(" --seed {seed}");
    }
    for price in &args.prices {
        text += &format!(" --price '{price}'");
    }
    text
}

fn answer(
    args: &cli::Paper,
    directory: &RunDir,
    paper: &Paper,
    json: String,
    page: &Path,
) -> anyhow::Result<Answer> {
    let text = match args.format {
        cli::Format::Json => json,
        cli::Format::Text => format!("{}\n{}\n", page::text(paper), page.display()),
    };
    if !paper.invocation.interrupted {
        return Ok(Answer::good(text));
    }
    let path = directory.path().display();
    let text = format!(
        "{text}\n  Interrupted. What was run is kept; to go on: the same command with --resume \
         --out {path}\n"
    );
    Ok(Answer { text, exit: Exit::Interrupted })
}
