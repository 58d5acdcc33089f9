//! What becomes of a run one of whose servers fails: it ends, is invalid, names the server and
//! keeps what the other has counted; and nothing is left running.

use crate::bench::{Bench, can_run};
use crate::child::ended;
use crate::liar::{Lie, relay};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

fn signal(pid: &str, signal: Signal) {
    kill(Pid::from_raw(pid.parse().expect("a number")), signal).expect("it runs");
}

#[test]
fn an_agent_that_dies_is_named() {
    let Some(_alone) = can_run() else { return };
    for (place, named) in [(0, "left (kronogen at "), (1, "right (krononat at ")] {
        let mut bench = Bench::new("60s");
        let run = bench.krono().spawn().expect("krono starts");
        bench.await_phase("steady");
        bench.agents[place].child.kill().expect("it runs");
        let output = ended(run);
        let reasons = bench.reasons(&output);
        assert!(reasons.contains(named) && reasons.contains("`steady`"), "{reasons}");
        let rows = fs::read_to_string(bench.path("out/samples.csv")).expect("rows");
        assert!(rows.contains(",steady,gen,0,0,"), "{rows}");
        if place == 1 {
            let planned = &bench.json("summary.json", &output)["ledger"]["planned"];
            assert!(planned.as_u64().is_some_and(|planned| planned > 0), "{planned}");
        }
        // The folder of a program whose agent was killed is left.
        bench.assert_no_programs();
    }
}

#[test]
fn a_program_that_dies_is_named() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("60s");
    let run = bench.krono().spawn().expect("krono starts");
    bench.await_phase("steady");
    signal(&bench.programs("kronogen.toml").pop().expect("it runs"), Signal::SIGKILL);
    let reasons = bench.reasons(&ended(run));
    assert!(reasons.contains("left (kronogen at ") && reasons.contains("signal 9"), "{reasons}");
    bench.assert_none_left();
}

/// One that hangs is found out by its silence.
#[test]
fn a_program_that_hangs_is_named_and_ended() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("60s");
    let run = bench.krono().spawn().expect("krono starts");
    bench.await_phase("steady");
    signal(&bench.programs("krononat.toml").pop().expect("it runs"), Signal::SIGSTOP);
    let reasons = bench.reasons(&ended(run));
    assert!(reasons.contains("right (krononat at ") && reasons.contains("hangs"), "{reasons}");
    bench.assert_none_left();
}

/// Its program goes on for as long as it is stopped, and is ended once it is not.
#[test]
fn an_agent_that_hangs_is_named() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("60s");
    let run = bench.krono().spawn().expect("krono starts");
    bench.await_phase("steady");
    let agent = bench.agents[0].child.id().to_string();
    signal(&agent, Signal::SIGSTOP);
    let reasons = bench.reasons(&ended(run));
    assert!(reasons.contains("left (kronogen at ") && reasons.contains("hangs"), "{reasons}");
    signal(&agent, Signal::SIGCONT);
    bench.assert_none_left();
}

#[test]
fn no_program_outlives_a_killed_controller() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::new("60s");
    let mut run = bench.krono().spawn().expect("krono starts");
    bench.await_phase("steady");
    assert_eq!(bench.programs("krono").len(), 2);
    run.kill().expect("it runs");
    ended(run);
    bench.assert_none_left();
}

/// Before anything is written.
#[test]
fn an_agent_of_another_version_is_named() {
    let Some(_alone) = can_run() else { return };
    let mut bench = Bench::empty("1s");
    let liar = relay(Lie::Version);
    let other = bench.start_agent();
    bench.list(&[other, format!("agent = \"{}\"\n", liar.address)]);
    let output = ended(bench.krono().spawn().expect("krono starts"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("right ({})", liar.address)), "{said}");
    let versions = ["0.0.0 (of another tree)", krono::host::VERSION_LINE];
    assert!(versions.iter().all(|version| said.contains(version)), "{said}");
    assert!(!bench.path("out").exists());
}

#[test]
fn an_agent_that_lies_about_its_clock_is_named() {
    let Some(_alone) = can_run() else { return };
    let table = [
        (Lie::Moved, "it has moved by ", "`steady`"),
        (Lie::MovedAtTheEnd, "it has moved by ", "after the last phase"),
        (Lie::Longer, "in a round trip of ", "`steady`"),
        (Lie::Ahead, " ahead of what it said before", "`steady`"),
        (Lie::Stopped, " behind what it said before", "`steady`"),
        (Lie::Start, "which is not what it was asked to do", "`steady`"),
    ];
    for (lie, said, when) in table {
        let measured = if lie == Lie::Stopped { "60s" } else { "1s" };
        let mut bench = Bench::empty(measured);
        let liar = relay(lie);
        let other = bench.start_agent();
        bench.list(&[format!("agent = \"{}\"\n", liar.address), other]);
        let output = ended(bench.krono().spawn().expect("krono starts"));
        let reasons = bench.reasons(&output);
        let named = reasons.contains(&format!("left (kronogen at {})", liar.address))
            || reasons.contains(&format!("left ({})", liar.address));
        assert!(named && reasons.contains(said) && reasons.contains(when), "{lie:?}: {reasons}");
        bench.assert_none_left();
    }
}
