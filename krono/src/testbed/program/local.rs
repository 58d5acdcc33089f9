//! Processes of this machine.

use super::{End, Program, Server, parsed};
use anyhow::Context;
use dataplane::clock::Tsc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks at a process that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A program beside this one, or in a folder above as examples and tests have it, or in PATH.
///
/// # Errors
/// Says what is not there, and how to make it.
pub fn beside(name: &str) -> Result<PathBuf, String> {
    let me = std::env::current_exe().unwrap_or_default();
    let beside = me.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&paths).map(|folder| folder.join(name));
    beside.chain(in_path).find(|path| path.is_file()).ok_or_else(|| {
        // Beside a debug build belongs a debug build.
        let profile = if cfg!(debug_assertions) { "" } else { " --release" };
        format!(
            "the program {name} is neither beside krono nor in PATH: `cargo build{profile} --bins`"
        )
    })
}

/// Starts it on the clock of the run, in a process group of its own: what a terminal sends is for
/// this process alone, and should this one be killed while that one is stopped, the kernel ends it
/// (a stopped group that is orphaned gets SIGHUP; POSIX.1-2017, `_exit`).
///
/// # Errors
/// When the system refuses.
pub fn start<L: DeserializeOwned + Send + 'static>(
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
            if tell.send(parsed(&line)).is_err() {
                return;
            }
        }
    });
    Ok(Server::new(name, lines, Box::new(Local { child, stdin })))
}

struct Local {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Program for Local {
    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        // Not reaped before it is dropped or waited for: the number is this child's.
        let pid = Pid::from_raw(self.child.id().try_into().context("a process number")?);
        kill(pid, signal).with_context(|| format!("{signal} to process {pid}"))
    }

    fn say(&mut self, line: String) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("its standard input is closed")?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).context("it does not read")
    }

    fn close_input(&mut self) {
        drop(self.stdin.take());
    }

    fn end_within(&mut self, patience: Duration) -> anyhow::Result<Option<End>> {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(End { code: status.code(), signal: status.signal() }));
            }
            if asked.elapsed() >= patience {
                return Ok(None);
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Local {
    /// No process outlives its testbed.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
