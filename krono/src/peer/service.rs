//! A daemon of somebody else's that krono starts, and ends whatever happens.
//!
//! It stays in the foreground as a child of this process. When dropped it is asked to end, and
//! made to after a while; should this process be killed, the kernel ends it.

use super::namespace::{Namespace, installed};
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long it may take to be ready.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to end once asked.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running daemon.
pub(crate) struct Service {
    name: String,
    child: Child,
    /// What it says.
    log: PathBuf,
}

impl Service {
    /// Starts `program` with `arguments` in `namespace`, or where this process is. What it says
    /// goes to a file in `folder`, which it also takes as its working directory.
    ///
    /// # Errors
    /// When it is not installed or cannot be started.
    pub(crate) fn start(
        program: &str,
        arguments: &[String],
        folder: &Path,
        namespace: Option<&Namespace>,
    ) -> anyhow::Result<Service> {
        Service::spawn(program, program, arguments, folder, namespace, false)
    }

    /// The same with the name that it has in messages, and with its standard output.
    ///
    /// # Errors
    /// As [`start`](Service::start).
    pub(crate) fn heard(
        name: &str,
        program: &str,
        arguments: &[String],
        folder: &Path,
        namespace: Option<&Namespace>,
    ) -> anyhow::Result<(Service, ChildStdout)> {
        let mut service = Service::spawn(name, program, arguments, folder, namespace, true)?;
        let said = service.child.stdout.take().context("a pipe from it")?;
        Ok((service, said))
    }

    fn spawn(
        name: &str,
        program: &str,
        arguments: &[String],
        folder: &Path,
        namespace: Option<&Namespace>,
        heard: bool,
    ) -> anyhow::Result<Service> {
        let file = installed(program).with_context(|| format!("{program} is not installed"))?;
        let name = name.to_owned();
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| log.display().to_string())?;
        let parent = installed("setpriv").context("setpriv is not installed")?;
        // The signal outlives `exec`, so it reaches whatever the command becomes.
        let mut command = Command::new(parent);
        command.args(["--pdeathsig", "KILL"]);
        if let Some(namespace) = namespace {
            command.args(["ip", "netns", "exec", namespace.name()]);
        }
        let child = command
            .arg(&file)
            .args(arguments)
            .current_dir(folder)
            // Where DPDK and Open vSwitch keep what they would leave elsewhere.
            .envs(
                ["RUNTIME_DIRECTORY", "OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"]
                    .map(|it| (it, folder)),
            )
            .stdin(Stdio::null())
            .stdout(match heard {
                true => Stdio::piped(),
                false => out.try_clone().context("its output")?.into(),
            })
            .stderr(out)
            .spawn()
            .with_context(|| file.display().to_string())?;
        Ok(Service { name, child, log })
    }

    /// Waits until `ready`.
    ///
    /// # Errors
    /// When it ends before, or takes too long; with the end of what it said.
    pub(crate) fn wait(&mut self, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at once: {status}: {}", self.name, self.last_words());
            }
            if begun.elapsed() > START_WITHIN {
                bail!("{} is not ready: {}", self.name, self.last_words());
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Not waited for before: the number is still this child's.
        if let Ok(pid) = self.child.id().try_into() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > END_WITHIN {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            sleep(LOOK_EVERY);
        }
    }
}
