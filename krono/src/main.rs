//! The `krono` command: parse, call, print, exit.

#![forbid(unsafe_code)]

use analysis::command;
use clap::Parser;
use krono::cli::{Cli, Command, Format};
use krono::exit::{self, Answer};
use krono::machine::Machine;
use krono::term::{self, Colour};
use krono::{
    agent, check, doctor, explain, gate, paper, replay, report, run, scenario, schema, slices,
    suite,
};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = match answer(Cli::parse().command) {
        Ok(answer) => {
            // Nobody reads it any more (`krono explain … | head`): no reason to fail.
            let _ = io::stdout().write_all(answer.text.as_bytes());
            answer.exit
        }
        Err(error) => {
            let label = Colour::Red.paint("error:", term::colour(&io::stderr()));
            complain(&format!("{label} {}", exit::message(&error)));
            exit::of_error(&error)
        }
    };
    ExitCode::from(exit.code())
}

fn answer(command: Command) -> anyhow::Result<Answer> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Suite(args) => suite::suite(&args),
        Command::Check(args) => Ok(check::check(&args.scenarios, complain)),
        Command::Explain(args) => {
            Ok(Answer::good(explain::explain(&scenario::load(&args.scenario)?.plan)))
        }
        Command::Compare(args) => of_runs(command::compare(&args)),
        Command::Export(args) => of_runs(command::export(&args)),
        Command::History(args) => of_runs(command::history(&args)),
        Command::Trend(args) => of_runs(command::trend(&args)),
        Command::Replay(args) => replay::replay(&args),
        Command::Paper(args) => paper::paper(&args),
        Command::Report(args) => report::report(&args),
        Command::Doctor(args) => {
            let findings = doctor::examine(&Machine::this());
            match args.format {
                Format::Text => Ok(doctor::text(&findings, term::colour(&io::stdout()))),
                Format::Json => Ok(doctor::json(&findings)?),
            }
        }
        Command::Slices(args) => slices::slices(&args),
        Command::Gate(args) => gate::gate(&args),
        Command::Agent(args) => agent::serve::agent(&args),
        Command::Schema(args) => Ok(Answer::good(schema::schema(args.of)?)),
    }
}

/// The answer of a command that reads finished runs; what it has to remark goes to stderr.
fn of_runs(outcome: Result<command::Outcome, command::Unusable>) -> anyhow::Result<Answer> {
    if let Ok(outcome) = &outcome {
        outcome.notes.iter().for_each(|note| complain(note));
    }
    exit::of_analysis(outcome)
}

/// A line on stderr, if anybody listens.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
