//! `krono suite`: many runs with one question, the way an RFC asks it.
//!
//! A suite takes topology, traffic, SUT and network of a scenario and makes the phases itself, but
//! for `failover`, which runs those of the scenario. Each trial is a run of its own with an empty
//! table, kept with its report below `trials/`; [`bench`] makes them and repeats those whose
//! certificate fails, [`journal`] remembers them, so that a suite that was killed goes on where it
//! stopped. What to ask for next is decided by the pure searches of [`kronogen::search`]; what came
//! of it is `suite.json` ([`format::suite`]) and, for people, [`text`].

mod bench;
mod failover;
mod journal;
mod rfc2544;
mod rfc8219;
mod rfc9411;
mod rfc9693;
pub(crate) mod searched;
mod settings;
mod text;
mod throughput;
mod trial;

use crate::cli::{self, SuiteName};
use crate::exit::{Answer, Exit, Refusal};
use crate::live::Live;
use crate::machine::Machine;
use crate::run::{self, Setting};
use crate::rundir::RunDir;
use crate::{interrupt, term};
use bench::{Base, Bench, Ended};
use format::suite::{Results, SCHEMA, Suite};
use settings::Rules;
use std::io;

/// Runs a suite.
///
/// # Errors
/// [`Refusal`] with nothing written; anything else is a failure on the way, after which the directory
/// holds the trials made, and the suite can go on with `--resume`.
pub fn suite(args: &cli::Suite) -> anyhow::Result<Answer> {
    let base = Base::load(&args.scenario)?;
    let rules = Rules::of(args)?;
    let plan = base.given().plan.clone();
    refuse_unsuitable(args.name, &plan)?;
    let machine = Machine::this();
    run::refuse_impossible(&plan, &machine)?;
    let host = run::this_host(&machine);
    let directory = match (args.resume, &args.out) {
        (false, out) => run::directory(out.as_deref(), &plan, &host)?,
        (true, Some(path)) => RunDir::existing(path).map_err(usage)?,
        (true, None) => {
            let text = "--resume: which suite? Name its directory with --out";
            return Err(Refusal::Usage(text.to_owned()).into());
        }
    };
    let identity = journal::Identity::of(args, &plan, &rules);
    identity.claim(&directory, args.resume, base.source())?;
    let stop = interrupt::stop()?;
    let mut live = live(args);
    let setting = Setting {
        machine,
        host,
        references: None,
        found: None,
        metrics: None,
        twin: None,
        sample: None,
    };
    let started = jiff::Timestamp::now();
    let mut bench = Bench::new(&directory, setting, &stop, &mut live, rules.invalid_max)?;
    let results = match args.name {
        SuiteName::Rfc2544 => rfc2544::run(&mut bench, &base, &rules).map(Results::Rfc2544),
        SuiteName::Rfc8219 => rfc8219::run(&mut bench, &base, &rules).map(Results::Rfc8219),
        SuiteName::Rfc9693 => rfc9693::run(&mut bench, &base, &rules).map(Results::Rfc9693),
        SuiteName::Rfc9411 => rfc9411::run(&mut bench, &base, &rules).map(Results::Rfc9411),
        SuiteName::Failover => failover::run(&mut bench, &base, &rules).map(Results::Failover),
    };
    let (host, trials) = bench.end();
    live.finish();
    let results = match results {
        Ok(results) => results,
        Err(ended) => return ended_early(ended, &directory),
    };
    let invalid_reasons = failover::invalid_reasons(&results, rules.repetitions);
    let suite = Suite {
        schema: SCHEMA.to_owned(),
        suite: args.name.to_string(),
        run: run::identity(&directory, &plan, started, false),
        host,
        settings: rules.settings(args.name),
        valid: invalid_reasons.is_empty(),
        invalid_reasons,
        warnings: rules.warnings(args.name),
        limits: settings::limits(&plan),
        results,
        trials,
    };
    let json = run::pretty(&suite)?;
    directory.write("suite.json", json.as_bytes())?;
    let exit = match suite.valid {
        true if suite.trials.iter().all(|trial| !trial.valid || trial.pass_met) => Exit::Met,
        true => Exit::NotMet,
        false => Exit::Invalid,
    };
    let text = match args.format {
        cli::Format::Json => json,
        cli::Format::Text => {
            let file = directory.path().join("suite.json");
            format!("{}\n{}\n", text::text(&suite), file.display())
        }
    };
    Ok(Answer { text, exit })
}

fn usage(error: crate::rundir::RunDirError) -> Refusal {
    Refusal::Usage(error.to_string())
}

/// Refuses what a suite cannot be made of.
fn refuse_unsuitable(name: SuiteName, plan: &format::Plan) -> Result<(), Refusal> {
    match name {
        SuiteName::Failover => failover::refuse_unsuitable(plan),
        SuiteName::Rfc2544 | SuiteName::Rfc8219 | SuiteName::Rfc9411 | SuiteName::Rfc9693 => {
            throughput::refuse_unsuitable(name, plan)
        }
    }
}

fn live(args: &cli::Suite) -> Live {
    match args.no_live {
        true => Live::Silent,
        false if term::renews(&io::stderr()) => Live::screen(),
        false => Live::text(Box::new(io::stderr())),
    }
}

/// A suite that did not come to its end: what is said, and the exit code. The trials are kept.
fn ended_early(ended: Ended, directory: &RunDir) -> anyhow::Result<Answer> {
    let exit = match ended {
        Ended::Failed(error) => return Err(error),
        Ended::Invalid { .. } => Exit::Invalid,
        Ended::Interrupted => Exit::Interrupted,
    };
    let path = directory.path().display();
    let text = format!(
        "{ended}\n\n  Its trials are kept; to go on: the same command with --resume --out {path}\n"
    );
    Ok(Answer { text, exit })
}
