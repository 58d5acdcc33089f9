//! Programs with a deadline, and programs that last as long as their guard.

use anyhow::{Context, bail};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A program that came to its end.
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote.
    pub(crate) stdout: Vec<u8>,
    /// What it complained about.
    pub(crate) stderr: String,
}

impl Finished {
    /// Its standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same, if it ended well.
    pub(crate) fn ok(self) -> anyhow::Result<Finished> {
        if self.status.success() {
            return Ok(self);
        }
        let said = [self.stderr.trim(), self.text().trim()].join(" ");
        bail!("{}: {:.300}", self.status, said.trim())
    }
}

/// Runs a program to its end, or kills it at the deadline, which is an error.
pub(crate) fn run(command: &mut Command, deadline: Duration) -> anyhow::Result<Finished> {
    let name = format!("{command:?}").replace('"', "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| name.clone())?;
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{name}: not done after {deadline:?}");
        }
        thread::sleep(LOOK_EVERY);
    };
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
    Ok(Finished { status, stdout: stdout.join().unwrap_or_default(), stderr })
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut all);
        }
        all
    })
}

/// A program that runs until it is dropped.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    /// Starts it; what it says goes to the standard error of the test.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Service> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Service { child })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until the answer is yes.
pub(crate) fn wait_for(
    what: &str,
    deadline: Duration,
    mut is_there: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !is_there() {
        if begun.elapsed() > deadline {
            bail!("{what}: not there after {deadline:?}");
        }
        thread::sleep(LOOK_EVERY * 4);
    }
    Ok(())
}
