//! A process that tells lines of JSON on its standard output and ends with its standard input.

use anyhow::{Context, bail, ensure};
use dataplane::clock::Tsc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may take to start, and to end once asked.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a process that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A running process that tells lines `L`; killed when dropped.
pub(super) struct Server<L> {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Result<L, String>>,
}

impl<L: DeserializeOwned + Send + 'static> Server<L> {
    /// Starts it on the clock of the run, in a process group of its own: what a terminal sends is for this process alone, and
    /// should this one be killed while that one is stopped, the kernel ends it (a stopped group that
    /// is orphaned gets SIGHUP; POSIX.1-2017, `_exit`).
    pub(super) fn start(
        name: String,
        program: &Path,
        config: &Path,
        clock: &Tsc,
        more: &[&str],
    ) -> anyhow::Result<Server<L>> {
        let mut child = Command::new(program)
            .arg("--config")
            .arg(config)
            .arg("--supervised")
            .arg("--clock")
            .arg(clock.to_string())
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("a pipe from the process")?;
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let parsed = serde_json::from_str(&line)
                    .map_err(|error| format!("{error} in the line {line:.200}"));
                if tell.send(parsed).is_err() {
                    return;
                }
            }
        });
        Ok(Server { name, child, stdin, lines })
    }

    fn told(&self, line: Result<L, String>) -> anyhow::Result<L> {
        line.map_err(|error| anyhow::anyhow!("{}: {error}", self.name))
    }

    /// The next line; `None` at the end of the output.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<L>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => self.told(line).map(Some),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} has said nothing for {PATIENCE:?}", self.name)
            }
        }
    }

    /// The next line if it comes in time; the end of the output is an error.
    pub(super) fn next_within(&mut self, patience: Duration) -> anyhow::Result<Option<L>> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => self.told(line).map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.child.wait()?;
                bail!("{} ended early, {status}: its reason is above", self.name)
            }
        }
    }

    /// Every line that is there; its status if the process has ended.
    pub(super) fn drain(&mut self, mut take: impl FnMut(L)) -> anyhow::Result<Option<ExitStatus>> {
        loop {
            match self.lines.try_recv() {
                Ok(line) => take(self.told(line)?),
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Disconnected) => return Ok(Some(self.child.wait()?)),
            }
        }
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Not reaped before it is dropped or waited for: the number is this child's.
        let pid = Pid::from_raw(self.child.id().try_into().context("a process number")?);
        kill(pid, signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Closes its standard input, on which a supervised process ends.
    pub(super) fn ask_to_end(&mut self) {
        drop(self.stdin.take());
    }

    /// Waits for its end.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        self.ask_to_end();
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{}: {status}", self.name);
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("{} has not ended {PATIENCE:?} after it was asked to", self.name)
    }
}

impl<L> Drop for Server<L> {
    /// No process outlives its testbed.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
