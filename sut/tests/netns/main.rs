//! Krononat between real clients and real servers, beside Linux doing the same work.
//!
//! curl, nginx, iperf3, dig, dnsmasq, ping and plain sockets talk across a NAT in network namespaces,
//! once with Krononat on a packet socket as the NAT and once with nftables. Every check of
//! [`checks::CHECKS`] says what must come out, and the same must come out of both.
//!
//! Then two servers of Krononat stand behind a router with BIRD, and one with FRR, and one of them
//! dies, leaves and comes back while transfers run ([`cluster`]).
//!
//! The program starts itself again inside namespaces of its own (`unshare`): whatever it makes there
//! ends with it, however it ends, and two of them never meet. It needs root. Where something
//! is missing it says `skipped`, why, and what to install, and ends with 3; with the argument
//! `--where-possible` that is no failure.
//!
//! `make netns` runs it, and `make test` where possible; `NETNS_CHECKS=ping,cluster-bird` picks
//! checks, and `NETNS_KILLS=5` adds as many kills whose outages are measured.
#![forbid(unsafe_code)]

mod bench;
mod boundary;
mod bulk;
mod checks;
mod cluster;
mod dns;
mod errors;
mod idle;
mod namespace;
mod nat;
mod ping;
mod process;
mod report;
mod servers;
mod setting;
mod topology;
mod web;

use anyhow::Context;
use bench::Bench;
use checks::Check;
use nat::Kind;
use report::Report;
use std::io::Read;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// No run takes longer: both NATs take a minute on two cores, and so do both clusters.
const DEADLINE: Duration = Duration::from_secs(600);

/// Ends the program where something it needs is missing.
const MISSING: u8 = 3;

/// The argument with which it is well to end there.
const WHERE_POSSIBLE: &str = "--where-possible";

fn main() -> ExitCode {
    if !setting::is_inside() {
        return match setting::start_again_inside() {
            Ok(code) => code,
            Err(missing) => {
                println!("netns: skipped: {missing}");
                if is_excused() { ExitCode::SUCCESS } else { ExitCode::from(MISSING) }
            }
        };
    }
    thread::spawn(end_with_parent);
    thread::spawn(|| {
        thread::sleep(DEADLINE);
        eprintln!("netns: not done after {DEADLINE:?}");
        std::process::exit(1);
    });
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("netns: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether what is missing here is no failure.
fn is_excused() -> bool {
    std::env::args().any(|argument| argument == WHERE_POSSIBLE)
}

/// Whoever started this holds the other end of its standard input. With this process, the first of
/// its process namespace, all others in there end.
fn end_with_parent() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(1);
}

fn run() -> anyhow::Result<bool> {
    let kills = std::env::var("NETNS_KILLS").map_or(Ok(0), |kills| kills.parse());
    let kills = kills.context("NETNS_KILLS: expected a number of kills")?;
    let (checks, parts) = checks::chosen(std::env::var("NETNS_CHECKS").ok().as_deref())?;
    let mut well = checks.is_empty() || compare(&checks)?;
    for part in parts {
        well &= part.run(kills, !is_excused()).with_context(|| part.to_string())?;
    }
    Ok(well)
}

/// Every check through both NATs.
fn compare(checks: &[&'static Check]) -> anyhow::Result<bool> {
    let mut report = Report::new(checks);
    for kind in [Kind::Nftables, Kind::Krononat] {
        println!("{kind}:");
        let bench = Bench::start(kind).with_context(|| format!("start with {kind}"))?;
        for check in checks {
            let begun = Instant::now();
            let mut outcome = (check.run)(&bench);
            for attempt in 2..=kind.attempts() {
                match &outcome {
                    Ok(outcome) if outcome.result == check.expected => break,
                    Ok(outcome) => println!("  again: {}: {}", check.name, outcome.result),
                    Err(error) => println!("  again: {}: {error:#}", check.name),
                }
                outcome = (check.run)(&bench).map(|outcome| outcome.at_attempt(attempt));
            }
            report.note(kind, check, outcome, begun.elapsed());
        }
        println!("  {}", bench.end().with_context(|| format!("end of {kind}"))?);
    }
    print!("\n{report}");
    Ok(report.passed())
}
