//! One program that an agent runs: started, relayed line by line, killed when nobody holds it.
//!
//! Three threads serve it: two relay its outputs, the third waits for its end, says how it ended
//! and removes its folder. A program that outlives its agent ends by itself: its standard input
//! closes then, and one that is stopped gets SIGHUP as an orphaned group of its own (POSIX.1-2017,
//! `_exit`).

use super::wire::{self, Report, report};
use crate::testbed::program::beside;
use anyhow::{Context, bail};
use dataplane::clock::Tsc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

/// Reports on their way to the controller.
pub(super) type Reports = mpsc::Sender<Result<Report, Status>>;

/// Time between two looks at a program whose outputs are closed.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running program; killed when dropped.
pub(super) struct Program {
    /// Reaped under this lock, so that a signal never reaches another process of the same number.
    child: Arc<Mutex<Child>>,
    stdin: Option<ChildStdin>,
}

impl Program {
    /// Starts it on `clock` and reports it; `turn` is given back when it has ended.
    pub(super) fn start(
        start: &wire::Start,
        clock: &Tsc,
        reports: &Reports,
        turn: OwnedSemaphorePermit,
    ) -> anyhow::Result<Program> {
        let name = match start.program() {
            wire::Program::Kronogen => "kronogen",
            wire::Program::Krononat => "krononat",
            wire::Program::Unspecified => bail!("no program named"),
        };
        let folder = tempfile::tempdir().context("a folder for the configuration")?;
        let config = folder.path().join(format!("{name}.toml"));
        std::fs::write(&config, &start.config).with_context(|| config.display().to_string())?;
        let mut command = Command::new(beside(name).map_err(anyhow::Error::msg)?);
        command.arg("--config").arg(&config).arg("--supervised");
        command.arg("--clock").arg(clock.to_string());
        command.args(start.adaptive.then_some("--adaptive")).args(start.led.then_some("--led"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().with_context(|| name.to_owned())?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let program = Program { child: child.clone(), stdin };
        // The first of a channel that is empty: there is room.
        let _ = reports.try_send(Ok(of(report::Report::Started(wire::Started { pid }))));
        let readers = [
            stdout.map(|pipe| relay(pipe, reports.clone(), report::Report::Line)),
            stderr.map(|pipe| relay(pipe, reports.clone(), report::Report::Complaint)),
        ];
        let reports = reports.clone();
        thread::spawn(move || {
            for reader in readers.into_iter().flatten() {
                let _ = reader.join();
            }
            let exit = exit(reap(&child));
            drop((folder, turn));
            let _ = reports.blocking_send(Ok(of(report::Report::Exit(exit))));
        });
        Ok(program)
    }

    /// A line for its standard input.
    pub(super) fn say(&mut self, line: &str) {
        // One that has ended hears nothing: its exit says so.
        if let Some(stdin) = &mut self.stdin {
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// Sends it a signal, unless it has ended.
    pub(super) fn signal(&self, number: i32) -> Result<(), Status> {
        let invalid = |error| Status::invalid_argument(format!("signal {number}: {error}"));
        let signal = Signal::try_from(number).map_err(invalid)?;
        send(&mut lock(&self.child), signal);
        Ok(())
    }

    /// Closes its standard input; what is returned kills it, if it lives then.
    pub(super) fn close_input(&mut self) -> impl FnOnce() + Send + 'static {
        drop(self.stdin.take());
        let child = self.child.clone();
        move || send(&mut lock(&child), Signal::SIGKILL)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        send(&mut lock(&self.child), Signal::SIGKILL);
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(child: &mut Child, signal: Signal) {
    if let (Ok(None), Ok(pid)) = (child.try_wait(), i32::try_from(child.id())) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Waits for its end. Signals go on meanwhile.
fn reap(child: &Mutex<Child>) -> Option<ExitStatus> {
    loop {
        match lock(child).try_wait() {
            Ok(None) => {}
            Ok(status) => return status,
            Err(_) => return None,
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn exit(status: Option<ExitStatus>) -> wire::Exit {
    wire::Exit {
        code: status.and_then(|status| status.code()),
        signal: status.and_then(|status| status.signal()),
    }
}

fn of(report: report::Report) -> Report {
    Report { report: Some(report) }
}

/// Relays lines until the pipe or the controller is gone; a pipe is read to its end all the same,
/// so that its program does not wait for a reader.
fn relay(
    pipe: impl Read + Send + 'static,
    reports: Reports,
    line: fn(String) -> report::Report,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for text in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = reports.blocking_send(Ok(of(line(text))));
        }
    })
}
